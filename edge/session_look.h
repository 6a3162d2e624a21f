/* SPDX-License-Identifier: Apache-2.0
 * The session that a path names: /v1/sessions/{id}... or
 * /v1/agents/{agent}/sessions/{key}... */
#ifndef TB_EDGE_SESSION_LOOK_H
#define TB_EDGE_SESSION_LOOK_H

#include "edge/session_store.h"

/* The first member of a handler's c->state. */
struct session_look {
	int stage;
	struct agent_row agent; /* when asked for */
	struct session_info info;
};

/* To be called each time the call is woken, until it is found. With the agent's row if
 * `with_agent`. False: answered, or still under way. */
bool session_look(struct call *c, struct session_look *l, bool with_agent);
/* Whether the path names it by its key: then the first parameter is the agent. */
bool session_is_by_key(const struct call *c);
/* The version that a path names behind its session; false: that is none. */
bool session_version(const struct call *c, int *version);
/* 404 */
void session_is_absent(struct call *c);

#endif
