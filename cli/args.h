/* SPDX-License-Identifier: Apache-2.0
 * A command's arguments: the options and words of params.tbl that its row names, checked.
 */
#ifndef TB_CLI_ARGS_H
#define TB_CLI_ARGS_H

#include <stddef.h>
#include <stdint.h>

enum param_id {
#define PARAM(id, name, kind, min, max, value, key, help) PARAM_##id,
#include "cli/params.tbl"
#undef PARAM
	PARAM__COUNT
};

enum param_kind {
	PARAM_IS_FLAG,
	PARAM_IS_NOTHING,
	PARAM_IS_NUMBER,
	PARAM_IS_TEXT,
	PARAM_IS_UUID,
	PARAM_IS_CHOICE,
	PARAM_IS_REST
};

struct param {
	const char *name; /* of the option, without its dashes */
	enum param_kind kind;
	long min, max;
	const char *value; /* what stands for it in help; a CHOICE's words, "a|b" */
	const char *key;   /* in the admin request, or "" */
	const char *help;
};
const struct param *param_of(enum param_id id);

/* A set of parameters. */
__extension__ typedef unsigned __int128 param_set;
#define O(id) ((param_set)1 << PARAM_##id)
/* Of every command that prints data. */
#define PRINTS (O(output) | O(json))

struct command;
struct args {
	const struct command *command;
	param_set given; /* set of those given */
	const char *text[PARAM__COUNT];
	long number[PARAM__COUNT];
	char **rest; /* of a REST word */
	int rest_count;
};

/* Reads the words and options behind a command's name, options anywhere (before the first
 * word where a REST follows). `--help` ends it with success and O(help) given. Texts
 * borrow from argv. -1: one sentence in err. */
int args_parse(struct args *a, const struct command *c, int argc, char **argv, char *err,
	       size_t err_size);
/* Whether all of a set are given, and what for: */
int args_has(const struct args *a, param_set params);
/* A text, a uuid's text or a choice; `otherwise` when it was not given. */
const char *args_text(const struct args *a, enum param_id id, const char *otherwise);
long args_number(const struct args *a, enum param_id id, long otherwise);
/* Whether data is to be printed as JSON. */
int args_wants_json(const struct args *a);
/* The i-th word of a CHOICE ("a|b"), its length in *n; NULL behind the last. */
const char *args_choice(const char *choices, size_t i, size_t *n);

#endif
