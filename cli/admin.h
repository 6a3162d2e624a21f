/* SPDX-License-Identifier: Apache-2.0
 * The admin socket of the node of a state directory. */
#ifndef TB_CLI_ADMIN_H
#define TB_CLI_ADMIN_H

#include "common/strbuf.h"

/* Sends one command ("status") and reads the answer's line into *out. 0, or an exit
 * status of command.h: reported. */
int admin_ask(const char *state, const char *command, struct strbuf *out);

#endif
