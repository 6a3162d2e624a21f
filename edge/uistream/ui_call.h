/* SPDX-License-Identifier: Apache-2.0
 * A call that shows a run as a UI message stream, however it came to that run. Private to
 * the folder.
 *
 * At what a run asks a person the stream ends, as the SDK expects: its client comes back
 * with the answer. When the run waits is Postgres's to say: the events of a batch come
 * one by one, and in a replay what they ask may be answered long since. */
#ifndef TB_EDGE_UI_CALL_H
#define TB_EDGE_UI_CALL_H

#include "edge/merging.h"
#include "edge/placing.h"
#include "edge/question.h"
#include "edge/uistream/ui_chunks.h"
#include "edge/uistream/ui_input.h"

struct ui_call {
	struct question question; /* the first member: see edge/question.h */
	struct placing placing;
	struct ui_input input;
	struct agent_row agent;
	struct uuid session;
	struct ui chunks;
	bool is_ready; /* chunks is initialised */
	struct strbuf out;
	struct merging merging;
	struct uuid run;
	size_t unseen;       /* decisions whose question was not yet passed: until then
				nothing is shown */
	struct strbuf asked; /* ids of approvals that were shown, a space behind each */
	bool asks;           /* one was shown: look whether the run waits */
	bool checking;
	struct run_row check;
	bool is_over;
	/* of ui.c and ui_resume.c */
	size_t at;
	struct approval_row approval;
	struct run_page page;
};

/* Shows the run; before it is placed or followed. */
void ui_call_prepare(struct call *c);
/* Follows a run that there is. */
void ui_call_follow(struct call *c, struct uuid run);
/* Goes on; call it from the handler. */
void ui_call_step(struct call *c);
extern const struct follow_sink ui_sink;

#endif
