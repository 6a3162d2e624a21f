/* SPDX-License-Identifier: Apache-2.0
 * A run's events as chunks of the AI SDK's UI message stream (docs/protocols.md): the
 * translator. Pure.
 *
 * Whatever events come and wherever they stop, each text and each step that was opened is
 * closed and the stream ends with [DONE]. */
#ifndef TB_EDGE_UI_CHUNKS_H
#define TB_EDGE_UI_CHUNKS_H

#include "common/strbuf.h"
#include "edge/call_book.h"

struct ui {
	struct strbuf *out; /* server-sent events are appended */
	struct uuid run;    /* ours; of ids */
	struct call_book calls;
	char *error;
	char text[24]; /* id of the text part that is open */
	unsigned texts;
	bool text_open, step_open;
	bool step_has_calls;
	int64_t step;       /* of its calls */
	const char *reason; /* for the finish */
	bool client_calls;  /* there are some that the client is to carry out */
	bool ended;
};

void ui_init(struct ui *u, struct strbuf *out);
void ui_fini(struct ui *u);
/* message: the id of the message that is begun or goes on. */
void ui_start(struct ui *u, struct uuid run, struct slice message);
/* Nothing any more after the end. */
void ui_event(struct ui *u, const struct event_view *v);
/* The run waits for a person, whose client comes back with the answer. */
void ui_pause(struct ui *u);
/* What was shown so far is shown no more: the client has it. */
void ui_forget(struct ui *u);
/* The stream ends before the run does. */
void ui_cut(struct ui *u);

#endif
