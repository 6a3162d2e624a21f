/* SPDX-License-Identifier: Apache-2.0
 * The agent that a model's name means. */
#ifndef TB_OPENAI_TARGET_H
#define TB_OPENAI_TARGET_H

#include "edge/call.h"
#include "edge/store.h"

/* Zero it, but for what the client said. */
struct target {
	struct slice word; /* name or id; SLICE_NONE: the tenant's default agent */
	struct slice name; /* what the client called it, for the sentence of a refusal */
	struct agent_row agent;
};

/* To be called each time the call runs, until it is found: target->agent. False:
 * answered, or still under way. */
bool target_find(struct call *c, struct target *t);

#endif
