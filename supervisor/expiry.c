/* SPDX-License-Identifier: Apache-2.0
 * Batches of tb.expire. */
#include "supervisor/expiry.h"

#include <stdlib.h>

#include "common/alloc.h"
#include "common/backoff.h"
#include "common/crypto.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/pg/error.h"
#include "common/pg/pool.h"
#include "supervisor/heap.h"
#include "supervisor/journal.h"
#include "supervisor/lane_look.h"
#include "supervisor/runs.h"
#include "supervisor/sql.h"
#include "supervisor/sup.h"

#define BATCH_MOST 64
#define REST_US 300000
#define QUEUE_MS 3000

/* Of a row that another transaction holds: mostly for one commit of its lane's run. */
static const struct backoff pause_of_held = {.first_us = 50000, .cap_us = 5000000};

/* A run whose deadline passed. */
struct due {
	struct list node;
	struct heap_node later; /* held by another transaction: not before */
	int64_t tenant;
	struct uuid run, session;
	unsigned tries; /* in vain, as it was held */
};

struct expiry {
	struct sup *sup;
	struct list waiting, flight; /* struct due */
	struct heap later;           /* likewise, held ones */
	unsigned one_by_one;         /* so many more batches of one row */
	struct loop_timer *rest;     /* after a failure */
	struct loop_timer *wake;     /* the first of `later` */
};

void expiry_add(struct expiry *x, const struct lq_run *r)
{
	struct due *d = xcalloc(1, sizeof *d);
	d->tenant = lq_run_tenant(r);
	d->run = lq_run_id(r);
	d->session = lq_run_session(r);
	list_push(&x->waiting, &d->node);
	loop_again(x->sup->loop);
}

static void drop_all(struct list *l)
{
	for (struct list *n; (n = list_pop(l));)
		free(list_entry(n, struct due, node));
}

/* ---- held rows */

static bool same_lane(const struct due *a, const struct due *b)
{
	return a->tenant == b->tenant && uuid_eq(a->session, b->session);
}

/* Until then of a row of its lane that was held just now, if there is one: they are tried
 * together. */
static void hold(struct expiry *x, struct due *d, const struct due *before)
{
	uint32_t dice;
	crypto_random(&dice, sizeof dice);
	d->tries++;
	if (before && same_lane(before, d)) {
		heap_add(&x->later, &d->later, before->later.key);
		return;
	}
	heap_add(&x->later, &d->later,
		 loop_now_us(x->sup->loop) + backoff_us(&pause_of_held, d->tries, dice,
							pause_of_held.first_us / 2));
}

/* Those that wait of a lane which is held, as one of them found. */
static void hold_lane(struct expiry *x, const struct due *first)
{
	list_each (n, &x->waiting) {
		struct due *d = list_entry(n, struct due, node);
		if (!same_lane(first, d))
			continue;
		list_remove(n);
		hold(x, d, first);
	}
}

static struct due *first_held(const struct expiry *x)
{
	struct heap_node *n = heap_top(&x->later);
	return n ? container_of(n, struct due, later) : NULL;
}

static void take_rested(struct expiry *x)
{
	int64_t now_us = loop_now_us(x->sup->loop);
	for (struct due *d; (d = first_held(x)) && d->later.key <= now_us;) {
		heap_remove(&x->later, &d->later);
		list_push(&x->waiting, &d->node);
	}
}

static void aim_wake(struct expiry *x)
{
	struct due *d = first_held(x);
	int64_t us = d ? d->later.key - loop_now_us(x->sup->loop) : 0;
	if (d)
		loop_timer_start(x->wake, us > 0 ? us : 0);
}

/* ---- the batch */

/* The next rows; not of runs that ended otherwise meanwhile. */
static unsigned gather(struct expiry *x)
{
	unsigned n = 0, most = x->one_by_one ? 1 : BATCH_MOST;
	while (n < most && !list_is_empty(&x->waiting)) {
		struct due *d = list_entry(list_pop(&x->waiting), struct due, node);
		if (!lq_find(x->sup->lq, d->run)) {
			free(d);
			continue;
		}
		list_push(&x->flight, &d->node);
		n++;
	}
	if (n && x->one_by_one)
		x->one_by_one--;
	return n;
}

static void put_rows(struct pg_params *p, const struct list *rows)
{
	pg_array(p, PG_INT8);
	list_each (n, rows)
		pg_i64(p, list_entry(n, struct due, node)->tenant);
	pg_array_end(p);
	pg_array(p, PG_UUID);
	list_each (n, rows)
		pg_uuid(p, list_entry(n, struct due, node)->run);
	pg_array_end(p);
}

static void on_answer(void *arg, const struct pg_answer *a);

/* LOOP_STEPS: before the pool writes. */
static void on_turn(void *arg)
{
	struct expiry *x = arg;
	if (!list_is_empty(&x->flight) || loop_timer_is_running(x->rest) ||
	    !journal_is_up(x->sup->journal))
		return;
	take_rested(x);
	if (!gather(x)) {
		aim_wake(x);
		return;
	}
	struct pg_request *r = pg_begin(journal_pool(x->sup->journal));
	sql_short_lock(r);
	put_rows(pg_add(r, SQL_EXPIRE), &x->flight);
	pg_submit(r, PG_ANY, QUEUE_MS, on_answer, x);
}

/* ---- answers */

static void keep(struct sup *s, struct lq_run *r)
{
	sup_step(s, &(struct lq_event){.kind = LQ_KEPT, .run = r});
}

/* One that is absent was archived before: the first sending's answer was lost, or whoever
 * else ended it is about to say so. */
static void settle(struct sup *s, struct lq_run *run, const struct pg_result *r, int row,
		   struct uuid *looked)
{
	struct slice outcome = pg_get_text(r, row, 1);
	struct uuid lane = lq_run_session(run);
	bool expired = slice_is(outcome, "expired");
	if (slice_is(outcome, "kept")) {
		keep(s, run);
		return;
	}
	if (slice_is(outcome, "answered")) {
		runs_answered(s, run);
		return;
	}
	/* One look is enough for a lane's rows. */
	if (!uuid_eq(*looked, lane) &&
	    (!expired || !slice_is(pg_get_text(r, row, 3), "continue"))) {
		lane_look(s, lq_run_tenant(run), lane);
		*looked = lane;
	}
	if (expired)
		runs_gone(s, run, RESULT_TIMED_OUT, SLICE("deadline"),
			  pg_get_time(r, row, 2));
}

static void answered(struct expiry *x, const struct pg_result *r)
{
	int row = 0;
	struct uuid looked = {{0}};
	struct due *held = NULL;
	for (struct list *n; (n = list_pop(&x->flight)); row++) {
		struct due *d = list_entry(n, struct due, node);
		struct lq_run *run = lq_find(x->sup->lq, d->run);
		if (run && slice_is(pg_get_text(r, row, 1), "locked")) {
			hold(x, d, held);
			held = d;
			continue;
		}
		if (run)
			settle(x->sup, run, r, row, &looked);
		free(d);
	}
}

/* Before what came meanwhile, in the old order; the number of rows. */
static unsigned put_back(struct expiry *x)
{
	unsigned rows = 0;
	for (struct list *at = x->waiting.next, *n; (n = list_pop(&x->flight)); rows++)
		list_insert_before(at, n);
	return rows;
}

static bool passes(const struct pg_answer *a)
{
	enum pg_error kind = pg_error_kind(a->sqlstate);
	return kind == PG_ERROR_LOCK || kind == PG_ERROR_AGAIN;
}

static void refused_row(struct expiry *x, struct due *d, const struct pg_answer *a)
{
	struct lq_run *run = lq_find(x->sup->lq, d->run);
	if (run && passes(a)) {
		hold(x, d, NULL);
		hold_lane(x, d);
		return;
	}
	if (run)
		keep(x->sup, run);
	free(d);
}

static void refused(struct expiry *x, const struct pg_answer *a)
{
	unsigned rows = put_back(x);
	struct due *d = list_entry(x->waiting.next, struct due, node);
	char run[UUID_TEXT_LEN + 1] = "";
	if (rows == 1)
		uuid_format(d->run, run);
	log_at(rows > 1 || passes(a) ? LOG_WARN : LOG_ERROR, "expiry-refused",
	       "rows=%u run=%s sqlstate=%s message=\"%s\"", rows, run, a->sqlstate,
	       a->message);
	if (rows > 1) {
		x->one_by_one += rows;
		return;
	}
	list_remove(&d->node);
	refused_row(x, d, a);
}

static void on_answer(void *arg, const struct pg_answer *a)
{
	struct expiry *x = arg;
	if (a->err == ERR_CANCELLED)
		return;
	if (!a->err) {
		answered(x, a->results[a->result_count - 1]);
	} else if (a->fate == PG_ROLLED_BACK) {
		refused(x, a);
	} else {
		put_back(x);
		loop_timer_start(x->rest, REST_US);
	}
	loop_again(x->sup->loop);
}

/* ---- life */

static void on_time(void *arg)
{
	loop_again(((struct expiry *)arg)->sup->loop);
}

struct expiry *expiry_new(struct sup *s)
{
	struct expiry *x = xcalloc(1, sizeof *x);
	x->sup = s;
	list_init(&x->waiting);
	list_init(&x->flight);
	x->rest = loop_timer_new(s->loop, on_time, x);
	x->wake = loop_timer_new(s->loop, on_time, x);
	loop_hook(s->loop, LOOP_STEPS, on_turn, x);
	return x;
}

void expiry_free(struct expiry *x)
{
	if (!x)
		return;
	loop_unhook(x->sup->loop, on_turn, x);
	loop_timer_free(x->rest);
	loop_timer_free(x->wake);
	for (struct due *d; (d = first_held(x));) {
		heap_remove(&x->later, &d->later);
		free(d);
	}
	heap_fini(&x->later);
	drop_all(&x->waiting);
	drop_all(&x->flight);
	free(x);
}
