/* SPDX-License-Identifier: Apache-2.0
 * The body of an AG-UI request, RunAgentInput, as an order. Pure. */
#ifndef TB_EDGE_AGUI_INPUT_H
#define TB_EDGE_AGUI_INPUT_H

#include "edge/order.h"

#define AGUI_THREAD_MOST 480u
#define AGUI_RUN_MOST 256u

struct agui_input {
	struct slice thread, run; /* threadId, runId */
	struct order order;       /* of the session agui:<threadId> */
	struct slice idem_key; /* so that the same request again follows the same run */
	bool cancels;          /* the client's leaving cancels the run */
};

/* `agent`: as the path names it. All slices live in the arena. False: fault is set. */
bool agui_input_read(struct slice body, struct slice agent, struct arena *a,
		     struct agui_input *out, struct order_fault *fault);

#endif
