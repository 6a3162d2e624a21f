/* SPDX-License-Identifier: Apache-2.0
 * What the calls about the tool policy share. */
#ifndef TB_EDGE_POLICY_H
#define TB_EDGE_POLICY_H

#include "edge/lookup.h"

/* The agent of the path. False: answered 404, or the call is woken when it is known. */
bool policy_find_agent(struct call *c, struct agent_row *out);
/* What Postgres answered names the agent and, where one was asked for, the session.
 * False: answered. */
struct policy_rows;
bool policy_was_found(struct call *c, const struct policy_rows *rows, bool with_session);

#endif
