/* SPDX-License-Identifier: Apache-2.0
 * The lane queue between a database that loses commits or their answers, workers that
 * die, and a supervisor that starts anew from the rows: a deterministic simulation.
 *
 * All messages travel with random delays. A transaction is applied whole, in order of
 * arrival; it may be lost on the way, or its answer, and then its sender finds out what
 * became of it by the rules of the journal. What a dead sender had sent still arrives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "common/attr.h"
#include "common/crypto.h"
#include "supervisor/lq.h"
#include "tests/unit/common/rand.h"

#define SEEDS 3000 /* where there is time; else a third */
#define RANDOM_SEEDS 500
#define FAULT_SEEDS 4000
#define CALM_US 20000000LL /* after this nothing new comes and nothing fails */
#define END_US 4000000000LL
#define MS 1000LL
enum { RUNS = 40, LANES = 4, WORKERS = 3, MSGS = 512, CRASHES_MOST = 3 };

enum fault {
	NO_FAULT,
	FENCE_IGNORED,   /* the database takes the commits of old runners */
	CLAIM_FORGOTTEN, /* a claim whose answer was lost is not asked about */
	ACK_TOO_EARLY,   /* accepted before the commit */
	LOAD_FORGETS,    /* a restart does not load what was running */
	ORDER_LOST,      /* the queue is told another order than the rows have */
	TAKEN_STAYS,     /* a consumed message keeps its row */
	PAUSE_IGNORED, /* a claim finds a run in retry_wait that is not due, and starts it
			*/
	QUESTION_IGNORED, /* a claim starts a run that waits for a person */
	DENY_FORGOTTEN,   /* a message does not answer in that person's place */
	FAULTS
};

enum what {
	/* to the database */
	TX_ENQUEUE,
	TX_CLAIM,
	TX_CANCEL,
	TX_EXPIRE,
	TX_BURY,
	TX_ANSWER, /* what a run asks is answered, by a person or for a message */
	TX_JOURNAL,
	/* back, to the supervisor or to a run on a worker */
	ANSWER,
	UNKNOWN, /* the connection broke */
	/* from a run on a worker */
	RUN_STEP,
	SAID, /* to the supervisor: event */
	/* things that happen */
	CLIENT,
	WORKER_DIES,
	WORKER_COMES,
	RESTART,
	TICK,
	NET /* the supervisor compares the rows with its memory */
};

enum journal { J_STEP, J_END, J_RETRY, J_ASK };

struct msg {
	bool used;
	enum what what, about;
	int64_t at;
	uint64_t order;
	int run, worker, victim, taker;
	unsigned gen, life; /* the supervisor's; the worker's, or a start's */
	int64_t fence, commit_no, lane_pos, retry_at;
	enum journal journal;
	enum lq_event_kind event;
	bool fuse, fold, crashed, ok, started, resend, victim_gone, victim_folded, ran;
	bool asks, queued;
	uint64_t taken;
};

struct row {
	bool there, ran, folded, cancel, retrying;
	bool asking, queued; /* it waits for a person; it did, and is to be claimed */
	int crashes;
	int64_t pos, run_at, asks_until;
};
struct run {
	struct uuid id;
	int lane, archived;
	bool sent, acked, known, known_ran, cancel_asked;
	enum run_mode mode;
	int64_t order, deadline, first_run_at;
	struct row row;
	/* on its worker */
	bool live, yield, cancel;
	bool let_go; /* its question stands: what its worker still has of it does nothing
		      */
	int worker, steps;
	int charged; /* deaths of a worker under it that were its own, perhaps */
	unsigned life, start;
	int64_t fence, commit_no;
};
struct db_lane {
	int64_t fence, commit_no, enq_seq, low;
};

static struct sim {
	enum fault fault;
	const char *broken;
	uint64_t dice, sent;
	int64_t now, skew, order;
	int64_t told; /* what was due then is waiting: the last tick, or an earlier time
			 since */
	struct msg msg[MSGS];
	struct run run[RUNS];
	struct db_lane lane[LANES];
	int runs;
	unsigned gen, starts, life[LQ_MAX_WORKERS];
	bool up[LQ_MAX_WORKERS];
	struct lq *q;
	uint64_t deaths, restarts, lost, stale, claims, early, asked, denied;
} s;

static uint32_t dice(uint32_t n)
{
	return (uint32_t)(rand_of(&s.dice) % n);
}

static bool chance(uint32_t percent)
{
	return dice(100) < percent;
}

static bool calm(void)
{
	return s.now > CALM_US;
}

static void must(bool ok, const char *property)
{
	if (!ok && !s.broken)
		s.broken = property;
}

static void post(struct msg m, int64_t after_us)
{
	int i = 0;
	while (i < MSGS && s.msg[i].used)
		i++;
	assert_true(i < MSGS);
	m.used = true;
	m.at = s.now + after_us;
	m.order = s.sent++;
	s.msg[i] = m;
}

static int64_t a_while(void)
{
	return chance(90) ? dice(5 * MS) : dice(800 * MS);
}

static struct run *run_of(const struct lq_run *r)
{
	uint32_t i;
	struct uuid id = lq_run_id(r);
	memcpy(&i, id.b + 12, 4);
	return &s.run[i];
}

static struct lq_run *known(int run)
{
	return lq_find(s.q, s.run[run].id);
}

/* ---- the database */

static void archive(struct run *r)
{
	r->archived++;
	must(r->archived == 1, "a run ended twice");
	r->row.there = false;
}

static void db_enqueue(struct msg *m)
{
	struct run *r = &s.run[m->run];
	struct db_lane *l = &s.lane[r->lane];
	struct run *v = m->victim >= 0 ? &s.run[m->victim] : NULL;
	bool busy = false;
	m->ok = true;
	if (!r->row.there && !r->archived) {
		for (int i = 0; i < s.runs; i++)
			busy |= s.run[i].lane == r->lane && s.run[i].row.there;
		r->row = (struct row){.there = true, .run_at = r->first_run_at};
		r->row.pos = ++l->enq_seq;
		if (r->mode == MODE_INTERRUPT)
			r->row.pos = --l->low;
		for (int i = 0; i < s.runs && r->mode == MODE_INTERRUPT; i++)
			s.run[i].row.cancel |= s.run[i].lane == r->lane &&
					       s.run[i].row.there && s.run[i].row.ran &&
					       !s.run[i].row.asking;
		if (m->fuse && !busy) {
			r->row.ran = true;
			m->fence = ++l->fence;
			m->commit_no = l->commit_no;
		}
		if (v && v->row.there && !v->row.ran && m->fold)
			v->row.folded = true;
		else if (v && v->row.there && !v->row.ran)
			archive(v);
	}
	/* A repeated one finds what the first became: if it started, its fence. */
	m->started = m->fuse && r->row.there && r->row.ran;
	m->fence = l->fence;
	m->commit_no = l->commit_no;
	m->lane_pos = r->row.pos;
	m->victim_gone = v && !v->row.there;
	m->victim_folded = v && v->row.there && v->row.folded;
}

static void db_claim(struct msg *m)
{
	struct run *r = &s.run[m->run];
	struct db_lane *l = &s.lane[r->lane];
	bool early = r->row.retrying && r->row.run_at > s.now && !r->row.cancel;
	m->ok = r->row.there;
	if (!m->ok)
		return;
	if (r->row.asking && s.fault != QUESTION_IGNORED) {
		m->asks = true;
		m->retry_at = r->row.asks_until;
		return;
	}
	must(!r->row.asking, "a question holds its run");
	if (early && s.fault != PAUSE_IGNORED) {
		m->retry_at = r->row.run_at;
		s.early++;
		return;
	}
	must(!early, "a retry waits for its time");
	r->row.crashes += m->crashed;
	must(r->row.crashes <= r->charged, "a crash is charged that was none");
	r->row.ran = true;
	r->row.folded = r->row.retrying = r->row.queued = false;
	m->fence = ++l->fence;
	m->commit_no = l->commit_no;
}

/* Nothing of it is pending any more; an interrupt that waits cuts it short. */
static void db_release(struct run *r)
{
	if (!r->row.asking)
		return;
	r->row.asking = false;
	r->row.queued = true;
	for (int i = 0; i < s.runs; i++) {
		const struct run *o = &s.run[i];
		r->row.cancel |= o->lane == r->lane && o->row.there && !o->row.ran &&
				 o->mode == MODE_INTERRUPT && o->row.pos < r->row.pos;
	}
}

static void db_answer(struct msg *m)
{
	struct run *r = &s.run[m->run];
	if (r->row.there)
		db_release(r);
	m->queued = r->row.there && r->row.queued;
	m->ok = !r->row.there;
}

static void db_cancel(struct msg *m)
{
	struct run *r = &s.run[m->run];
	m->ok = r->row.there && !r->row.ran; /* gone */
	if (m->ok)
		archive(r);
	else
		r->row.cancel = true;
	if (r->row.there)
		db_release(r);
}

static void db_expire(struct msg *m)
{
	struct run *r = &s.run[m->run];
	m->ok = r->row.there && !r->row.ran && r->deadline && r->deadline <= s.now;
	if (m->ok)
		archive(r);
	if (r->row.there && r->row.asking && r->row.asks_until <= s.now)
		db_release(r);
	m->queued = r->row.there && r->row.queued;
	m->ok = !r->row.there;
}

static void db_take(struct msg *m)
{
	for (int i = 0; i < s.runs; i++) {
		struct run *o = &s.run[i];
		bool steer = o->mode == MODE_STEER && o->row.run_at <= s.now;
		if (i == m->run || o->lane != s.run[m->run].lane || !o->row.there ||
		    o->row.ran || !(steer || o->row.folded))
			continue;
		archive(o);
		o->row.there = s.fault == TAKEN_STAYS;
		m->taken |= 1ull << i;
	}
}

/* The fence first: the commit of an old runner fails; one that was sent twice landed
 * once. */
static void db_journal(struct msg *m)
{
	struct run *r = &s.run[m->run];
	struct db_lane *l = &s.lane[r->lane];
	bool mine = l->fence == m->fence || s.fault == FENCE_IGNORED;
	bool landed = l->fence == m->fence && l->commit_no == m->commit_no + 1;
	m->ok = mine &&
		(landed || l->commit_no == m->commit_no || s.fault == FENCE_IGNORED);
	s.stale += !m->ok;
	if (!m->ok || landed)
		return;
	l->commit_no++;
	if (m->journal == J_END) {
		archive(r);
	} else if (m->journal == J_RETRY) {
		r->row.retrying = true;
		r->row.run_at = m->retry_at;
	} else if (m->journal == J_ASK) {
		s.asked++;
		r->let_go = true;
		r->row.asking = true;
		r->row.asks_until = m->retry_at;
		if (r->row.cancel) {
			db_release(r);
			m->retry_at = 0;
		}
	} else {
		r->row.crashes = 0;
		db_take(m);
	}
}

static void db_bury(struct msg *m)
{
	if (s.run[m->run].row.there)
		archive(&s.run[m->run]);
}

static void db_apply(struct msg m)
{
	struct msg back = m;
	bool lost = !calm() && chance(4);
	s.lost += lost;
	if (lost && chance(50)) { /* it never came */
		back.what = UNKNOWN;
		back.about = m.what;
		post(back, a_while());
		return;
	}
	if (m.what == TX_ENQUEUE)
		db_enqueue(&back);
	else if (m.what == TX_CLAIM)
		db_claim(&back);
	else if (m.what == TX_CANCEL)
		db_cancel(&back);
	else if (m.what == TX_EXPIRE)
		db_expire(&back);
	else if (m.what == TX_BURY)
		db_bury(&back);
	else if (m.what == TX_ANSWER)
		db_answer(&back);
	else
		db_journal(&back);
	back.about = m.what;
	back.what = lost ? UNKNOWN : ANSWER;
	post(back, a_while());
}

/* ---- the supervisor */

static void step(struct lq_event e)
{
	lq_step(s.q, &e);
}

static void tell(enum lq_event_kind kind, int run)
{
	struct lq_run *r = known(run);
	if (r)
		step((struct lq_event){.kind = kind, .run = r});
}

static struct msg to_db(enum what what, const struct run *r)
{
	return (struct msg){.what = what,
			    .run = (int)(r - s.run),
			    .gen = s.gen,
			    .victim = -1,
			    .worker = LQ_NO_WORKER};
}

/* Of two that wait, the lower lane_pos goes first; one that ran before both. */
static void judge_order(const struct run *r)
{
	for (int i = 0; i < s.runs; i++) {
		const struct run *o = &s.run[i];
		if (o == r || o->lane != r->lane || !o->row.there || !o->known ||
		    r->known_ran)
			continue;
		must(!o->known_ran, "a run that ran goes first");
		must(o->row.ran || o->row.folded || o->mode == MODE_COLLECT ||
			     o->row.run_at > s.told || o->row.pos > r->row.pos,
		     "lanes in order");
	}
}

static void do_start(const struct lq_action *a)
{
	struct run *r = run_of(a->run);
	for (int i = 0; i < s.runs; i++)
		must(s.run[i].lane != r->lane || !s.run[i].live || s.run[i].let_go,
		     "one runner of a lane");
	if (lq_run_crashes(a->run) >= CRASHES_MOST) {
		post(to_db(TX_BURY, r), a_while());
		return;
	}
	r->live = true;
	r->yield = r->let_go = false;
	r->cancel = r->row.cancel;
	r->worker = a->worker;
	r->life = s.life[a->worker];
	r->start = ++s.starts;
	r->steps = 1 + (int)dice(4);
	post((struct msg){.what = RUN_STEP, .run = (int)(r - s.run), .life = r->start},
	     a_while());
}

static void act(void *ctx, const struct lq_action *a)
{
	struct run *r = a->run ? run_of(a->run) : NULL;
	struct msg m = r ? to_db(TX_ENQUEUE, r) : (struct msg){0};
	(void)ctx;
	switch (a->kind) {
	case LQ_DO_ENQUEUE:
		r->sent = true;
		r->acked |= s.fault == ACK_TOO_EARLY;
		m.fuse = a->worker != LQ_NO_WORKER;
		m.victim = a->victim ? (int)(run_of(a->victim) - s.run) : -1;
		m.fold = a->fold;
		post(m, a_while());
		break;
	case LQ_DO_CLAIM:
		s.claims++;
		judge_order(r);
		m.what = TX_CLAIM;
		m.crashed = a->crashed;
		post(m, a_while());
		break;
	case LQ_DO_EXPIRE:
		m.what = TX_EXPIRE;
		post(m, a_while());
		break;
	case LQ_DO_START:
		do_start(a);
		break;
	case LQ_DO_CANCEL:
		r->cancel = true;
		break;
	case LQ_DO_YIELD:
		r->yield = true;
		break;
	case LQ_DO_DENY:
		s.denied++;
		m.what = TX_ANSWER;
		if (s.fault != DENY_FORGOTTEN)
			post(m, a_while());
		break;
	case LQ_DO_QUARANTINE:
		post((struct msg){.what = WORKER_COMES, .worker = LQ_QUARANTINE},
		     50 * MS);
		break;
	case LQ_DO_STEER:
	case LQ_DO_REFUSE:
		break;
	}
}

static void on_accepted(const struct msg *m)
{
	struct run *r = &s.run[m->run];
	struct lq_run *is = known(m->run);
	r->acked = true;
	if (m->victim >= 0)
		tell(m->victim_gone     ? LQ_GONE
		     : m->victim_folded ? LQ_FOLDED
					: LQ_KEPT,
		     m->victim);
	if (!is)
		return;
	r->known = true;
	r->known_ran |= m->started;
	r->fence = m->fence;
	r->commit_no = m->commit_no;
	step((struct lq_event){.kind = LQ_COMMITTED,
			       .run = is,
			       .lane_pos =
				       s.fault == ORDER_LOST ? -m->lane_pos : m->lane_pos,
			       .started = m->started});
	if (!r->row.there) /* it had ended already: its row says so to the net */
		tell(LQ_ENDED, m->run);
}

static void on_claimed(const struct msg *m)
{
	struct run *r = &s.run[m->run];
	struct lq_run *is = known(m->run);
	if (!is || lq_run_state(is) != LQ_S_CLAIMING)
		return;
	if (!m->ok) {
		step((struct lq_event){.kind = LQ_UNCLAIMED, .run = is, .gone = true});
		return;
	}
	if (m->asks) {
		struct lq_event lane = {.kind = LQ_PAUSE,
					.scope = LQ_LANE,
					.tenant = 1 + r->lane % 2,
					.id = {{(uint8_t)(1 + r->lane)}}};
		step(lane); /* as lane_look does */
		step((struct lq_event){.kind = LQ_UNCLAIMED, .run = is});
		step((struct lq_event){.kind = LQ_ASKS, .run = is, .at_us = m->retry_at});
		lane.kind = LQ_RESUME;
		step(lane);
		return;
	}
	if (m->retry_at) {
		step((struct lq_event){
			.kind = LQ_NOT_DUE, .run = is, .at_us = m->retry_at});
		return;
	}
	r->known_ran = true;
	r->fence = m->fence;
	r->commit_no = m->commit_no;
	step((struct lq_event){.kind = LQ_CLAIMED, .run = is});
}

/* ---- the run on its worker */

static void say(const struct run *r, enum lq_event_kind event, int about, int64_t at)
{
	post((struct msg){.what = SAID,
			  .run = about,
			  .taker = (int)(r - s.run),
			  .worker = r->worker,
			  .life = r->life,
			  .event = event,
			  .fence = r->fence,
			  .retry_at = at},
	     dice(3 * MS));
}

static void run_step(const struct msg *m)
{
	struct run *r = &s.run[m->run];
	struct msg j = to_db(TX_JOURNAL, r);
	if (!r->live || m->life != r->start)
		return;
	if (r->yield && r->steps > 0) {
		r->live = false;
		say(r, LQ_YIELDED, m->run, 0);
		return;
	}
	j.life = r->start;
	j.worker = r->worker;
	j.fence = r->fence;
	j.commit_no = r->commit_no;
	j.journal = r->cancel || r->steps-- <= 0 ? J_END
		    : chance(10) && !calm()      ? J_RETRY
		    : chance(10) && !calm()      ? J_ASK
						 : J_STEP;
	j.retry_at = s.now +
		     (j.journal == J_ASK && chance(50) ? 1000000 * MS : dice(2000 * MS));
	post(j, a_while());
}

static void journal_answer(const struct msg *m)
{
	struct run *r = &s.run[m->run];
	if (!r->live || m->life != r->start)
		return; /* its worker died meanwhile */
	if (!m->ok) {
		r->live = false;
		say(r, LQ_LOST, m->run, 0);
		return;
	}
	r->commit_no++;
	for (int i = 0; i < s.runs; i++)
		if (m->taken >> i & 1)
			say(r, LQ_TAKEN, i, 0);
	if (m->journal == J_STEP) {
		if (lq_run_crashes(known(m->run)))
			say(r, LQ_PROGRESS, m->run, 0);
		post((struct msg){.what = RUN_STEP, .run = m->run, .life = r->start},
		     a_while());
		return;
	}
	r->live = false;
	if (m->journal == J_ASK)
		say(r, m->retry_at ? LQ_ASKS : LQ_ANSWERED, m->run, m->retry_at);
	else
		say(r, m->journal == J_END ? LQ_ENDED : LQ_RETRY, m->run, m->retry_at);
}

/* A link keeps its order, so does what is said over it. */
static void on_said(const struct msg *m)
{
	struct lq_run *is = known(m->run);
	if (m->life != s.life[m->worker] || !is)
		return;
	for (int i = 0; i < MSGS; i++) {
		struct msg *o = &s.msg[i];
		if (o->used && o->what == SAID && o->worker == m->worker &&
		    o->life == m->life && o->order < m->order) {
			post(*m, o->at - s.now + 1);
			return;
		}
	}
	/* As by its fence: it was answered and claimed meanwhile. */
	if ((m->event == LQ_ASKS || m->event == LQ_ANSWERED) &&
	    (lq_run_state(is) != LQ_S_RUNNING || s.run[m->run].fence != m->fence))
		return;
	step((struct lq_event){.kind = m->event, .run = is, .at_us = m->retry_at});
}

/* The supervisor has one connection: its answers come in the order of what was done. */
static bool waits_for_earlier(const struct msg *m)
{
	for (int i = 0; i < MSGS; i++) {
		struct msg *o = &s.msg[i];
		if (!o->used || o->what != ANSWER || o->about == TX_JOURNAL ||
		    o->gen != m->gen || o->order >= m->order)
			continue;
		uint64_t order = m->order, sent = s.sent;
		s.sent = order;
		post(*m, o->at - s.now + 1);
		s.sent = sent;
		return true;
	}
	return false;
}

static void answered(const struct msg *m, enum lq_event_kind otherwise)
{
	tell(m->queued ? LQ_ANSWERED : otherwise, m->run);
}

/* ---- answers */

static void on_answer(const struct msg *m)
{
	if (m->about == TX_JOURNAL) {
		journal_answer(m);
		return;
	}
	if (m->gen != s.gen || waits_for_earlier(m))
		return;
	if (m->about == TX_ENQUEUE)
		on_accepted(m);
	else if (m->about == TX_CLAIM)
		on_claimed(m);
	else if (m->about == TX_CANCEL)
		tell(m->ok ? LQ_GONE : LQ_CANCEL, m->run);
	else if (m->about == TX_EXPIRE)
		answered(m, m->ok ? LQ_GONE : LQ_KEPT);
	else if (m->about == TX_ANSWER && (m->queued || m->ok))
		answered(m, LQ_GONE);
	else if (m->about == TX_BURY)
		tell(LQ_ENDED, m->run);
}

/* Whoever does not know what became of a commit sends it again. */
static void on_unknown(const struct msg *m)
{
	struct msg again = m[0];
	if (m->about == TX_JOURNAL ? !s.run[m->run].live || m->life != s.run[m->run].start
				   : m->gen != s.gen)
		return;
	if (s.fault == CLAIM_FORGOTTEN && m->about == TX_CLAIM)
		return;
	again.what = m->about;
	again.taken = m->about == TX_JOURNAL ? m->taken : 0;
	again.crashed = false; /* charged once at most */
	post(again, a_while());
}

/* ---- what happens */

static void place(void)
{
	int16_t slots[LIMIT_SLOTS];
	int ups[WORKERS], n = 0;
	memset(slots, 0xff, sizeof slots);
	for (int i = 0; i < WORKERS; i++)
		if (s.up[i])
			ups[n++] = i;
	for (int l = 0; l < LANES && n; l++)
		slots[l] = (int16_t)ups[l % n];
	step((struct lq_event){.kind = LQ_SLOTS, .slots = slots});
}

static struct lq_item item_of(const struct run *r)
{
	return (struct lq_item){.run = r->id,
				.session = {{(uint8_t)(1 + r->lane)}},
				.tenant = 1 + r->lane % 2,
				.slot = (uint32_t)r->lane,
				.mode = r->mode,
				.order_us = r->order,
				.run_at_us = r->first_run_at,
				.deadline_us = r->deadline,
				.tenant_max_running = 2,
				.tenant_max_queued = 100,
				.tenant_weight = 1,
				.lane_cap = 4,
				.drop = DROP_REJECT};
}

/* The supervisor's idea of the database's time. */
static int64_t clock_of(void)
{
	if (s.now + s.skew < s.told)
		s.told = s.now + s.skew;
	return s.now + s.skew;
}

static void client(void)
{
	static const enum run_mode modes[] = {MODE_FOLLOWUP, MODE_STEER, MODE_STEER,
					      MODE_COLLECT, MODE_INTERRUPT};
	uint32_t i = (uint32_t)s.runs;
	if (!calm())
		post((struct msg){.what = CLIENT}, dice(700 * MS));
	if (chance(30) && s.runs) {
		struct run *r = &s.run[dice(i)];
		if (r->row.there && r->row.asking)
			post(to_db(TX_ANSWER, r), a_while());
	}
	if (chance(10) && s.runs) {
		struct run *r = &s.run[dice(i)];
		if (r->acked)
			post(to_db(TX_CANCEL, r), a_while());
		return;
	}
	if (s.runs == RUNS || calm())
		return;
	struct run *r = &s.run[s.runs++];
	*r = (struct run){.lane = (int)dice(LANES),
			  .mode = modes[dice(5)],
			  .order = s.order = (s.now > s.order ? s.now : s.order) + 1};
	memcpy(r->id.b + 12, &i, 4);
	r->id.b[0] = 1;
	if (chance(15) || r->mode == MODE_COLLECT)
		r->first_run_at = s.now + dice(1500 * MS);
	if (chance(15))
		r->deadline = r->order + (1 + dice(3000)) * MS;
	struct lq_item it = item_of(r);
	it.drop = (enum drop_policy)(1 + dice(3));
	step((struct lq_event){.kind = LQ_ENQUEUE, .item = &it, .now_us = clock_of()});
}

static void worker_dies(int w)
{
	if (!s.up[w])
		return;
	s.up[w] = false;
	s.life[w]++;
	s.deaths++;
	bool uncharged = chance(25);
	for (int i = 0; i < s.runs; i++) {
		const struct lq_run *r = known(i);
		s.run[i].live &= s.run[i].worker != w;
		s.run[i].charged += !uncharged && r && lq_run_state(r) == LQ_S_RUNNING &&
				    lq_run_worker(r) == w;
	}
	step((struct lq_event){
		.kind = LQ_WORKER_DOWN, .worker = w, .uncharged = uncharged});
	if (chance(60))
		place();
	post((struct msg){.what = WORKER_COMES, .worker = w}, 20 * MS + a_while());
}

static void worker_comes(int w)
{
	if (s.up[w])
		return;
	s.up[w] = true;
	step((struct lq_event){.kind = LQ_WORKER_UP, .worker = w});
	place();
}

static void load_row(struct run *r)
{
	struct lq_item it = item_of(r);
	if (!r->row.there || known((int)(r - s.run)) ||
	    (s.fault == LOAD_FORGETS && r->row.ran))
		return;
	it.lane_pos = r->row.pos;
	it.run_at_us = r->row.run_at;
	it.ran = r->row.ran;
	it.retrying = r->row.retrying;
	it.asking = r->row.asking;
	if (it.asking)
		it.run_at_us = r->row.asks_until;
	it.folded = r->row.folded;
	it.crashes = (uint32_t)r->row.crashes;
	r->known = true;
	r->known_ran = r->row.ran;
	step((struct lq_event){.kind = LQ_LOADED, .item = &it, .now_us = clock_of()});
	if (r->row.cancel)
		tell(LQ_CANCEL, (int)(r - s.run));
}

static void load_rows(void)
{
	step((struct lq_event){.kind = LQ_HOLD}); /* until all of a lane is known */
	for (int i = 0; i < s.runs; i++)
		load_row(&s.run[i]);
	step((struct lq_event){.kind = LQ_RELEASE});
}

/* An answer that a dead supervisor had sent may have landed after its rows were read. */
static void look_at_questions(void)
{
	for (int i = 0; i < s.runs; i++) {
		const struct lq_run *r = known(i);
		if (r && lq_run_state(r) == LQ_S_ASKING && s.run[i].row.queued)
			tell(LQ_ANSWERED, i);
	}
}

/* A new supervisor: nothing is left of the old one but what it had sent. */
static void restart(void)
{
	static const struct lq_limits limits = {
		.node_running = 4, .node_waiting = 1000, .worker_running = 2};
	lq_free(s.q);
	s.q = lq_new(&limits, act, NULL);
	s.gen++;
	s.restarts++;
	for (int w = 0; w < LQ_MAX_WORKERS; w++) {
		s.up[w] = false;
		s.life[w]++;
	}
	for (int i = 0; i < s.runs; i++)
		s.run[i].live = s.run[i].known = s.run[i].known_ran = false;
	load_rows();
	for (int w = 0; w < WORKERS; w++)
		post((struct msg){.what = WORKER_COMES, .worker = w}, a_while());
}

/* In the end somebody answers; but for a run whose lane has a message, which does. */
static void answer_all(void)
{
	for (int i = 0; i < s.runs; i++) {
		struct run *r = &s.run[i];
		bool message = false;
		for (int k = 0; k < s.runs; k++)
			message |= s.run[k].lane == r->lane && s.run[k].row.there &&
				   !s.run[k].row.ran;
		if (r->row.there && r->row.asking && !message)
			post(to_db(TX_ANSWER, r), a_while());
	}
}

static void tick(void)
{
	if (!calm() && chance(2))
		s.skew = (int64_t)dice(4000 * MS) - 2000 * MS;
	if (!calm() && chance(1))
		s.skew = 3600000 * MS;
	if (calm())
		s.skew = 0;
	s.told = s.now + s.skew;
	step((struct lq_event){.kind = LQ_TICK, .now_us = s.told});
	if (calm() && chance(5))
		answer_all();
	post((struct msg){.what = TICK}, 50 * MS);
}

static void mishap(enum what what)
{
	if (calm())
		return;
	post((struct msg){.what = what}, dice(what == RESTART ? 20000 * MS : 6000 * MS));
	if (what == RESTART)
		restart();
	else
		worker_dies(chance(30) ? LQ_QUARANTINE : (int)dice(WORKERS));
}

static void deliver(const struct msg *m)
{
	switch (m->what) {
	case ANSWER:
		on_answer(m);
		break;
	case UNKNOWN:
		on_unknown(m);
		break;
	case RUN_STEP:
		run_step(m);
		break;
	case SAID:
		on_said(m);
		break;
	case CLIENT:
		client();
		break;
	case WORKER_COMES:
		worker_comes(m->worker);
		break;
	case WORKER_DIES:
	case RESTART:
		mishap(m->what);
		break;
	case TICK:
		tick();
		break;
	case NET:
		load_rows();
		look_at_questions();
		post((struct msg){.what = NET}, 3000 * MS);
		break;
	default:
		db_apply(*m);
	}
}

/* ---- a life */

static bool all_ended(void)
{
	for (int i = 0; i < s.runs; i++)
		if (s.run[i].row.there)
			return false;
	return calm() && lq_stats(s.q).runs == 0;
}

static struct msg *earliest(void)
{
	struct msg *first = NULL;
	for (int i = 0; i < MSGS; i++) {
		struct msg *m = &s.msg[i];
		if (m->used && (!first || m->at < first->at ||
				(m->at == first->at && m->order < first->order)))
			first = m;
	}
	return first;
}

/* The property that broke; NULL: none. */
static const char *play(uint64_t seed, enum fault fault)
{
	struct sim before = s;
	memset(&s, 0, sizeof s);
	s.fault = fault;
	s.dice = seed;
	s.deaths = before.deaths;
	s.restarts = before.restarts;
	s.lost = before.lost;
	s.stale = before.stale;
	s.claims = before.claims;
	s.early = before.early;
	s.asked = before.asked;
	s.denied = before.denied;
	s.now = s.order = 1000 * MS;
	s.q = lq_new(&(struct lq_limits){4, 1000, 2}, act, NULL);
	for (int w = 0; w < WORKERS; w++)
		worker_comes(w);
	tick();
	post((struct msg){.what = CLIENT}, 0);
	post((struct msg){.what = NET}, 3000 * MS);
	post((struct msg){.what = WORKER_DIES}, dice(4000 * MS));
	post((struct msg){.what = RESTART}, dice(15000 * MS));
	while (!s.broken && !all_ended() && s.now < CALM_US + 200000 * MS) {
		struct msg *m = earliest(), now = *m;
		m->used = false;
		s.now = now.at;
		deliver(&now);
	}
	for (int i = 0; i < s.runs; i++) {
		must(!s.run[i].row.there, "an accepted run did not end");
		must(!s.run[i].acked || s.run[i].archived, "an acknowledged run is lost");
	}
	must(s.broken || lq_stats(s.q).runs == 0, "the queue keeps what has ended");
	lq_free(s.q);
	return s.broken;
}

static void play_seeds(uint64_t seed, int n)
{
	memset(&s, 0, sizeof s);
	for (int i = 0; i < n; i++)
		if (play(seed + (uint64_t)i, NO_FAULT))
			fail_msg("TB_SEED=%" PRIu64 ": %s", seed + (uint64_t)i, s.broken);
	printf("claims %" PRIu64 ", deaths %" PRIu64 ", restarts %" PRIu64
	       ", lost %" PRIu64 ", refused by the fence %" PRIu64 ", too early %" PRIu64
	       ", asked %" PRIu64 ", denied %" PRIu64 "\n",
	       s.claims, s.deaths, s.restarts, s.lost, s.stale, s.early, s.asked,
	       s.denied);
	assert_true(s.deaths > 0 && s.restarts > 0 && s.lost > 0 && s.stale > 0 &&
		    s.early > 0 && s.asked > 0 && s.denied > 0);
}

static void test_fixed_seeds(void **state)
{
	(void)state;
	play_seeds(1, getenv("TB_LONG") ? SEEDS : SEEDS / 3);
}

static uint64_t random_seed;

static void test_random_seeds(void **state)
{
	(void)state;
	play_seeds(random_seed, RANDOM_SEEDS);
}

static void test_faults_are_found(void **state)
{
	static const char *const found[FAULTS] = {
		[FENCE_IGNORED] = "a run ended twice",
		[CLAIM_FORGOTTEN] = "an accepted run did not end",
		[ACK_TOO_EARLY] = "an acknowledged run is lost",
		[LOAD_FORGETS] = "an accepted run did not end",
		[ORDER_LOST] = "lanes in order",
		[TAKEN_STAYS] = "a run ended twice",
		[PAUSE_IGNORED] = "a retry waits for its time",
		[QUESTION_IGNORED] = "a question holds its run",
		[DENY_FORGOTTEN] = "an accepted run did not end",
	};
	(void)state;
	for (int f = NO_FAULT + 1; f < FAULTS; f++) {
		const char *broken = NULL;
		uint64_t seed = 1;
		for (; seed < FAULT_SEEDS && (!broken || strcmp(broken, found[f]));
		     seed++)
			broken = play(seed, (enum fault)f);
		printf("fault %d: \"%s\" after %" PRIu64 " seeds\n", f,
		       broken ? broken : "nothing", seed - 1);
		assert_non_null(broken);
		assert_string_equal(broken, found[f]);
	}
}

int main(void)
{
	crypto_init();
	rand_begin();
	random_seed = rand_state;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fixed_seeds),
		cmocka_unit_test(test_random_seeds),
		cmocka_unit_test(test_faults_are_found),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
