/* SPDX-License-Identifier: Apache-2.0
 * From the question to the answer, or to the end of patience. */
#include "edge/question.h"

#include "edge/reply.h"

/* The supervisor answers after its commit; one that is silent for so long is stuck. */
#define ANSWER_US 15000000

static void on_end(struct call *c)
{
	struct question *q = c->state;
	loop_timer_free(q->patience);
}

static void on_patience(void *arg)
{
	struct call *c = arg;
	struct question *q = c->state;
	q->silent = true;
	call_wake(c);
}

void question_asked(struct call *c, bool sent)
{
	struct question *q = c->state;
	if (!sent) {
		reply_err(c->request, ERR_UNAVAILABLE, NULL, NULL, 1);
		return;
	}
	c->at_supervisor = true;
	c->on_end = on_end;
	q->patience = loop_timer_new(c->edge->loop, on_patience, c);
	loop_timer_start(q->patience, ANSWER_US);
}

bool question_answered(struct call *c, struct slice error, struct slice message)
{
	struct question *q = c->state;
	struct arena *a = c->request->arena;
	if (!c->at_supervisor)
		return false;
	c->at_supervisor = false;
	q->known = true;
	q->error = error.n ? err_from_code(arena_slice(a, error).p) : ERR_OK;
	q->message = message.n ? arena_slice(a, message).p : NULL;
	call_wake(c);
	return true;
}
