/* SPDX-License-Identifier: Apache-2.0
 * The rows of the tool policy. Nothing of it is kept here: each question goes to
 * Postgres, as the workers' do. Each sets c->asking and wakes the call. */
#ifndef TB_EDGE_POLICY_STORE_H
#define TB_EDGE_POLICY_STORE_H

#include "edge/change.h"
#include "proto/tools/policy_doc.h"

struct policy_rows {
	bool found;                  /* the agent */
	bool in_session;             /* the session that was named */
	struct policy_layers layers; /* in the request's arena */
	int64_t ceiling_version, agent_version, session_version; /* 0: no row */
};
/* key: SLICE_NONE: of no session. */
void policy_store_read(struct call *c, struct uuid agent, struct slice key,
		       struct policy_rows *out);
/* The tenant's alone. */
void policy_store_read_ceiling(struct call *c, struct policy_rows *out);
/* One layer: the tenant's (agent nil), an agent's (key SLICE_NONE) or a session's; doc as
 * policy_compose makes it, SLICE_NONE takes a session's away. */
void policy_store_put(struct call *c, struct uuid agent, struct slice key,
		      struct slice doc, struct change *ch);

#endif
