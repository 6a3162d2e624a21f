/* SPDX-License-Identifier: Apache-2.0
 * A run's events as AG-UI's (docs/protocols.md): the translator. Pure.
 *
 * Whatever events come and wherever they stop, RUN_STARTED is the first, each message and
 * each call that was opened is closed, and RUN_FINISHED or RUN_ERROR is the last. */
#ifndef TB_EDGE_AGUI_EVENTS_H
#define TB_EDGE_AGUI_EVENTS_H

#include "common/strbuf.h"
#include "edge/call_book.h"

struct agui {
	struct strbuf *out;       /* server-sent events are appended */
	struct slice thread, run; /* as the client names them */
	struct uuid ours;         /* our run; of ids */
	struct call_book calls;
	struct strbuf pending; /* ids of calls that the client is to carry out, JSON */
	char *error, *code;    /* what the run fails with */
	char message[64];      /* the text message that is open, or was last */
	bool is_open, has_message; /* of it */
	unsigned resets;
	bool ended;
};

/* thread and run have to outlive it. */
void agui_init(struct agui *a, struct strbuf *out, struct slice thread, struct slice run);
void agui_fini(struct agui *a);
/* RUN_STARTED. */
void agui_start(struct agui *a, struct uuid ours);
/* Nothing any more after the run's end. */
void agui_event(struct agui *a, const struct event_view *v);
/* The stream ends before the run does. */
void agui_cut(struct agui *a);

#endif
