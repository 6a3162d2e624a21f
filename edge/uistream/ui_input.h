/* SPDX-License-Identifier: Apache-2.0
 * What the AI SDK's chat transport posts, as an order or as answers to what a run asks.
 * Pure. */
#ifndef TB_EDGE_UI_INPUT_H
#define TB_EDGE_UI_INPUT_H

#include "edge/order.h"

#define UI_CHAT_MOST 480u
#define UI_DECISIONS_MOST 64u

struct ui_decision {
	struct uuid approval;
	bool approved;
	struct slice reason; /* of a denial */
};

struct ui_input {
	struct slice chat;    /* id */
	struct order order;   /* of the session ui:<id>; none with decisions */
	struct slice message; /* the assistant's message that goes on; SLICE_NONE: a new
				 one */
	bool cancels;         /* the client's leaving cancels the run */
	size_t decision_count;
	struct ui_decision decisions[UI_DECISIONS_MOST];
};

/* All slices live in the arena. False: fault is set. */
bool ui_input_read(struct slice body, struct arena *a, struct ui_input *out,
		   struct order_fault *fault);
/* The session's key of a chat; SLICE_NONE when that is no chat's id. */
struct slice ui_session_key(struct slice chat, struct arena *a);

#endif
