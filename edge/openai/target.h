/* SPDX-License-Identifier: Apache-2.0
 * The agent that a model's name means. */
#ifndef TB_OPENAI_TARGET_H
#define TB_OPENAI_TARGET_H

#include "edge/openai/store.h"

/* Zero it but for `word`. */
struct target {
	struct slice word; /* name or id; SLICE_NONE: the tenant's default agent */
	struct slice name; /* what the client called it, for the sentence of a refusal */
	struct agent_row agent;
	unsigned tried;
	bool listed;
	struct model_page only;
};

/* To be called each time the call runs, until it is found: target->agent. The default one
 * is "default", else "main", else the only one there is. False: answered, or still under
 * way. */
bool target_find(struct call *c, struct target *t);

#endif
