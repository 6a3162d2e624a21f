/* SPDX-License-Identifier: Apache-2.0
 * Agents by name or id, sessions by key: caches in front of Postgres. */
#ifndef TB_EDGE_LOOKUP_H
#define TB_EDGE_LOOKUP_H

#include "edge/call.h"
#include "edge/store.h"

struct cache *lookup_agents_new(struct edge *e);
struct cache *lookup_sessions_new(struct edge *e);
/* By c->wait, as cache_look. */
enum cache_verdict lookup_agent(struct call *c, struct slice word, struct agent_row *out);
/* What a look-up came to. False: answered (404 with that text and parameter, or why it
 * failed), or it is still under way. */
bool lookup_found(struct call *c, enum cache_verdict v, const char *param,
		  const char *absent);
/* The agent that the path's first parameter names; likewise. */
bool lookup_agent_of_path(struct call *c, struct agent_row *out);
/* getOrCreate. user: of a session that is made now. ABSENT: the agent is gone. */
enum cache_verdict lookup_session(struct call *c, struct uuid agent, struct slice key,
				  struct slice user, struct session_row *out,
				  unsigned *slot);
/* The session turned out to be closed: its key may name a new one. */
void lookup_forget_session(struct call *c, struct uuid agent, struct slice key);
void lookup_invalidate_agent(struct edge *e, struct uuid agent);
void lookup_invalidate_session(struct edge *e, struct uuid session);

#endif
