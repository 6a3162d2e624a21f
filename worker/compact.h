/* SPDX-License-Identifier: Apache-2.0
 * Compaction: a summary takes the place of a session's older messages in what the model
 * is shown. The messages stay where they are.
 *
 * It is a detour of the run machine (COMPACT to COMPACTED in run_steps.tbl): first, once
 * between two compactions, the model may save to its memory what it would lose; then it
 * writes the summary, in several calls if what is to be summarised does not fit one; then
 * summary, snapshot and the new start of the context are one commit. Whatever fails on
 * the way leaves the history as it was. */
#ifndef TB_COMPACT_H
#define TB_COMPACT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/slice.h"

struct compact;
struct run;

enum compact_why {
	COMPACT_FULL,     /* the context reached its threshold */
	COMPACT_OVERFLOW, /* the provider refused it as too long */
	COMPACT_ASKED     /* by a person: a lane job */
};

struct compact_wish {
	enum compact_why why;
	struct slice focus;    /* what the summary should heed above all; n 0: nothing */
	int keep_messages;     /* newest messages that stay; below 0: by their tokens */
	int64_t target_tokens; /* of the summary, at most; 0: as usual */
	int then;              /* enum run_step: where the run goes on, either way */
};

/* What became of a run's last compaction. */
struct compact_outcome {
	bool done;             /* false: nothing was compacted */
	int64_t before, after; /* tokens of the context */
	char problem[200];     /* one sentence, when it was not done and should have been;
				  "" when there was nothing to compact */
};

/* Of the measured question: its context is as large as may be, or so near to it that
 * memory is to be saved, and that has not been done. */
bool compact_is_due(struct run *r);
/* Of a question that was refused as too long, once until an answer comes. */
void compact_for_overflow(struct run *r);
/* What its open question has cost by now, for a run that ends in the midst of it; none:
 * nothing. */
void compact_account(struct run *r);
void compact_free(struct compact *c); /* NULL is fine */
/* The run's next step; r->session is loaded, r->agent, r->target and r->model are chosen,
 * no operation is under way and no call is open. The wish's text is copied. r->compacted
 * says what became of it when the run goes on at `then`; the session has to be loaded
 * again there (its head_seq differs from the run's), as before any question. */
void compact_start(struct run *r, const struct compact_wish *w);

#endif
