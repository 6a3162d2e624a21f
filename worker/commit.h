/* SPDX-License-Identifier: Apache-2.0
 * Building a run's next commit and taking its outcome. */
#ifndef TB_COMMIT_H
#define TB_COMMIT_H

#include "worker/journal.h"

struct run;
struct run_call;

/* Empties the run's commit; then the commit_* calls add to it, in the order in which
 * people shall see it; then commit_submit. All text is copied to the run's arena. */
void commit_begin(struct run *r);
/* The model's answer as message, its text as event, its usage. */
void commit_answer(struct run *r);
/* A call: its row, and an event. `state` is pending, running, completed or error. The
 * last two also append the tool's message. */
void commit_call(struct run *r, size_t call, const char *state);
/* A call whose outcome nobody knows: row `unknown`, and a message that says so. */
void commit_unknown(struct run *r, size_t call, const char *text);
/* What was streamed of an answer is void. */
void commit_reset_event(struct run *r);
/* The run's end: error event for a failure, lifecycle event, archive. */
void commit_end(struct run *r, enum run_result result);
/* Hands it to the journal; r->committing until it is decided, then the run is woken with
 * r->outcome, its session and counters brought up to date and its events shown. */
void commit_submit(struct run *r);

#endif
