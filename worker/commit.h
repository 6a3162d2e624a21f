/* SPDX-License-Identifier: Apache-2.0
 * Building a run's next commit and taking its outcome. */
#ifndef TB_COMMIT_H
#define TB_COMMIT_H

#include "common/err.h"
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
/* A call that has no result and will have none: row `unknown` (its outcome is not known),
 * `cancelled` or `error`, and a message that says the text, which is not copied. */
void commit_void(struct run *r, size_t call, const char *state, const char *text);
/* The message of a result that came from outside, JSON. */
void commit_result(struct run *r, struct slice content);
/* The end of a turn whose open calls are the client's: they are shown, and the run has
 * completed. */
void commit_hand_over(struct run *r);
/* The calls that ask: a person is asked for all of them, and the run waits for that.
 * Beside their rows, which are pending. */
void commit_asks(struct run *r);
/* A lifecycle event; metadata: a JSON object. */
void commit_phase(struct run *r, const char *phase, struct slice metadata);
/* The last message of the commit: a summary, and the act that makes it the start of the
 * context. Both JSON. */
void commit_summary(struct run *r, struct slice content, struct slice act);
/* What was streamed of an answer is void. */
void commit_reset_event(struct run *r);
/* An event: another model of its chain is asked. */
void commit_failover(struct run *r, const char *from, const char *to, enum err why,
		     const char *text);
/* The run's end: error event for a failure, lifecycle event, archive. */
void commit_end(struct run *r, enum run_result result);
/* The run goes back to the queue for another attempt after a pause, because of `why` and
 * r->failure_text. */
void commit_retry(struct run *r, int64_t pause_us, enum err why);
/* The waiting messages that r->take names become the run's, after what the commit holds.
 * Not with an end. */
void commit_take(struct run *r);
/* An act of tb.act, by its name; data: JSON, copied. */
void commit_act(struct run *r, const char *what, struct slice data);
/* Hands it to the journal; r->committing until it is decided, then the run is woken with
 * r->outcome, its session and counters brought up to date and its events shown. */
void commit_submit(struct run *r);

#endif
