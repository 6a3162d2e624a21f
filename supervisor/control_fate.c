/* SPDX-License-Identifier: Apache-2.0
 * An errand until its fate is known, and what those who wait for it hear of that:
 * "nothing happened" only of what was never sent or was rolled back. */
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
#define QUEUE_MS 3000       /* a person waits for it */
#define PATIENCE_US 4000000 /* so long */

static void on_rested(void *arg);
static void on_patience_over(void *arg);

/* ---- life */

struct errand *errand_new(struct sup *s, enum errand_id id, const char *by,
			  control_done *done, void *arg)
{
	struct errand *a = xcalloc(1, sizeof *a);
	list_init(&a->node);
	list_init(&a->open);
	list_init(&a->waiters);
	a->sup = s;
	a->kind = &errand_kinds[id];
	snprintf(a->by, sizeof a->by, "%s", by);
	a->again = loop_timer_new(s->loop, on_rested, a);
	a->must = !done;
	if (done)
		errand_join(a, done, arg);
	return a;
}

/* Begins a waiter's time, or ends it if it passed unheard, while the errand was under
 * way. Who is told may ask for more, so each is told by its own timer. */
static void remind(struct errand *a)
{
	int64_t now_us = loop_now_us(a->sup->loop);
	list_each (n, &a->waiters) {
		struct waiter *w = list_entry(n, struct waiter, node);
		if (!w->until_us)
			w->until_us = now_us + PATIENCE_US;
		loop_timer_start(w->patience,
				 w->until_us > now_us ? w->until_us - now_us : 0);
	}
}

void errand_join(struct errand *a, control_done *done, void *arg)
{
	struct waiter *w = xcalloc(1, sizeof *w);
	*w = (struct waiter){.errand = a, .done = done, .arg = arg};
	w->patience = loop_timer_new(a->sup->loop, on_patience_over, w);
	list_push(&a->waiters, &w->node);
	if (a->line || loop_timer_is_running(a->again))
		remind(a);
}

void errand_begin(struct errand *a)
{
	remind(a);
	line_enter(a);
}

static void tell(struct waiter *w, const struct control_answer *answer)
{
	control_done *done = w->done;
	void *arg = w->arg;
	list_remove(&w->node);
	loop_timer_free(w->patience);
	free(w);
	done(arg, answer);
}

/* Who asked was told that its fate is not known. */
static void log_fate(const struct errand *a, const struct control_answer *answer)
{
	char run[UUID_TEXT_LEN + 1], heir[UUID_TEXT_LEN + 1];
	uuid_format(a->run, run);
	uuid_format(a->fresh, heir);
	log_info("control-known", "kind=%s tenant=%lld run=%s new=%s outcome=\"%s\"",
		 a->kind->word, (long long)a->tenant, run, heir,
		 answer->err ? answer->message : "done");
}

/* It is out of everything before the first hears of it: who hears may ask for more. */
void errand_tell(struct errand *a, const struct control_answer *answer)
{
	struct list waiters;
	list_init(&waiters);
	for (struct list *n; (n = list_pop(&a->waiters));)
		list_push(&waiters, n);
	if (a->doubted && list_is_empty(&waiters))
		log_fate(a, answer);
	list_remove(&a->open);
	line_leave(a);
	while (!list_is_empty(&waiters))
		tell(list_entry(waiters.next, struct waiter, node), answer);
	loop_timer_free(a->again);
	free(a->text);
	free(a);
}

/* ---- what is not known in time */

static const char *holds_what(const struct errand *a)
{
	bool is_pause = a->kind == &errand_kinds[ERRAND_PAUSE];
	return is_pause && a->pause.scope != LQ_LANE ? "this pause" : "this session";
}

static void say_nothing_happened(const struct errand *a, char *text, size_t size)
{
	if (line_is_held(a))
		snprintf(
			text, size,
			"another transaction in the database holds %s; nothing happened, "
			"ask again when it has ended (pg_stat_activity shows it)",
			holds_what(a));
	else if (!journal_is_up(a->sup->journal))
		snprintf(text, size, "the database is away; nothing happened");
	else
		snprintf(text, size,
			 "the database has not answered what was asked before of %s; "
			 "nothing happened, ask again",
			 holds_what(a));
}

static void say_unknown(const struct errand *a, char *text, size_t size)
{
	char id[UUID_TEXT_LEN + 1];
	int n = snprintf(text, size,
			 "the database's answer was lost: whether this was done is not "
			 "known");
	uuid_format(a->fresh, id);
	if (a->kind == &errand_kinds[ERRAND_REDRIVE])
		snprintf(text + n, size - (size_t)n,
			 " yet. It is still being done, and to ask again waits for the "
			 "same: the new run is, or will be, %s",
			 id);
	else if (a->kind->lets_go && a->pause.scope == LQ_LANE)
		snprintf(text + n, size - (size_t)n,
			 ". 'lane show' says whether it is paused, ask again if that is "
			 "not what you want");
	else
		snprintf(text + n, size - (size_t)n,
			 " yet. It is still being done: to ask again does no harm");
}

static void tell_late(struct waiter *w)
{
	struct errand *a = w->errand;
	char text[320];
	struct control_answer answer = {
		.err = ERR_UNAVAILABLE, .message = text, .run = a->fresh};
	bool nobody = a->waiters.next == &w->node && a->waiters.prev == &w->node;
	a->doubted |= a->sent;
	if (a->sent)
		say_unknown(a, text, sizeof text);
	else
		say_nothing_happened(a, text, sizeof text);
	if (nobody && !a->must && (!a->sent || (a->kind->lets_go && a->kind->lets_go(a))))
		errand_tell(a, &answer);
	else
		tell(w, &answer);
}

/* Of one that is under way its answer comes first. */
static void on_patience_over(void *arg)
{
	struct waiter *w = arg;
	if (!w->errand->under_way)
		tell_late(w);
}

/* ---- again */

static void end_overtaken(struct errand *a)
{
	static const struct control_answer answer = {
		.err = ERR_CONFLICT,
		.message = "the opposite was asked for meanwhile, and that holds"};
	errand_tell(a, &answer);
}

void errand_overtake(struct errand *a)
{
	a->overtaken = true;
	if (loop_timer_is_running(a->again)) /* not here: who hears may ask for more */
		loop_timer_start(a->again, 0);
}

static void rest(struct errand *a)
{
	int64_t us = (int64_t)AGAIN_US << (a->refusals < 6 ? a->refusals : 6);
	line_leave(a);
	if (a->overtaken) {
		end_overtaken(a);
		return;
	}
	loop_timer_start(a->again, us < AGAIN_MOST_US ? us : AGAIN_MOST_US);
	remind(a);
}

static void on_rested(void *arg)
{
	struct errand *a = arg;
	if (a->overtaken)
		end_overtaken(a);
	else
		line_enter(a);
}

/* ---- answers */

static void count_refusal(struct errand *a, const struct pg_answer *p)
{
	char run[UUID_TEXT_LEN + 1], lane[UUID_TEXT_LEN + 1];
	uuid_format(a->run, run);
	uuid_format(uuid_is_nil(a->session) ? a->pause.id : a->session, lane);
	a->refusals++;
	log_error("control-refused",
		  "kind=%s tenant=%lld run=%s of=%s sqlstate=%s message=\"%s\"",
		  a->kind->word, (long long)a->tenant, run, lane, p->sqlstate,
		  p->message);
}

/* Another transaction has what it needs, or chance: it passes. Not a statement's time
 * limit: each try would cost all others that. */
static bool passes(const struct pg_answer *p)
{
	enum pg_error kind = pg_error_kind(p->sqlstate);
	return p->fate == PG_ROLLED_BACK &&
	       (kind == PG_ERROR_AGAIN ||
		(kind == PG_ERROR_LOCK && slice_is(slice_str(p->sqlstate), "55P03")));
}

static void on_failed(struct errand *a, const struct pg_answer *p)
{
	struct control_answer nothing = {
		.err = ERR_UNAVAILABLE,
		.message = "the database is away; nothing happened"};
	if (passes(p)) {
		line_held(a);
		remind(a);
		return;
	}
	if (p->fate == PG_ROLLED_BACK) {
		count_refusal(a, p);
		nothing.message = "the database refused this; nothing happened: the log "
				  "says why (control-refused)";
	}
	a->sent |= p->fate == PG_UNKNOWN;
	if (a->must || a->sent)
		rest(a);
	else
		errand_tell(a, &nothing);
}

static void on_answer(void *arg, const struct pg_answer *p)
{
	struct errand *a = arg;
	if (p->err == ERR_CANCELLED)
		return; /* the process ends, and what waits with it */
	if (p->err)
		on_failed(a, p);
	else
		a->kind->take(a, p->results[p->result_count - 1]);
}

/* A person's question is not kept waiting for a database that is away; a node without its
 * lease writes nothing. */
void errand_send(struct errand *a)
{
	static const struct pg_answer away = {.err = ERR_DATABASE, .fate = PG_NOT_SENT};
	if (!journal_is_up(a->sup->journal)) {
		on_failed(a, &away);
		return;
	}
	struct pg_request *r = pg_begin(journal_pool(a->sup->journal));
	sql_short_lock(r);
	a->kind->put(pg_add(r, a->kind->stmt), a);
	pg_submit(r, PG_ANY, QUEUE_MS, on_answer, a);
}
