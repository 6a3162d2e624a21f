/* SPDX-License-Identifier: Apache-2.0
 * The admin socket of the node of a state directory: one request, one line of answer. */
#ifndef TB_CLI_ADMIN_H
#define TB_CLI_ADMIN_H

#include "common/json.h"
#include "common/strbuf.h"

/* Begins a request: {"cmd":"<cmd>","args":{ ; the caller adds members, admin_end ends
 * both objects. */
struct json_out admin_begin(struct strbuf *request, const char *cmd);
void admin_end(struct json_out *o);

/* Sends a request and parses the answer, whose text *line keeps. NULL: *status is an exit
 * status of command.h, and the reason was reported, the node's own {"error":..} included.
 */
struct json_doc *admin_ask(const char *state, struct slice request, struct strbuf *line,
			   int *status);
/* Whether a node listens: its refusals are answers too. */
int admin_is_there(const char *state);

#endif
