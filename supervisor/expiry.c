/* SPDX-License-Identifier: Apache-2.0
 * Batches of tb.expire. */
#include "supervisor/expiry.h"

#include <stdlib.h>

#include "common/alloc.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/pg/pool.h"
#include "supervisor/journal.h"
#include "supervisor/runs.h"
#include "supervisor/sql.h"
#include "supervisor/sup.h"

#define BATCH_MOST 64
#define REST_US 300000
#define QUEUE_MS 3000

/* A run whose deadline passed. */
struct due {
	struct list node;
	int64_t tenant;
	struct uuid run;
};

struct expiry {
	struct sup *sup;
	struct list waiting, flight; /* struct due */
	unsigned one_by_one;         /* so many more batches of one row */
	struct loop_timer *rest;     /* after a failure */
};

void expiry_add(struct expiry *x, const struct lq_run *r)
{
	struct due *d = xcalloc(1, sizeof *d);
	d->tenant = lq_run_tenant(r);
	d->run = lq_run_id(r);
	list_push(&x->waiting, &d->node);
	loop_again(x->sup->loop);
}

static void drop_all(struct list *l)
{
	for (struct list *n; (n = list_pop(l));)
		free(list_entry(n, struct due, node));
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
	    !journal_is_up(x->sup->journal) || !gather(x))
		return;
	struct pg_request *r = pg_begin(journal_pool(x->sup->journal));
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
static void settle(struct sup *s, struct lq_run *r, struct slice outcome, int64_t at_us)
{
	if (slice_is(outcome, "kept"))
		keep(s, r);
	else
		runs_gone(s, r, RESULT_TIMED_OUT, SLICE("deadline"), at_us);
}

static void answered(struct expiry *x, const struct pg_result *r)
{
	int row = 0;
	for (struct list *n; (n = list_pop(&x->flight)); row++) {
		struct due *d = list_entry(n, struct due, node);
		struct lq_run *run = lq_find(x->sup->lq, d->run);
		if (run)
			settle(x->sup, run, pg_get_text(r, row, 1),
			       pg_get_time(r, row, 2));
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

static void refused(struct expiry *x, const struct pg_answer *a)
{
	unsigned rows = put_back(x);
	log_at(rows > 1 ? LOG_WARN : LOG_ERROR, "expiry-refused",
	       "rows=%u sqlstate=%s message=\"%s\"", rows, a->sqlstate, a->message);
	if (rows > 1) {
		x->one_by_one += rows;
		return;
	}
	struct due *d = list_entry(list_pop(&x->waiting), struct due, node);
	struct lq_run *run = lq_find(x->sup->lq, d->run);
	if (run)
		keep(x->sup, run);
	free(d);
}

static void on_answer(void *arg, const struct pg_answer *a)
{
	struct expiry *x = arg;
	if (a->err == ERR_CANCELLED)
		return;
	if (!a->err) {
		answered(x, a->results[0]);
	} else if (a->fate == PG_ROLLED_BACK) {
		refused(x, a);
	} else {
		put_back(x);
		loop_timer_start(x->rest, REST_US);
	}
	loop_again(x->sup->loop);
}

/* ---- life */

static void on_rest_over(void *arg)
{
	loop_again(((struct expiry *)arg)->sup->loop);
}

struct expiry *expiry_new(struct sup *s)
{
	struct expiry *x = xcalloc(1, sizeof *x);
	x->sup = s;
	list_init(&x->waiting);
	list_init(&x->flight);
	x->rest = loop_timer_new(s->loop, on_rest_over, x);
	loop_hook(s->loop, LOOP_STEPS, on_turn, x);
	return x;
}

void expiry_free(struct expiry *x)
{
	if (!x)
		return;
	loop_unhook(x->sup->loop, on_turn, x);
	loop_timer_free(x->rest);
	drop_all(&x->waiting);
	drop_all(&x->flight);
	free(x);
}
