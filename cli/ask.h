/* SPDX-License-Identifier: Apache-2.0
 * Commands that are a question to the node: the request out of the options, the answer
 * out of answers.tbl. */
#ifndef TB_CLI_ASK_H
#define TB_CLI_ASK_H

#include "cli/command.h"
#include "common/json.h"
#include "common/strbuf.h"

/* Appends the request of a command, a line. `cmd`: of this command; the arguments' own or
 * its peek's, which takes only what its row names. */
void ask_compose(struct strbuf *out, const struct args *a, const struct command *cmd);
/* Prints an answer's document by the rows of the command: sentence, then tables; or the
 * JSON line. */
void ask_print(const struct args *a, struct slice line, json_t answer);
/* Filters of PEEK. */
int ask_is_waiting(const struct args *a, json_t run);
int ask_is_dead(const struct args *a, json_t dead);

#endif
