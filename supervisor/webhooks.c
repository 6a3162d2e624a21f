/* SPDX-License-Identifier: Apache-2.0
 * One question to the database at a time, one list of what is under way. */
#include "supervisor/webhooks.h"

#include <stdlib.h>

#include "common/alloc.h"
#include "common/list.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/pg/pool.h"
#include "supervisor/inquiries.h"
#include "supervisor/journal.h"
#include "supervisor/sql.h"
#include "supervisor/sup.h"

#define LOOK_US 1000000
/* Something ended, so that more may be given out. */
#define MORE_US 20000
#define QUEUE_MS 4000

struct delivery {
	struct list node;
	struct webhooks *webhooks; /* NULL: there are none any more */
	int64_t tenant;
	struct uuid id;
	char *target;
};

struct webhooks {
	struct sup *sup;
	struct loop_timer *timer;
	struct list under_way;
	unsigned count;
	bool looking;
	/* Behind which the next look begins, so that each target has its turn. */
	int64_t tenant;
	char *target;
};

static void set_place(struct webhooks *w, int64_t tenant, struct slice target)
{
	free(w->target);
	w->tenant = tenant;
	w->target = xstrndup(target.p, target.n);
}

static void look_soon(struct webhooks *w, int64_t us)
{
	if (!w->looking)
		loop_timer_start(w->timer, us);
}

/* ---- one of them */

static void on_again(void *arg, const struct pg_answer *a)
{
	(void)arg;
	if (a->err && a->err != ERR_CANCELLED)
		log_warn("webhook-not-put-back", "sqlstate=%s message=\"%s\"",
			 a->sqlstate, a->message ? a->message : "");
}

/* Its lease would end by itself, too, but later. */
static void put_back(const struct delivery *d)
{
	struct sup *s = d->webhooks->sup;
	if (!s->inquiries)
		return;
	struct pg_request *r = pg_begin(inquiries_pool(s->inquiries));
	struct pg_params *p = pg_add(r, SQL_WEBHOOK_AGAIN);
	pg_i64(p, d->tenant);
	pg_uuid(p, d->id);
	pg_submit(r, PG_ANY, QUEUE_MS, on_again, NULL);
}

static void on_heard(void *arg, const struct inquiry_heard *h)
{
	struct delivery *d = arg;
	struct webhooks *w = d->webhooks;
	if (!h->err && !h->last)
		return;
	if (h->err && w->sup->state == SUP_SERVING)
		put_back(d);
	list_remove(&d->node);
	w->count--;
	look_soon(w, h->err ? LOOK_US : MORE_US);
	free(d->target);
	free(d);
}

static void hand_out(struct webhooks *w, const struct pg_result *r, int row)
{
	struct slice target = pg_get_text(r, row, 1);
	struct delivery *d = xcalloc(1, sizeof *d);
	d->webhooks = w;
	d->tenant = pg_get_i64(r, row, 0);
	d->target = xstrndup(target.p, target.n);
	d->id = pg_get_uuid(r, row, 2);
	list_push(&w->under_way, &d->node);
	w->count++;
	inquiries_ask(w->sup,
		      &(struct inquiry_ask){.tenant = d->tenant,
					    .kind = INQUIRY_WEBHOOK,
					    .object = d->id,
					    .model = SLICE(""),
					    .by = SLICE("webhooks")},
		      on_heard, d);
}

/* ---- looking */

static void on_due(void *arg, const struct pg_answer *a)
{
	struct webhooks *w = arg;
	const struct pg_result *r = a->err ? NULL : a->results[0];
	int rows = r ? pg_rows(r) : 0;
	bool from_start = !w->tenant;
	w->looking = false;
	if (a->err == ERR_CANCELLED)
		return;
	if (a->err)
		log_warn("webhooks-not-read", "sqlstate=%s message=\"%s\"", a->sqlstate,
			 a->message ? a->message : "");
	if (rows)
		set_place(w, pg_get_i64(r, rows - 1, 0), pg_get_text(r, rows - 1, 1));
	else /* behind the last one */
		set_place(w, 0, SLICE(""));
	for (int i = 0; i < rows; i++)
		hand_out(w, r, i);
	look_soon(w, rows || (r && !from_start) ? MORE_US : LOOK_US);
}

static void put_busy(struct pg_params *p, const struct webhooks *w)
{
	pg_array(p, PG_INT8);
	list_each (i, &w->under_way)
		pg_i64(p, list_entry(i, struct delivery, node)->tenant);
	pg_array_end(p);
	pg_array(p, PG_TEXT);
	list_each (k, &w->under_way)
		pg_text(p, slice_str(list_entry(k, struct delivery, node)->target));
	pg_array_end(p);
}

static void look(void *arg)
{
	struct webhooks *w = arg;
	struct sup *s = w->sup;
	if (s->state != SUP_SERVING || !journal_is_up(s->journal) ||
	    w->count >= WEBHOOKS_OF_NODE) {
		loop_timer_start(w->timer, LOOK_US);
		return;
	}
	struct pg_request *r = pg_begin(inquiries_pool(s->inquiries));
	struct pg_params *p = pg_add(r, SQL_WEBHOOKS_DUE);
	w->looking = true;
	pg_i64(p, w->tenant);
	pg_text(p, slice_str(w->target));
	pg_i32(p, (int32_t)(WEBHOOKS_OF_NODE - w->count));
	put_busy(p, w);
	pg_submit(r, PG_ANY, QUEUE_MS, on_due, w);
}

struct webhooks *webhooks_new(struct sup *s)
{
	struct webhooks *w = xcalloc(1, sizeof *w);
	w->sup = s;
	list_init(&w->under_way);
	set_place(w, 0, SLICE(""));
	w->timer = loop_timer_new(s->loop, look, w);
	loop_timer_start(w->timer, LOOK_US);
	return w;
}

void webhooks_free(struct webhooks *w)
{
	if (!w)
		return;
	loop_timer_free(w->timer);
	free(w->target);
	free(w);
}
