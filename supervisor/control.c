/* SPDX-License-Identifier: Apache-2.0
 * What can be asked. One small request each on the journal's connection, so that it is
 * ordered with the batches: a cancel is before or after a claim, never beside it. What
 * was sent and not answered is sent again until it is known (control_fate.c). */
#include "supervisor/control.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/alloc.h"
#include "common/pg/row.h"
#include "supervisor/control_errand.h"
#include "supervisor/sql.h"
#include "supervisor/sup.h"

/* Cancels of runs whose T0 is under way. */
static struct list held = LIST_INIT(held);
/* Pauses and redrives whose fate is not known yet, oldest first. */
static struct list open_pauses = LIST_INIT(open_pauses);
static struct list open_redrives = LIST_INIT(open_redrives);

/* ---- what is asked */

void control_cancel(struct sup *s, int64_t tenant, struct uuid run, const char *by,
		    control_done *done, void *arg)
{
	struct errand *a = errand_new(s, ERRAND_CANCEL, by, done, arg);
	const struct lq_run *r = lq_find(s->lq, run);
	a->tenant = tenant;
	a->run = run;
	if (r && lq_run_state(r) == LQ_S_ENQUEUEING)
		list_push(&held, &a->node);
	else
		errand_begin(a);
}

void control_landed(struct uuid run)
{
	list_each (n, &held) {
		struct errand *a = list_entry(n, struct errand, node);
		if (!uuid_eq(a->run, run))
			continue;
		list_remove(n);
		errand_begin(a);
	}
}

/* The opposite of what is asked for now: if its fate is not known it may not come after
 * this. */
static void overtake(const struct lq_pause *what, int on)
{
	list_each (n, &open_pauses) {
		struct errand *a = list_entry(n, struct errand, open);
		if (a->on != on && a->pause.scope == what->scope &&
		    a->pause.tenant == what->tenant && uuid_eq(a->pause.id, what->id))
			errand_overtake(a);
	}
}

void control_pause(struct sup *s, const struct lq_pause *what, int on, const char *by,
		   control_done *done, void *arg)
{
	struct errand *a = errand_new(s, ERRAND_PAUSE, by, done, arg);
	a->pause = *what;
	a->on = on;
	a->tenant = what->tenant;
	overtake(what, on);
	list_push(&open_pauses, &a->open);
	errand_begin(a);
}

static bool is_key(const char *a, struct slice b)
{
	return a ? slice_is(b, a) : !b.p;
}

/* NULL: that run's redrive by that key is not under way. */
static struct errand *open_redrive(int64_t tenant, struct uuid run, struct slice key)
{
	list_each (n, &open_redrives) {
		struct errand *a = list_entry(n, struct errand, open);
		if (a->tenant == tenant && uuid_eq(a->run, run) && is_key(a->text, key))
			return a;
	}
	return NULL;
}

void control_redrive(struct sup *s, int64_t tenant, struct uuid run, struct slice key,
		     const char *by, control_done *done, void *arg)
{
	struct errand *a = open_redrive(tenant, run, key);
	if (a) {
		errand_join(a, done, arg);
		return;
	}
	a = errand_new(s, ERRAND_REDRIVE, by, done, arg);
	a->tenant = tenant;
	a->run = run;
	a->fresh = uuid7_new();
	a->text = key.p ? xstrndup(key.p, key.n) : NULL;
	a->order_us = sup_next_order_us(s, sup_db_now_us(s));
	list_push(&open_redrives, &a->open);
	errand_begin(a);
}

void control_bury(struct sup *s, int64_t tenant, struct uuid run, struct uuid session,
		  const char *code)
{
	struct errand *a = errand_new(s, ERRAND_BURY, code, NULL, NULL);
	a->tenant = tenant;
	a->run = run;
	a->session = session;
	errand_begin(a);
}

void control_decide(struct sup *s, const struct control_decision *d, control_done *done,
		    void *arg)
{
	char by[64];
	snprintf(by, sizeof by, "%.*s", SLICE_ARG(d->by));
	struct errand *a = errand_new(s, ERRAND_DECIDE, by, done, arg);
	a->tenant = d->tenant;
	a->run = d->run;
	a->session = d->session;
	a->approval = d->approval;
	a->decision = d->decision;
	a->text = d->message.n ? xstrndup(d->message.p, d->message.n) : NULL;
	errand_begin(a);
}

void control_deny(struct sup *s, int64_t tenant, struct uuid run, struct uuid session)
{
	struct errand *a = errand_new(s, ERRAND_DENY, "message", NULL, NULL);
	a->tenant = tenant;
	a->run = run;
	a->session = session;
	errand_begin(a);
}

/* ---- at start */

struct pauses {
	struct sup *sup;
	void (*done)(struct sup *s);
};

static enum lq_scope scope_of(struct slice word)
{
	for (int i = LQ_NODE; i < LQ_LANE; i++)
		if (slice_is(word, lq_scope_word((enum lq_scope)i)))
			return (enum lq_scope)i;
	return LQ_LANE;
}

static void on_pauses(void *arg, const struct pg_answer *a)
{
	struct pauses p = *(struct pauses *)arg;
	free(arg);
	if (a->err == ERR_CANCELLED)
		return;
	if (a->err) { /* as after a lost connection: nothing may start unasked */
		control_load_pauses(p.sup, p.done);
		return;
	}
	const struct pg_result *r = a->results[0];
	for (int i = 0; i < pg_rows(r); i++)
		sup_step(p.sup,
			 &(struct lq_event){.kind = LQ_PAUSE,
					    .scope = scope_of(pg_get_text(r, i, 0)),
					    .tenant = pg_get_i64(r, i, 1),
					    .id = pg_get_uuid(r, i, 2),
					    .failed_run = pg_get_uuid(r, i, 3),
					    .failed_code = pg_get_text(r, i, 4)});
	p.done(p.sup);
}

void control_load_pauses(struct sup *s, void (*done)(struct sup *s))
{
	struct pauses *p = xmalloc(sizeof *p);
	struct pg_request *r = pg_begin(s->lease);
	*p = (struct pauses){s, done};
	pg_add(r, SQL_PAUSES);
	pg_submit(r, PG_ANY, 0, on_pauses, p);
}
