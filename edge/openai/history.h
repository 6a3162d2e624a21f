/* SPDX-License-Identifier: Apache-2.0
 * What was said before, into a session that is new: jobs of its lane, placed one after
 * the other and before the message, so that their order is sure. */
#ifndef TB_OPENAI_HISTORY_H
#define TB_OPENAI_HISTORY_H

#include "edge/openai/talk.h"
#include "edge/store.h"

/* Zero it; parts are owned. */
struct history {
	struct talk_part *parts;
	size_t count, at;
	struct slice idem_key; /* the request's; SLICE_NONE: none */
	const struct agent_row *agent;
	struct slice session_key, user;
	bool sent, answered;
	enum err error;
	const char *message;
	unsigned retry_after_s;
};

/* To be called each time the call runs, until true: all parts are durable. False:
 * answered, or still under way. */
bool history_place(struct call *c, struct history *h);
void history_fini(struct history *h);

#endif
