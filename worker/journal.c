/* SPDX-License-Identifier: Apache-2.0
 * Batching, and what happens when a batch does not come back well:
 *
 *	answered            each item landed, or is stale
 *	not sent            waits for the connection and goes again
 *	40001, 40P01        not committed: goes again
 *	other error         one bad row: all of it goes again, one by one; alone, it is
 *	                    refused
 *	connection lost     unknown: tb.lane_state decides each */
#include "worker/journal.h"

#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/fault.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/pg/pool.h"
#include "worker/journal_params.h"
#include "worker/sql.h"
#include "worker/worker.h"

struct journal {
	struct worker *worker;
	struct list waiting, flying, unknown;
	struct loop_timer *again;
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

static void pass_send(const struct commit *c)
{
	if (is_t2(c))
		FAULT(T2_SEND);
	if (is_t3(c))
		FAULT(T3_SEND);
	if (c->has_end)
		FAULT(T5_SEND);
}

static void pass_landed(const struct commit *c, const struct commit_result *res)
{
	if (is_t2(c))
		FAULT(T2_LANDED);
	if (is_t3(c))
		FAULT(T3_LANDED);
	if (res->taken.n)
		FAULT(T4_LANDED);
	if (c->has_end)
		FAULT(T5_LANDED);
	if (c->has_retry)
		FAULT(RETRY_LANDED);
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

/* Back to the front of the queue, in order. */
static void return_all(struct journal *j, struct list *from)
{
	while (!list_is_empty(from)) {
		struct list *n = from->prev;
		list_remove(n);
		list_push_front(&j->waiting, n);
	}
	loop_again(j->worker->loop);
}

/* ---- sending */

static void fly(struct journal *j)
{
	size_t bytes = 0;
	int n = 0;
	if (!list_is_empty(&j->flying) || !list_is_empty(&j->unknown) ||
	    list_is_empty(&j->waiting) || loop_timer_is_running(j->again))
		return;
	list_each (node, &j->waiting) {
		struct commit *c = list_entry(node, struct commit, node);
		if (n && (n == (int)LIMIT_BATCH_RUNS || c->alone ||
			  bytes + c->bytes > LIMIT_BATCH_BYTES))
			break;
		list_remove(node);
		list_push(&j->flying, node);
		bytes += c->bytes;
		n++;
		if (c->alone)
			break;
	}
	struct pg_request *r = pg_begin(j->worker->pool);
	journal_params(pg_add(r, SQL_JOURNAL), &j->flying);
	pg_submit(r, CONN_JOURNAL, 0, on_batch, j);
}

static void on_turn_end(void *arg)
{
	fly(arg);
}

static void on_again(void *arg)
{
	struct journal *j = arg;
	loop_again(j->worker->loop);
}

/* ---- unknown outcomes */

static void ask_states(struct journal *j)
{
	struct pg_request *r = pg_begin(j->worker->pool);
	struct pg_params *p = pg_add(r, SQL_LANE_STATE);
	pg_array(p, PG_INT8);
	list_each (n, &j->unknown)
		pg_i64(p, list_entry(n, struct commit, node)->tenant);
	pg_array_end(p);
	pg_array(p, PG_UUID);
	list_each (m, &j->unknown)
		pg_uuid(p, list_entry(m, struct commit, node)->session);
	pg_array_end(p);
	pg_array(p, PG_TEXT);
	list_each (k, &j->unknown)
		pg_text(p, slice_str(list_entry(k, struct commit, node)->cap));
	pg_array_end(p);
	pg_submit(r, CONN_JOURNAL, 0, on_states, j);
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
	if (a->err) { /* still unknown */
		ask_states(j);
		return;
	}
	list_each (n, &j->unknown)
		decide(j, list_entry(n, struct commit, node), a->results[0], ++position);
	loop_again(j->worker->loop);
}

/* ---- answers */

static struct commit_result landed(const struct pg_result *r, int row)
{
	return (struct commit_result){.outcome = COMMIT_LANDED,
				      .head_seq = pg_get_i64(r, row, 2),
				      .at_us = pg_get_time(r, row, 4),
				      .taken = pg_get_text(r, row, 5)};
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
	bool transient = !strcmp(a->sqlstate, "40001") || !strcmp(a->sqlstate, "40P01");
	/* No space, no memory, shutting down, cancelled by a timeout: it will pass. */
	bool weather = !strncmp(a->sqlstate, "53", 2) || !strncmp(a->sqlstate, "57", 2);
	struct commit *first = list_entry(j->flying.next, struct commit, node);
	bool single = j->flying.next == j->flying.prev;
	log_warn("journal-refused", "sqlstate=%s message=\"%s\"", a->sqlstate,
		 a->message);
	if (weather)
		loop_timer_start(j->again, 500000);
	if (single && !transient && !weather) {
		settle_as(first, COMMIT_REFUSED);
		return;
	}
	if (!transient && !weather)
		list_each (n, &j->flying)
			list_entry(n, struct commit, node)->alone = 1;
	return_all(j, &j->flying);
}

static void on_batch(void *arg, const struct pg_answer *a)
{
	struct journal *j = arg;
	if (a->err == ERR_CANCELLED)
		return;
	if (!a->err) {
		take_answer(j, a->results[0]);
	} else if (a->fate == PG_ROLLED_BACK) {
		take_refusal(j, a);
	} else if (a->fate == PG_NOT_SENT) {
		return_all(j, &j->flying);
	} else {
		struct list *n;
		while ((n = list_pop(&j->flying)))
			list_push(&j->unknown, n);
		ask_states(j);
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
	j->again = loop_timer_new(w->loop, on_again, j);
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
