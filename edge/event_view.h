/* SPDX-License-Identifier: Apache-2.0
 * One event of a run, read: what the protocols that are not our own are told of it.
 *
 * Whatever a body lacks is SLICE_NONE, NULL, false or 0. Owns: the body's document. */
#ifndef TB_EDGE_EVENT_VIEW_H
#define TB_EDGE_EVENT_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "common/ident.h"
#include "common/json.h"
#include "common/slice.h"

struct sse_item;

enum view_kind {
	VIEW_TEXT,  /* `content` belongs to the message of that seq */
	VIEW_RESET, /* what was shown of the message is void */
	VIEW_TOOL,
	VIEW_PRINTED, /* a tool that runs has printed `content` */
	VIEW_PHASE,   /* of the run, not its last */
	VIEW_ERROR,   /* what it fails with; its end follows */
	VIEW_END,
	VIEW_OTHER
};
enum view_state { VIEW_PENDING, VIEW_RUNNING, VIEW_COMPLETED, VIEW_FAILED };

struct event_view {
	struct json_doc *doc;
	enum view_kind kind;
	uint32_t seq;
	bool durable;
	struct slice content;
	struct slice stop; /* why the text or the run stopped: "length", "client_tools" */
	/* VIEW_TOOL, VIEW_PRINTED */
	enum view_state state;
	struct slice call_id, tool, stream;
	int64_t step; /* in which answer of the model the call stands */
	json_t input, output;
	bool client_side;
	struct slice approval, approval_state; /* its id; "pending" and so on */
	json_t approval_body;
	/* VIEW_PHASE, VIEW_END */
	struct slice phase, result; /* result: of a VIEW_END, run_result's word */
	json_t metadata;
	struct uuid merged_into; /* not nil: the message went into that run */
	int64_t tokens_in, tokens_out;
	/* VIEW_ERROR, VIEW_END */
	struct slice error, code;
};

/* A body that cannot be read is VIEW_OTHER. */
void event_view_read(const struct sse_item *item, struct event_view *out);
void event_view_fini(struct event_view *v);

#endif
