/* SPDX-License-Identifier: Apache-2.0
 * Help texts out of the tables. */
#ifndef TB_CLI_HELP_H
#define TB_CLI_HELP_H

#include <stdio.h>

#include "cli/command.h"

/* All commands, a line each. */
void help_list(FILE *out);
/* Those that begin with this word. */
void help_noun(FILE *out, const char *noun);
/* One command: usage, words, options. */
void help_of(FILE *out, const struct command *c);

#endif
