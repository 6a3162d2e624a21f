/* SPDX-License-Identifier: Apache-2.0
 * What the edge reads of sessions' contexts. */
#ifndef TB_EDGE_STORE_CONTEXT_H
#define TB_EDGE_STORE_CONTEXT_H

#include "edge/call.h"

struct context_row {
	struct slice body; /* JSON; n 0: there is none */
};
/* what: SQL_CONTEXT, SQL_SNAPSHOTS of versions before that one, `limit` of them, or
 * SQL_SNAPSHOT with its version; SQL_SESSION_SKILLS,
 * SQL_SESSION_SKILLS_ANEW, or, of an agent, SQL_AGENT_SKILLS. The call is woken when the
 * answer is there. */
void store_read_context(struct call *c, enum sql what, struct uuid id, int version,
			int limit, struct context_row *out);

#endif
