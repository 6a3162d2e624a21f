/* SPDX-License-Identifier: Apache-2.0
 * What became of a batch of T0 or T1:
 *
 *	answered            each item learns it
 *	connection lost     goes again; with p_resend if it may have landed
 *	deadlock and such   goes again as it is, a few times
 *	refused             all of it goes again, one by one; alone:
 *	  locked            its lane is parked; a message that waited 5 s is answered 503
 *	  the database's    a claim's lane is parked, a message is answered 503
 *	    condition
 *	  the row           a claim's lane is parked, and paused after five times; a
 *message is answered 400
 *
 * Nothing is said of a message that may have landed before that is known. */
#include <stdio.h>
#include <stdlib.h>

#include "common/alloc.h"
#include "common/clock.h"
#include "common/crypto.h"
#include "common/fault.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/pg/error.h"
#include "common/pg/row.h"
#include "supervisor/accept.h"
#include "supervisor/control.h"
#include "supervisor/journal_item.h"
#include "supervisor/journal_state.h"
#include "supervisor/runs.h"
#include "supervisor/sup.h"

#define AGAIN_MOST 3
#define ENQUEUE_WAIT_US 5000000

/* ---- back to where it came from */

/* Before what came meanwhile, in the old order. */
static void put_back(struct flow *f, bool resend)
{
	struct list *at = f->trial ? f->trial->items.next : f->waiting.next;
	for (struct list *n; (n = list_pop(&f->flight));) {
		struct item *it = list_entry(n, struct item, node);
		it->resend |= resend;
		if (resend)
			it->crashed = false; /* it may have been charged already */
		list_insert_before(at, n);
	}
	if (f->trial)
		parked_set_due(&f->parked, f->trial, clock_mono_us());
	f->trial = NULL;
	f->count = 0;
}

/* The batch's only item, out of it; its lane stays parked if it was. */
static struct item *take_single(struct flow *f)
{
	f->trial = NULL;
	f->count = 0;
	return list_entry(list_pop(&f->flight), struct item, node);
}

static struct parked_lane *park(struct flow *f, struct item *it,
				const struct pg_answer *a)
{
	uint32_t dice;
	crypto_random(&dice, sizeof dice);
	struct parked_lane *l = parked_put(&f->parked, it, clock_mono_us(), dice);
	parked_set_why(l, a->sqlstate, a->message);
	return l;
}

static void log_parked(const char *event, const struct parked_lane *l,
		       const struct item *it, const struct pg_answer *a)
{
	char session[UUID_TEXT_LEN + 1], run[UUID_TEXT_LEN + 1];
	uuid_format(l->session, session);
	uuid_format(it->run_id, run);
	log_warn(event,
		 "tenant=%lld session=%s run=%s tries=%u sqlstate=%s message=\"%s\"",
		 (long long)l->tenant, session, run, l->tries, a->sqlstate, a->message);
}

/* ---- a refused message */

static void answer_refused(struct journal *j, struct item *it, enum err e)
{
	accept_failed(j->sup, it, e);
	journal_item_done(j, it);
}

static bool is_over(const struct item *it, int64_t now_us)
{
	return !it->resend && now_us - it->since_us > ENQUEUE_WAIT_US;
}

/* Those of the lane that waited too long, whichever of them was tried. */
static void end_wait(struct journal *j, struct flow *f, struct parked_lane *l)
{
	int64_t now_us = clock_mono_us();
	list_each (n, &l->items) {
		struct item *it = list_entry(n, struct item, node);
		if (is_over(it, now_us))
			answer_refused(j, it, ERR_UNAVAILABLE);
	}
	if (list_is_empty(&l->items))
		parked_release(&f->parked, l, &f->waiting);
}

static void enqueue_refused(struct journal *j, const struct pg_answer *a)
{
	struct flow *f = &j->flow[FLOW_ENQUEUE];
	enum pg_error kind = pg_error_kind(a->sqlstate);
	struct item *it = take_single(f);
	bool waits = kind == PG_ERROR_LOCK || kind == PG_ERROR_AGAIN ||
		     (kind == PG_ERROR_WEATHER && it->resend);
	if (waits) {
		struct parked_lane *l = park(f, it, a);
		if (l->tries == 1)
			log_parked("lane-locked", l, it, a);
		end_wait(j, f, l);
		return;
	}
	log_error("row-refused", "sqlstate=%s message=\"%s\"", a->sqlstate, a->message);
	struct parked_lane *l = parked_find(&f->parked, it->tenant, it->session);
	answer_refused(j, it, kind == PG_ERROR_ROW ? ERR_BAD_REQUEST : ERR_UNAVAILABLE);
	if (l) /* the next of its lane may be another matter */
		parked_release(&f->parked, l, &f->waiting);
}

/* ---- a refused claim: an accepted run is never dropped */

/* A pause that is under way names its lane: the run may be gone when it stands. */
struct pausing {
	struct journal *j;
	int64_t tenant;
	struct uuid session;
};

static void let_go(struct journal *j, struct item *it)
{
	struct flow *f = &j->flow[FLOW_CLAIM];
	struct parked_lane *l = parked_find(&f->parked, it->tenant, it->session);
	list_remove(&it->node);
	if (l)
		parked_release(&f->parked, l, &f->waiting);
	runs_unclaimed(j->sup, it);
	journal_item_done(j, it);
}

static void on_paused(void *arg, const struct control_answer *answer)
{
	struct pausing p = *(struct pausing *)arg;
	struct flow *f = &p.j->flow[FLOW_CLAIM];
	struct parked_lane *l = parked_find(&f->parked, p.tenant, p.session);
	free(arg);
	if (!answer->err) {
		let_go(p.j, list_entry(l->items.next, struct item, node));
		return;
	}
	log_warn("lane-not-paused", "message=\"%s\"", answer->message);
	parked_set_due(&f->parked, l, clock_mono_us() + f->parked.backoff.cap_us);
	loop_again(p.j->sup->loop);
}

static void pause_lane(struct journal *j, struct parked_lane *l, const struct item *it,
		       const struct pg_answer *a)
{
	struct pausing *p = xmalloc(sizeof *p);
	struct lq_pause what = {.scope = LQ_LANE, .tenant = l->tenant, .id = l->session};
	char session[UUID_TEXT_LEN + 1], run[UUID_TEXT_LEN + 1], by[64];
	*p = (struct pausing){j, l->tenant, l->session};
	uuid_format(l->session, session);
	uuid_format(it->run_id, run);
	snprintf(by, sizeof by, "claim-refused %s", a->sqlstate);
	log_error("lane-paused",
		  "tenant=%lld session=%s run=%s sqlstate=%s message=\"%s\" times=%u "
		  "todo=\"the database refused to start this run, so its lane is paused. "
		  "To try again, mend what the message names, then: terabitsctl lane "
		  "resume %s. To give the run up: terabitsctl run cancel %s, then: "
		  "terabitsctl lane resume %s\"",
		  (long long)l->tenant, session, run, a->sqlstate, a->message,
		  l->refusals, session, run, session);
	heap_remove(&j->flow[FLOW_CLAIM].parked.due, &l->due);
	control_pause(j->sup, &what, 1, by, on_paused, p);
}

static void claim_refused(struct journal *j, const struct pg_answer *a)
{
	struct flow *f = &j->flow[FLOW_CLAIM];
	struct item *it = take_single(f);
	struct parked_lane *l = park(f, it, a);
	l->refusals += pg_error_kind(a->sqlstate) == PG_ERROR_ROW;
	log_parked("claim-refused", l, it, a);
	if (j->sup->state >= SUP_DRAINING)
		let_go(j, it); /* it starts nothing any more: the row stays for the next
				  life */
	else if (l->refusals >= JOURNAL_REFUSALS_MOST)
		pause_lane(j, l, it, a);
}

/* ---- answers */

static void failed(struct journal *j, enum flow_kind kind, const struct pg_answer *a)
{
	struct flow *f = &j->flow[kind];
	if (a->fate != PG_ROLLED_BACK) {
		put_back(f, a->fate == PG_UNKNOWN);
		return;
	}
	if (pg_error_kind(a->sqlstate) == PG_ERROR_AGAIN && ++f->again < AGAIN_MOST) {
		put_back(f, false);
		return;
	}
	f->again = 0;
	if (f->count > 1) {
		log_warn("batch-refused", "rows=%u sqlstate=%s message=\"%s\"", f->count,
			 a->sqlstate, a->message);
		f->one_by_one += f->count;
		put_back(f, false);
	} else if (kind == FLOW_CLAIM) {
		claim_refused(j, a);
	} else {
		enqueue_refused(j, a);
	}
}

static void deliver(struct journal *j, enum flow_kind kind, const struct pg_result *r)
{
	struct flow *f = &j->flow[kind];
	struct list items;
	int row = 0, rows = pg_rows(r), number = 0;
	list_init(&items);
	for (struct list *n; (n = list_pop(&f->flight));)
		list_push(&items, n);
	if (f->trial)
		parked_release(&f->parked, f->trial, &f->waiting);
	f->trial = NULL;
	f->count = f->again = 0;
	for (struct list *n; (n = list_pop(&items));) {
		struct item *it = list_entry(n, struct item, node);
		bool has_row = row < rows && pg_get_i64(r, row, 0) == ++number;
		if (kind == FLOW_ENQUEUE)
			accept_answered(j->sup, it, r, row);
		else
			runs_claimed(j->sup, it, r, has_row ? row : -1);
		row += has_row;
		journal_item_done(j, it);
	}
}

static void on_answer(struct journal *j, enum flow_kind kind, const struct pg_answer *a)
{
	struct flow *f = &j->flow[kind];
	int64_t now_us = clock_mono_us(), took_us = now_us - j->flight_start_us;
	if (--j->in_flight == 0)
		pace_returned(&j->sup->pace);
	if (a->err == ERR_CANCELLED)
		return;
	if (kind == FLOW_ENQUEUE)
		pace_batch(&j->sup->pace, now_us, took_us);
	if (a->err) {
		failed(j, kind, a);
	} else {
		if (kind == FLOW_ENQUEUE)
			FAULT(T0_LANDED);
		else
			FAULT(T1_LANDED);
		item_note_grants(j->sup, &f->flight, clock_boot_us() - took_us);
		deliver(j, kind, a->results[a->result_count - 1]);
	}
	loop_again(j->sup->loop);
}

void journal_on_enqueued(void *arg, const struct pg_answer *a)
{
	on_answer(arg, FLOW_ENQUEUE, a);
}

void journal_on_claimed(void *arg, const struct pg_answer *a)
{
	on_answer(arg, FLOW_CLAIM, a);
}
