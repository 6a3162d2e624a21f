/* SPDX-License-Identifier: Apache-2.0
 * The commands of terabitsctl: one row of commands.tbl each, and how they are found. */
#ifndef TB_CLI_COMMAND_H
#define TB_CLI_COMMAND_H

#include "cli/args.h"

enum command_exit {
	EXIT_FINE = 0,
	EXIT_FAILED = 1,  /* what was asked for did not happen */
	EXIT_USAGE = 2,   /* the command line is wrong */
	EXIT_ABSENT = 3,  /* there is no such run, lane, tenant ... */
	EXIT_TIMEOUT = 4, /* the time given for it is over */
	EXIT_AWAY = 5     /* no node, or it cannot be reached */
};

enum command_id {
#define SINGLE(name, function, words, options, risk, help) COMMAND_##name##_,
#define COMMAND(noun, verb, function, words, options, risk, help) COMMAND_##noun##_##verb,
#define NAMED(name, noun, verb, function, words, options, risk, help)                    \
	COMMAND_##noun##_##verb,
#include "cli/commands.tbl"
#undef SINGLE
#undef COMMAND
#undef NAMED
	COMMAND__COUNT
};

struct command_words {
	uint8_t count, least;
	uint8_t id[3];
};

struct command {
	const char *noun, *verb; /* verb "": a command of one word */
	int (*function)(const struct args *a);
	struct command_words words;
	param_set options;
	const char *risk; /* "": none */
	const char *help;
};

const struct command *command_at(enum command_id id);
enum command_id command_id(const struct command *c);
/* NULL: there is none. */
const struct command *command_find(const char *noun, const char *verb);
/* Whether some command begins with this word. */
int command_is_noun(const char *noun);
/* Runs the command named by argv[1] (and argv[2]); the value is the exit status. */
int command_run(int argc, char **argv);

#define SINGLE(name, function, words, options, risk, help)                               \
	int function(const struct args *a);
#define COMMAND(noun, verb, function, words, options, risk, help)                        \
	int function(const struct args *a);
#define NAMED(name, noun, verb, function, words, options, risk, help)                    \
	int function(const struct args *a);
#include "cli/commands.tbl"
#undef SINGLE
#undef COMMAND
#undef NAMED

#endif
