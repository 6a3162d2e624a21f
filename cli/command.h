/* SPDX-License-Identifier: Apache-2.0
 * The commands of terabitsctl: one row of commands.tbl each, and how they are found. */
#ifndef TB_CLI_COMMAND_H
#define TB_CLI_COMMAND_H

enum command_exit {
	EXIT_FINE = 0,
	EXIT_FAILED = 1, /* what was asked for did not happen */
	EXIT_USAGE = 2,  /* the command line is wrong */
	EXIT_AWAY = 3    /* no node, or it cannot be reached */
};

/* Runs the command named by argv[1]; the value is the exit status. */
int command_run(int argc, char **argv);

#define COMMAND(name, function, arguments, help) int function(int argc, char **argv);
#include "cli/commands.tbl"
#undef COMMAND

#endif
