/* SPDX-License-Identifier: Apache-2.0
 * Finding and running a command. */
#include "cli/command.h"

#include <stdio.h>
#include <string.h>

#include "cli/confirm.h"
#include "cli/help.h"
#include "cli/report.h"
#include "cli/suggest.h"
#include "common/attr.h"

/* clang-format off */
#define WORDLESS {0, 0, {0, 0, 0}}
#define NEED1(a) {1, 1, {PARAM_##a, 0, 0}}
#define NEED1_MAY1(a, b) {2, 1, {PARAM_##a, PARAM_##b, 0}}
#define NEED2(a, b) {2, 2, {PARAM_##a, PARAM_##b, 0}}
#define NEED2_MAY1(a, b, c) {3, 2, {PARAM_##a, PARAM_##b, PARAM_##c}}
#define MAY1(a) {1, 0, {PARAM_##a, 0, 0}}
#define MAY2(a, b) {2, 0, {PARAM_##a, PARAM_##b, 0}}
/* clang-format on */

static const struct command commands[] = {
#define SINGLE(name, function, words, options, risk, help)                               \
	{#name, "", function, words, options, risk, help},
#define COMMAND(noun, verb, function, words, options, risk, help)                        \
	{#noun, #verb, function, words, options, risk, help},
#define NAMED(name, noun, verb, function, words, options, risk, help)                    \
	{name, #verb, function, words, options, risk, help},
#include "cli/commands.tbl"
#undef SINGLE
#undef COMMAND
#undef NAMED
};

const struct command *command_at(enum command_id id)
{
	return &commands[id];
}

enum command_id command_id(const struct command *c)
{
	return (enum command_id)(c - commands);
}

const struct command *command_find(const char *noun, const char *verb)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (!strcmp(commands[i].noun, noun) && !strcmp(commands[i].verb, verb))
			return &commands[i];
	return NULL;
}

int command_is_noun(const char *noun)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (!strcmp(commands[i].noun, noun))
			return 1;
	return 0;
}

/* ---- what is no command */

static int no_such_noun(const char *word)
{
	const char *names[COMMAND__COUNT];
	for (size_t i = 0; i < COMMAND__COUNT; i++)
		names[i] = commands[i].noun;
	const char *near = suggest(word, names, COMMAND__COUNT);
	if (near)
		report("there is no command '%s'. Did you mean '%s'?", word, near);
	else
		report("there is no command '%s'; 'terabitsctl help' lists them", word);
	return EXIT_USAGE;
}

/* A noun without a verb, or with one that it does not have. */
static int no_such_verb(const char *noun, const char *word)
{
	const char *names[COMMAND__COUNT];
	size_t n = 0;
	for (size_t i = 0; i < COMMAND__COUNT; i++)
		if (!strcmp(commands[i].noun, noun))
			names[n++] = commands[i].verb;
	const char *near = word ? suggest(word, names, n) : NULL;
	if (!word)
		report("%s what?", noun);
	else if (near)
		report("there is no command '%s %s'. Did you mean '%s %s'?", noun, word,
		       noun, near);
	else
		report("there is no command '%s %s'", noun, word);
	help_noun(stderr, noun);
	return EXIT_USAGE;
}

/* ---- running */

static int run(const struct command *c, int argc, char **argv)
{
	struct args a;
	char err[400];
	if (args_parse(&a, c, argc, argv, err, sizeof err)) {
		report("%s%s%s: %s. 'terabitsctl help %s%s%s' says what it takes",
		       c->noun, *c->verb ? " " : "", c->verb, err, c->noun,
		       *c->verb ? " " : "", c->verb);
		return EXIT_USAGE;
	}
	if (args_has(&a, O(help))) {
		help_of(stdout, c);
		return EXIT_FINE;
	}
	int refused = confirm(&a);
	return refused ? refused : c->function(&a);
}

static const char *without_dashes(const char *word)
{
	return !strcmp(word, "--help") || !strcmp(word, "-h") ? "help"
	       : !strcmp(word, "--version")                   ? "version"
							      : word;
}

int command_run(int argc, char **argv)
{
	if (argc < 2) {
		help_list(stderr);
		return EXIT_USAGE;
	}
	const char *noun = without_dashes(argv[1]), *verb = argc > 2 ? argv[2] : NULL;
	const struct command *c = command_find(noun, "");
	if (c)
		return run(c, argc - 2, argv + 2);
	if (!command_is_noun(noun))
		return no_such_noun(argv[1]);
	if (verb && !strcmp(without_dashes(verb), "help")) {
		help_noun(stdout, noun);
		return EXIT_FINE;
	}
	c = verb && *verb ? command_find(noun, verb) : NULL;
	return c ? run(c, argc - 3, argv + 3) : no_such_verb(noun, verb);
}
