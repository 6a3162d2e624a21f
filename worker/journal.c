/* SPDX-License-Identifier: Apache-2.0
 * Batching, and what happens when a batch does not come back well:
 *
 *	answered            each item landed, or is stale
 *	not sent            waits for the connection and goes again
 *	deadlock and such   not committed: goes again, a few times
 *	other error         all of it goes again, one by one; alone, a row that the
 *	                    database refuses is refused, and what it cannot take now (its
 *	                    lane is locked, a disk is full) goes again after a pause of
 *	                    its own
 *	connection lost     unknown: tb.lane_state decides each, in the same way */
#include "worker/journal.h"

#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/backoff.h"
#include "common/clock.h"
#include "common/crypto.h"
#include "common/fault.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/pg/error.h"
#include "common/pg/pool.h"
#include "worker/journal_params.h"
#include "worker/sql.h"
#include "worker/worker.h"

#define AGAIN_MOST 3
/* A lane's lock is held for one commit. What waits longer, waits alone. */
#define LOCK_TIMEOUT_ALONE SLICE("10ms")

static const struct backoff pause = {.first_us = 100000, .cap_us = 5000000};

struct journal {
	struct worker *worker;
	struct list waiting, flying;
	struct list unknown, asking; /* whether they landed */
	struct list held;            /* until they are due */
	struct loop_timer *wake;     /* the first of them is */
	unsigned again;              /* deadlocks and the like, one after the other */
};

static void on_batch(void *arg, const struct pg_answer *a);
static void on_states(void *arg, const struct pg_answer *a);

/* ---- fault points, by what a commit is */

static bool is_t2(const struct commit *c)
{
	return c->usage_count && c->tool_count;
}

static bool is_t3(const struct commit *c)
{
	return !c->usage_count && c->tool_count && c->message_count && !c->has_end;
}

/* Of a job or a compaction; what ends with its act is a T5. */
static bool is_act(const struct commit *c)
{
	for (size_t i = 0; i < c->act_count; i++)
		if (strcmp(c->acts[i].what, "settle") != 0)
			return !c->has_end;
	return false;
}

/* Of the calls of a turn before. */
static bool is_results(const struct commit *c)
{
	return c->message_count && !c->usage_count && !c->tool_count && !c->act_count &&
	       !c->has_end;
}

static void pass_send(const struct commit *c)
{
	if (is_act(c))
		FAULT(ACT_SEND);
	if (is_t2(c))
		FAULT(T2_SEND);
	if (is_t3(c))
		FAULT(T3_SEND);
	if (c->has_end)
		FAULT(T5_SEND);
}

static void pass_landed(const struct commit *c, const struct commit_result *res)
{
	if (is_act(c))
		FAULT(ACT_LANDED);
	if (is_t2(c))
		FAULT(T2_LANDED);
	if (is_t3(c))
		FAULT(T3_LANDED);
	if (is_results(c))
		FAULT(RESULTS_LANDED);
	if (res->taken.n)
		FAULT(T4_LANDED);
	if (c->has_end)
		FAULT(T5_LANDED);
	if (c->has_retry)
		FAULT(RETRY_LANDED);
	if (c->ask_count)
		FAULT(WAITING_LANDED);
}

/* ---- outcomes */

static void settle(struct commit *c, struct commit_result res)
{
	list_remove(&c->node);
	if (res.outcome == COMMIT_LANDED)
		pass_landed(c, &res);
	c->done(c->arg, &res);
}

static void settle_as(struct commit *c, enum commit_outcome o)
{
	settle(c, (struct commit_result){.outcome = o});
}

/* Back to the front of where they came from, in order. */
static void return_all(struct list *from, struct list *to)
{
	while (!list_is_empty(from)) {
		struct list *n = from->prev;
		list_remove(n);
		list_push_front(to, n);
	}
}

/* ---- those that wait alone */

static void aim_wake(struct journal *j)
{
	int64_t due_us = INT64_MAX;
	if (list_is_empty(&j->held))
		return;
	list_each (n, &j->held) {
		const struct commit *c = list_entry(n, struct commit, node);
		due_us = c->due_us < due_us ? c->due_us : due_us;
	}
	due_us -= clock_mono_us();
	loop_timer_start(j->wake, due_us > 0 ? due_us : 0);
}

static void hold(struct journal *j, struct commit *c)
{
	uint32_t dice;
	crypto_random(&dice, sizeof dice);
	c->tries++;
	c->due_us =
		clock_mono_us() + backoff_us(&pause, c->tries, dice, pause.first_us / 2);
	list_remove(&c->node);
	list_push(&j->held, &c->node);
	aim_wake(j);
}

/* Behind those that wait: runs have no order among each other. */
static void on_wake(void *arg)
{
	struct journal *j = arg;
	int64_t now_us = clock_mono_us();
	list_each (n, &j->held) {
		struct commit *c = list_entry(n, struct commit, node);
		if (c->due_us > now_us)
			continue;
		list_remove(n);
		list_push(c->unsure ? &j->unknown : &j->waiting, n);
	}
	aim_wake(j);
	loop_again(j->worker->loop);
}

static bool is_single(const struct list *l)
{
	return l->next == l->prev;
}

/* What was sent is not committed, and going again at once is not enough: one by one; one
 * that is alone already waits. */
static void separate(struct journal *j, struct list *sent, struct list *from)
{
	if (is_single(sent)) {
		hold(j, list_entry(sent->next, struct commit, node));
		return;
	}
	list_each (n, sent)
		list_entry(n, struct commit, node)->alone = 1;
	return_all(sent, from);
}

/* ---- sending */

/* As many as go together; true: it is one that goes alone. */
static bool gather(struct list *from, struct list *to)
{
	size_t bytes = 0;
	int n = 0;
	list_each (node, from) {
		struct commit *c = list_entry(node, struct commit, node);
		if (n && (n == (int)LIMIT_BATCH_RUNS || c->alone ||
			  bytes + c->bytes > LIMIT_BATCH_BYTES))
			break;
		list_remove(node);
		list_push(to, node);
		bytes += c->bytes;
		n++;
		if (c->alone)
			return true;
	}
	return false;
}

static struct pg_request *begin(struct journal *j, bool alone)
{
	struct pg_request *r = pg_begin(j->worker->pool);
	if (alone) /* it waited before: not long here, where others wait behind it */
		pg_text(pg_add(r, SQL_LOCK_TIMEOUT), LOCK_TIMEOUT_ALONE);
	return r;
}

static void fly(struct journal *j)
{
	if (!list_is_empty(&j->flying) || list_is_empty(&j->waiting))
		return;
	struct pg_request *r = begin(j, gather(&j->waiting, &j->flying));
	journal_params(pg_add(r, SQL_JOURNAL), &j->flying);
	pg_submit(r, CONN_JOURNAL, 0, on_batch, j);
}

/* ---- unknown outcomes */

static void ask_states(struct journal *j)
{
	if (!list_is_empty(&j->asking) || list_is_empty(&j->unknown))
		return;
	struct pg_request *r = begin(j, gather(&j->unknown, &j->asking));
	struct pg_params *p = pg_add(r, SQL_LANE_STATE);
	pg_array(p, PG_INT8);
	list_each (n, &j->asking)
		pg_i64(p, list_entry(n, struct commit, node)->tenant);
	pg_array_end(p);
	pg_array(p, PG_UUID);
	list_each (m, &j->asking)
		pg_uuid(p, list_entry(m, struct commit, node)->session);
	pg_array_end(p);
	pg_array(p, PG_TEXT);
	list_each (k, &j->asking)
		pg_text(p, slice_str(list_entry(k, struct commit, node)->cap));
	pg_array_end(p);
	pg_submit(r, CONN_JOURNAL, 0, on_states, j);
}

static void on_turn_end(void *arg)
{
	struct journal *j = arg;
	ask_states(j);
	fly(j);
}

/* In front of what was asked for there may be the lock's limit. */
static const struct pg_result *last_of(const struct pg_answer *a)
{
	return a->results[a->result_count - 1];
}

static void decide(struct journal *j, struct commit *c, const struct pg_result *r,
		   int position)
{
	for (int row = 0; row < pg_rows(r); row++) {
		if (pg_get_i64(r, row, 0) != position)
			continue;
		int64_t commit_no = pg_get_i64(r, row, 2);
		if (pg_get_i64(r, row, 1) != c->fence)
			break;
		if (commit_no == c->commit_no + 1) {
			settle(c,
			       (struct commit_result){.outcome = COMMIT_LANDED,
						      .head_seq = pg_get_i64(r, row, 3),
						      .unseen = true});
			return;
		}
		if (commit_no == c->commit_no) {
			c->unsure = 0;
			list_remove(&c->node);
			list_push(&j->waiting, &c->node);
			return;
		}
	}
	settle_as(c, COMMIT_STALE);
}

static void on_states(void *arg, const struct pg_answer *a)
{
	struct journal *j = arg;
	int position = 0;
	if (a->err == ERR_CANCELLED)
		return;
	if (!a->err) {
		list_each (n, &j->asking)
			decide(j, list_entry(n, struct commit, node), last_of(a),
			       ++position);
	} else if (a->fate == PG_ROLLED_BACK) {
		log_warn("lanes-not-read", "sqlstate=%s message=\"%s\"", a->sqlstate,
			 a->message);
		separate(j, &j->asking, &j->unknown);
	} else {
		return_all(&j->asking, &j->unknown);
	}
	loop_again(j->worker->loop);
}

/* ---- answers */

static struct commit_result landed(const struct pg_result *r, int row)
{
	return (struct commit_result){
		.outcome = COMMIT_LANDED,
		.head_seq = pg_get_i64(r, row, 2),
		.at_us = pg_get_time(r, row, 4),
		.taken = pg_get_text(r, row, 5),
		.goes_on = slice_is(pg_get_text(r, row, 6), "continue"),
		.versions = pg_get_text(r, row, 7),
		.asks_until_us = pg_get_time(r, row, 8)};
}

static void take_answer(struct journal *j, const struct pg_result *r)
{
	int row = 0;
	list_each (n, &j->flying) {
		struct commit *c = list_entry(n, struct commit, node);
		if (slice_is(pg_get_text(r, row, 1), "ok"))
			settle(c, landed(r, row));
		else
			settle_as(c, COMMIT_STALE);
		row++;
	}
}

static void take_refusal(struct journal *j, const struct pg_answer *a)
{
	enum pg_error kind = pg_error_kind(a->sqlstate);
	log_warn("journal-refused", "sqlstate=%s message=\"%s\"", a->sqlstate,
		 a->message);
	if (kind == PG_ERROR_AGAIN && ++j->again < AGAIN_MOST) {
		return_all(&j->flying, &j->waiting);
		return;
	}
	j->again = 0;
	if (kind == PG_ERROR_ROW && is_single(&j->flying))
		settle(list_entry(j->flying.next, struct commit, node),
		       (struct commit_result){.outcome = COMMIT_REFUSED,
					      .refusal = a->message});
	else
		separate(j, &j->flying, &j->waiting);
}

static void on_batch(void *arg, const struct pg_answer *a)
{
	struct journal *j = arg;
	if (a->err == ERR_CANCELLED)
		return;
	if (!a->err) {
		j->again = 0;
		take_answer(j, last_of(a));
	} else if (a->fate == PG_ROLLED_BACK) {
		take_refusal(j, a);
	} else if (a->fate == PG_NOT_SENT) {
		return_all(&j->flying, &j->waiting);
	} else {
		list_each (n, &j->flying)
			list_entry(n, struct commit, node)->unsure = 1;
		return_all(&j->flying, &j->unknown);
	}
	loop_again(j->worker->loop); /* what waited goes now */
}

struct journal *journal_new(struct worker *w)
{
	struct journal *j = xcalloc(1, sizeof *j);
	j->worker = w;
	list_init(&j->waiting);
	list_init(&j->flying);
	list_init(&j->unknown);
	list_init(&j->asking);
	list_init(&j->held);
	j->wake = loop_timer_new(w->loop, on_wake, j);
	/* Before the pool's own hook of the DATABASE phase: the batch leaves this turn.
	 */
	loop_hook(w->loop, LOOP_STEPS, on_turn_end, j);
	return j;
}

void journal_submit(struct journal *j, struct commit *c)
{
	pass_send(c);
	list_push(&j->waiting, &c->node);
	loop_again(j->worker->loop);
}
