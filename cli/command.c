/* SPDX-License-Identifier: Apache-2.0
 * Finding a command, the list of them, and the two that need nothing else. */
#include "cli/command.h"

#include <stdio.h>
#include <string.h>

#include "cli/report.h"
#include "common/attr.h"
#include "common/config.h"

static const struct command {
	const char *name;
	int (*function)(int argc, char **argv);
	const char *arguments, *help;
} commands[] = {
#define COMMAND(name, function, arguments, help) {#name, function, arguments, help},
#include "cli/commands.tbl"
#undef COMMAND
};

static void list_commands(FILE *out)
{
	fputs("usage: terabitsctl COMMAND [ARGUMENTS]\n\n", out);
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		fprintf(out, "  %s%s%s\n        %s\n", commands[i].name,
			*commands[i].arguments ? " " : "", commands[i].arguments,
			commands[i].help);
}

int help_command(int argc, char **argv)
{
	(void)argc, (void)argv;
	list_commands(stdout);
	fputs("\nEnvironment, beside the node's own settings below:\n"
	      "  TERABITS_DATABASE_URL    migrate: the owner's connection string; else "
	      "the file secrets/owner of the state directory\n"
	      "  TERABITS_MIGRATIONS      migrate: directory of the migrations\n"
	      "  TERABITS_TOKEN           send, chat: the token; else the file token of "
	      "the state directory\n\n",
	      stdout);
	config_help(stdout);
	return EXIT_FINE;
}

int version_command(int argc, char **argv)
{
	(void)argc, (void)argv;
	puts("terabitsctl " TB_VERSION);
	return EXIT_FINE;
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
		list_commands(stderr);
		return EXIT_USAGE;
	}
	const char *name = without_dashes(argv[1]);
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (!strcmp(commands[i].name, name))
			return commands[i].function(argc - 1, argv + 1);
	report("there is no command '%s'", argv[1]);
	list_commands(stderr);
	return EXIT_USAGE;
}
