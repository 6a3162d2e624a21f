/* SPDX-License-Identifier: Apache-2.0
 * A command's arguments: options first, then words. */
#ifndef TB_CLI_ARGS_H
#define TB_CLI_ARGS_H

#include <stddef.h>

enum args_kind {
	ARGS_FLAG,  /* --name: *(int *)to = 1 */
	ARGS_TEXT,  /* --name VALUE, --name=VALUE: *(const char **)to */
	ARGS_NUMBER /* likewise: *(long *)to, from min to max */
};

struct args_option {
	const char *name; /* "--check" */
	enum args_kind kind;
	void *to; /* untouched when the option is not given */
	long min, max;
};

/* Reads the options behind argv[0] up to the first other word or "--". Returns the index
 * of the first word, or -1 and a sentence in err. */
int args_parse(const struct args_option *options, size_t count, int argc, char **argv,
	       char *err, size_t err_size);
enum args_words { ARGS_NO_WORDS, ARGS_WORDS };
/* As args_parse; reports by itself, words where none belong as well. */
int args_take(const struct args_option *options, size_t count, int argc, char **argv,
	      enum args_words words);

#endif
