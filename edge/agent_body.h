/* SPDX-License-Identifier: Apache-2.0
 * What a client says of an agent: its name, its limit, and beside them the members of
 * its configuration (proto/model/agent_config.h). */
#ifndef TB_EDGE_AGENT_BODY_H
#define TB_EDGE_AGENT_BODY_H

#include "edge/call.h"

#define AGENT_RUNNING_MOST 1000000

/* NEW: a name is needed, and a profile may be given. WHOLE: what GET shows beside the
 * members may stand there and says nothing. PART: null takes a member away. CLONE: name
 * and revision alone. */
enum agent_body_for {
	AGENT_BODY_NEW = 1,
	AGENT_BODY_WHOLE = 2,
	AGENT_BODY_PART = 4,
	AGENT_BODY_CLONE = 8
};
/* In the request's arena. */
struct agent_body {
	struct slice name;   /* SLICE_NONE: not given */
	int64_t max_running; /* -1: not given */
	int64_t revision;    /* -1: not given */
	const char *profile;
	struct slice config; /* a JSON object of the members that were given */
};

/* False: answered 400, naming the member. */
bool agent_body_read(struct call *c, enum agent_body_for what, struct agent_body *out);

#endif
