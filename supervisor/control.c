/* SPDX-License-Identifier: Apache-2.0
 * One small request each on the journal's connection, so that it is ordered with the
 * batches: a cancel is before or after a claim, never beside it. What was sent and not
 * answered is sent again until it is known. */
#include "supervisor/control.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/alloc.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/pg/error.h"
#include "supervisor/control_errand.h"
#include "supervisor/journal.h"
#include "supervisor/sql.h"
#include "supervisor/sup.h"

#define AGAIN_US 300000
#define AGAIN_MOST_US 10000000
#define QUEUE_MS 3000    /* a person waits for it */
#define KNOWN_US 4000000 /* so long a person waits for what is not known */

/* Cancels of runs whose T0 is under way. */
static struct list held = LIST_INIT(held);

static void submit(struct errand *a);

static void on_again(void *arg)
{
	submit(arg);
}

static struct errand *errand_new(struct sup *s, enum errand_id id, const char *by,
				 control_done *done, void *arg)
{
	struct errand *a = xcalloc(1, sizeof *a);
	list_init(&a->node);
	a->sup = s;
	a->kind = &errand_kinds[id];
	snprintf(a->by, sizeof a->by, "%s", by);
	a->again = loop_timer_new(s->loop, on_again, a);
	a->asked_us = loop_now_us(s->loop);
	a->must = !done;
	a->done = done;
	a->arg = arg;
	return a;
}

void errand_free(struct errand *a)
{
	loop_timer_free(a->again);
	free(a);
}

void errand_tell(struct errand *a, const struct control_answer *answer)
{
	if (a->done)
		a->done(a->arg, answer);
	errand_free(a);
}

/* ---- until it is known */

static void again(struct errand *a)
{
	static const struct control_answer unknown = {
		.err = ERR_UNAVAILABLE,
		.message = "the database's answer was lost and does not come: whether "
			   "this was done is not known, ask again"};
	if (a->done && loop_now_us(a->sup->loop) - a->asked_us >= KNOWN_US) {
		if (!a->kind->goes_on) {
			errand_tell(a, &unknown);
			return;
		}
		a->done(a->arg, &unknown);
		a->done = NULL;
	}
	int64_t us = (int64_t)AGAIN_US << (a->refusals < 6 ? a->refusals : 6);
	loop_timer_start(a->again, us < AGAIN_MOST_US ? us : AGAIN_MOST_US);
}

static void count_refusal(struct errand *a, const struct pg_answer *p)
{
	a->refusals++;
	log_error("control-refused", "kind=%s sqlstate=%s message=\"%s\"", a->kind->word,
		  p->sqlstate, p->message);
}

/* Another transaction has the lane, or chance: it passes, most of the time before whoever
 * waits has to be told. */
static bool may_pass(const struct errand *a, const struct pg_answer *p)
{
	enum pg_error kind = pg_error_kind(p->sqlstate);
	return p->fate == PG_ROLLED_BACK &&
	       (kind == PG_ERROR_LOCK || kind == PG_ERROR_AGAIN) &&
	       loop_now_us(a->sup->loop) - a->asked_us < KNOWN_US;
}

static void on_failed(struct errand *a, const struct pg_answer *p)
{
	struct control_answer nothing = {
		.err = ERR_UNAVAILABLE,
		.message = "the database is away; nothing happened"};
	if (may_pass(a, p)) {
		loop_timer_start(a->again, AGAIN_US);
		return;
	}
	if (p->fate == PG_ROLLED_BACK) {
		count_refusal(a, p);
		nothing.message = "the database refused this; nothing happened: the log "
				  "says why (control-refused)";
	}
	a->sent |= p->fate == PG_UNKNOWN;
	if (a->must || a->sent)
		again(a);
	else
		errand_tell(a, &nothing);
}

static void on_answer(void *arg, const struct pg_answer *p)
{
	struct errand *a = arg;
	if (p->err == ERR_CANCELLED)
		errand_free(a);
	else if (p->err)
		on_failed(a, p);
	else
		a->kind->take(a, p->results[0]);
}

/* A person's question is not kept waiting for a database that is away; a node without its
 * lease writes nothing. */
static void submit(struct errand *a)
{
	static const struct pg_answer away = {.err = ERR_DATABASE, .fate = PG_NOT_SENT};
	if (!journal_is_up(a->sup->journal)) {
		on_failed(a, &away);
		return;
	}
	struct pg_request *r = pg_begin(journal_pool(a->sup->journal));
	a->kind->put(pg_add(r, a->kind->stmt), a);
	pg_submit(r, PG_ANY, QUEUE_MS, on_answer, a);
}

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
		submit(a);
}

void control_landed(struct uuid run)
{
	list_each (n, &held) {
		struct errand *a = list_entry(n, struct errand, node);
		if (!uuid_eq(a->run, run))
			continue;
		list_remove(n);
		a->asked_us = loop_now_us(a->sup->loop);
		submit(a);
	}
}

void control_pause(struct sup *s, const struct lq_pause *what, int on, const char *by,
		   control_done *done, void *arg)
{
	struct errand *a = errand_new(s, ERRAND_PAUSE, by, done, arg);
	a->pause = *what;
	a->on = on;
	submit(a);
}

void control_redrive(struct sup *s, int64_t tenant, struct uuid run, const char *by,
		     control_done *done, void *arg)
{
	struct errand *a = errand_new(s, ERRAND_REDRIVE, by, done, arg);
	a->tenant = tenant;
	a->run = run;
	a->fresh = uuid7_new();
	a->order_us = sup_next_order_us(s, sup_db_now_us(s));
	submit(a);
}

void control_bury(struct sup *s, int64_t tenant, struct uuid run, struct uuid session,
		  const char *code)
{
	struct errand *a = errand_new(s, ERRAND_BURY, code, NULL, NULL);
	a->tenant = tenant;
	a->run = run;
	a->session = session;
	submit(a);
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
