/* SPDX-License-Identifier: Apache-2.0
 * The lane queue against its reference model by a million random events; what fails is
 * shrunk to a short sequence. Planted faults prove that every property can fail.
 *
 * An event is a number: what it does follows from the number and the state it meets, so
 * any sequence is valid, also one with pieces cut out. */
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
#include "tests/unit/supervisor/lq_judge.h"

#define WORLD_EVENTS 2000
#define WORLDS 500 /* a million events, where there is time; else a third */
#define RANDOM_WORLDS 50
#define SHORT 40 /* what a shrunk failure may have, at most */

enum fault {
	NO_FAULT,
	STEER_LOST,
	CANCEL_LOST,
	YIELD_LOST,
	EXPIRE_LOST,
	EXPIRE_TWICE,
	START_LOST,
	QUARANTINE_LOST,
	CLAIM_LOST,
	CLAIM_TWICE,
	CLAIM_OUT_OF_ORDER,
	CLAIM_ELSEWHERE,
	CRASH_FORGOTTEN,
	VICTIM_LOST,
	FOLD_FOR_DROP,
	NODE_CAP,
	WORKER_CAP,
	TENANT_CAP,
	AGENT_CAP,
	QUEUE_CAP,
	PAUSE_LOST,
	PAUSE_KEEPS, /* a pause stops what ran too */
	HOLD_LOST,
	RETRY_AS_LOST,
	SUSPECT_AS_SOUND,
	SLOTS_LOST,
	END_LOST,
	PRIORITY_LOST,
	DENY_LOST,
	DENY_TWICE,
	QUESTION_AS_LOST, /* a run that asks is claimed again at once */
	ANSWER_LOST,
	FAULTS
};

struct got {
	struct lq_action a;
	struct uuid id, victim;
};

static struct world {
	struct model m;
	struct lq *q;
	enum fault fault;
	bool verbose;
	struct got got[512];
	int gots;
	uint64_t dice;
	int64_t order, top[M_LANES], bottom[M_LANES];
	uint64_t serial;
} w;

/* ---- dice that follow from the event's number */

static uint32_t dice(uint32_t n)
{
	return (uint32_t)(rand_of(&w.dice) % n);
}

static bool chance(uint32_t percent)
{
	return dice(100) < percent;
}

/* ---- the step, its actions, and the faults between queue and model */

static struct mrun *run_of(struct uuid id)
{
	uint32_t i;
	memcpy(&i, id.b + 12, sizeof i);
	return i < M_RUNS && w.m.run[i].used && uuid_eq(w.m.run[i].id, id) ? &w.m.run[i]
									   : NULL;
}

static void act(void *ctx, const struct lq_action *a)
{
	struct got g = {.a = *a};
	assert_ptr_equal(ctx, &w);
	assert_true(w.gots < (int)ARRAY_LEN(w.got));
	if (a->run)
		g.id = lq_run_id(a->run);
	if (a->victim)
		g.victim = lq_run_id(a->victim);
	w.got[w.gots++] = g;
}

static bool loses(enum lq_action_kind kind)
{
	static const int lost[] = {
		[LQ_DO_STEER] = STEER_LOST, [LQ_DO_CANCEL] = CANCEL_LOST,
		[LQ_DO_YIELD] = YIELD_LOST, [LQ_DO_EXPIRE] = EXPIRE_LOST,
		[LQ_DO_START] = START_LOST, [LQ_DO_QUARANTINE] = QUARANTINE_LOST,
		[LQ_DO_CLAIM] = CLAIM_LOST, [LQ_DO_DENY] = DENY_LOST,
		[LQ_DO_ENQUEUE] = NO_FAULT, [LQ_DO_REFUSE] = NO_FAULT};
	return w.fault != NO_FAULT && lost[kind] == (int)w.fault;
}

/* Another run of the claimed one's lane that waits. */
static struct uuid another_of(struct uuid id)
{
	const struct mrun *r = run_of(id);
	for (struct mrun *o = w.m.run; r && o < w.m.run + M_RUNS; o++)
		if (o->used && o != r && o->lane == r->lane && o->state == LQ_S_WAITING)
			return o->id;
	return id;
}

static bool is_under_a_pause(struct uuid id)
{
	const struct mrun *r = run_of(id);
	return r && m_lane_paused(&w.m, r->lane);
}

static void plant_in_actions(void)
{
	int n = 0;
	static struct got more[ARRAY_LEN(w.got)];
	for (int i = 0; i < w.gots; i++) {
		struct got g = w.got[i];
		bool claim = g.a.kind == LQ_DO_CLAIM;
		if (loses(g.a.kind) ||
		    (w.fault == PAUSE_KEEPS && claim && is_under_a_pause(g.id)))
			continue;
		if (w.fault == CLAIM_OUT_OF_ORDER && claim)
			g.id = another_of(g.id);
		if (w.fault == CLAIM_ELSEWHERE && claim && g.a.worker < 4)
			g.a.worker = (g.a.worker + 1) % 4;
		if (w.fault == CRASH_FORGOTTEN)
			g.a.crashed = false;
		if (w.fault == VICTIM_LOST)
			g.a.victim = NULL;
		if (w.fault == FOLD_FOR_DROP && g.a.victim)
			g.a.fold = true;
		more[n++] = g;
		if ((w.fault == CLAIM_TWICE && claim) ||
		    (w.fault == EXPIRE_TWICE && g.a.kind == LQ_DO_EXPIRE) ||
		    (w.fault == DENY_TWICE && g.a.kind == LQ_DO_DENY))
			more[n++] = g;
	}
	memcpy(w.got, more, (size_t)n * sizeof *more);
	w.gots = n;
}

/* Whether the event is kept from the queue; it may be changed as well. */
static bool plant_in_event(struct lq_event *e, struct lq_item *it)
{
	if (e->item) {
		*it = *e->item;
		e->item = it;
		it->tenant_max_running += w.fault == TENANT_CAP;
		it->agent_max_running = w.fault == AGENT_CAP ? 0 : it->agent_max_running;
		it->crashes = w.fault == SUSPECT_AS_SOUND ? 0 : it->crashes;
		it->priority = w.fault == PRIORITY_LOST ? 0 : it->priority;
	}
	if (w.fault == RETRY_AS_LOST && e->kind == LQ_RETRY)
		e->kind = LQ_LOST;
	if (w.fault == QUESTION_AS_LOST && e->kind == LQ_ASKS)
		e->kind = LQ_LOST;
	return (w.fault == PAUSE_LOST && e->kind == LQ_PAUSE) ||
	       (w.fault == HOLD_LOST && e->kind == LQ_HOLD) ||
	       (w.fault == SLOTS_LOST && e->kind == LQ_SLOTS && dice(4) == 0) ||
	       (w.fault == END_LOST && e->kind == LQ_ENDED) ||
	       (w.fault == ANSWER_LOST && e->kind == LQ_ANSWERED);
}

/* Opening everything in the end is no part of the story. */
static bool quiet;

static void say(const char *what, int kind, const struct mrun *r, int worker)
{
	if (w.verbose && !quiet)
		printf("  %s %d run=%d lane=%d state=%s worker=%d\n", what, kind,
		       r ? (int)(r - w.m.run) : -1, r ? r->lane : -1,
		       r ? lq_state_word(r->state) : "-", worker);
}

static void judge_others(const struct got *g)
{
	struct mrun *r = run_of(g->id);
	say("   did", (int)g->a.kind, r, g->a.worker);
	if (g->a.kind == LQ_DO_QUARANTINE) {
		m_must(&w.m, !w.m.asked && m_needs_quarantine(&w.m),
		       "quarantine asked for");
		w.m.asked = true;
	} else if (!r) {
		m_must(&w.m, false, "ends exactly once");
	} else if (g->a.kind == LQ_DO_CLAIM) {
		m_claim(&w.m, r, g->a.worker, g->a.crashed);
	} else {
		m_expected(&w.m, &g->a, r);
	}
}

/* The event happens in the queue; the model has been told, but of an ENQUEUE. */
static void step(struct lq_event e)
{
	struct lq_item it;
	int first = e.kind == LQ_ENQUEUE; /* its answer is judged by enqueue() */
	w.gots = 0;
	if (!plant_in_event(&e, &it))
		lq_step(w.q, &e);
	if (w.fault)
		plant_in_actions();
	if (first)
		return;
	for (int i = 0; i < w.gots && !w.m.broken; i++)
		judge_others(&w.got[i]);
	m_after(&w.m);
}

/* ---- what can be seen of the queue is what the model says */

static void compare(void)
{
	struct lq_stats s = lq_stats(w.q);
	uint32_t n[LQ_S_ASKING + 1] = {0}, runs = 0;
	for (const struct mrun *r = w.m.run; r < w.m.run + M_RUNS; r++) {
		struct lq_run *is = r->used ? lq_find(w.q, r->id) : NULL;
		if (!r->used)
			continue;
		n[r->state]++;
		runs++;
		m_must(&w.m, is && lq_run_state(is) == r->state, "state of a run");
		m_must(&w.m,
		       is && lq_run_worker(is) == r->worker &&
			       (int)lq_run_crashes(is) == r->crashes,
		       "place of a run");
		m_must(&w.m,
		       is && ((r->state != LQ_S_DELAYED && r->state != LQ_S_ASKING) ||
			      lq_run_due_us(is) == r->due),
		       "collects are due together");
		if (w.m.broken)
			return;
	}
	m_must(&w.m, s.runs == runs, "ends exactly once");
	m_must(&w.m,
	       s.waiting == n[LQ_S_WAITING] && s.delayed == n[LQ_S_DELAYED] &&
		       s.folded == n[LQ_S_FOLDED] && s.retrying == n[LQ_S_RETRY] &&
		       s.asking == n[LQ_S_ASKING] && s.claiming == n[LQ_S_CLAIMING] &&
		       s.running == m_running(&w.m, -1, -1, -1),
	       "counts");
}

/* ---- events */

typedef bool eligible(const struct mrun *r);

static struct mrun *pick(eligible *is)
{
	uint32_t n = 0, k;
	for (const struct mrun *r = w.m.run; r < w.m.run + M_RUNS; r++)
		n += r->used && is(r);
	if (n == 0)
		return NULL;
	k = dice(n);
	for (struct mrun *r = w.m.run;; r++)
		if (r->used && is(r) && k-- == 0)
			return r;
}

static void tell(enum lq_event_kind kind, const struct mrun *r)
{
	say("event", (int)kind, r, r->worker);
	step((struct lq_event){.kind = kind, .run = lq_find(w.q, r->id)});
}

static struct lq_item new_item(int lane, uint32_t i)
{
	static const enum run_mode modes[] = {MODE_STEER,     MODE_FOLLOWUP, MODE_COLLECT,
					      MODE_INTERRUPT, MODE_ANNOUNCE, MODE_STEER,
					      MODE_APPEND,    MODE_DELETE};
	struct lq_item it = {
		.session = {{(uint8_t)(1 + lane)}},
		.agent = {{(uint8_t)(1 + m_agent(lane))}},
		.tenant = 1 + m_tenant(lane),
		.slot = w.m.lane_slot[lane],
		.priority = chance(30) ? (int)dice(5) - 2 : 0,
		.mode = modes[dice(ARRAY_LEN(modes))],
		.order_us = w.order += 1000 + dice(20000000),
		.tenant_max_running = chance(90) ? 3 : 1 + dice(4),
		.tenant_max_queued = chance(90) ? 20 : 3 + dice(10),
		.tenant_weight = dice(4),
		.agent_max_running = chance(80) ? 2 : dice(3),
		.lane_cap = 4,
		.drop = (enum drop_policy)(1 + dice(3)),
	};
	uint64_t serial = ++w.serial;
	memcpy(it.run.b, &serial, 8);
	memcpy(it.run.b + 12, &i, 4);
	if (it.mode == MODE_COLLECT || chance(10))
		it.run_at_us = w.m.now + 1 + dice(2000000);
	if (chance(20))
		it.deadline_us = it.order_us + 1000LL * (1 + dice(8000));
	return it;
}

static uint32_t free_run(void)
{
	uint32_t i = 0;
	while (i < M_RUNS && w.m.run[i].used)
		i++;
	return i;
}

static struct mrun *model_add(uint32_t i, int lane, const struct lq_item *it)
{
	struct mrun *r = &w.m.run[i];
	*r = (struct mrun){.used = true,
			   .lane = lane,
			   .mode = (int)it->mode,
			   .prio = it->priority,
			   .worker = LQ_NO_WORKER,
			   .pos = INT64_MAX,
			   .order = it->order_us,
			   .deadline = it->deadline_us,
			   .id = it->run};
	r->due = it->run_at_us > w.m.now ? it->run_at_us : 0;
	w.m.tenant_cap[m_tenant(lane)] = it->tenant_max_running;
	w.m.agent_cap[m_agent(lane)] = it->agent_max_running;
	return r;
}

static void judge_answer(struct manswer want, uint32_t i, int lane,
			 const struct lq_item *it)
{
	const struct lq_action *a = &w.got[0].a;
	bool accepted = w.gots > 0 && a->kind == LQ_DO_ENQUEUE;
	m_must(&w.m, w.gots > 0 && (accepted || a->kind == LQ_DO_REFUSE),
	       "an answer to each");
	m_must(&w.m, accepted == (want.error == ERR_OK), "admission");
	m_must(&w.m, accepted || a->error == want.error, "admission");
	if (!accepted || w.m.broken)
		return;
	struct mrun *r = model_add(i, lane, it);
	m_must(&w.m, a->victim ? run_of(w.got[0].victim) == want.victim : !want.victim,
	       "drop policy");
	m_must(&w.m, a->fold == want.fold, "drop policy folds");
	m_must(&w.m, (a->worker != LQ_NO_WORKER) == m_fuses(&w.m, r), "fused starts");
	if (want.victim) {
		want.victim->doomed = true;
		want.victim->fold = want.fold;
	}
	if (a->worker == LQ_NO_WORKER)
		return;
	m_must(&w.m, a->worker == m_target(&w.m, r), "placement");
	r->worker = a->worker;
	r->fused = true;
}

static void op_enqueue(void)
{
	uint32_t i = free_run();
	int lane = (int)(chance(40) ? dice(2) : dice(M_LANES));
	if (i == M_RUNS)
		return;
	struct lq_item it = new_item(lane, i);
	struct manswer want = m_answer(&w.m, lane, &it);
	step((struct lq_event){
		.kind = LQ_ENQUEUE, .item = &it, .now_us = w.m.now, .arg = &it});
	judge_answer(want, i, lane, &it);
	say("event", LQ_ENQUEUE, &w.m.run[i], w.m.run[i].worker);
	for (int k = 1; k < w.gots && !w.m.broken; k++)
		judge_others(&w.got[k]);
	m_after(&w.m);
}

static int64_t new_pos(const struct mrun *r)
{
	return r->mode == MODE_INTERRUPT || r->mode == MODE_DELETE ? --w.bottom[r->lane]
								   : ++w.top[r->lane];
}

static bool lane_began(int lane)
{
	for (const struct mrun *r = w.m.run; r < w.m.run + M_RUNS; r++)
		if (r->used && r->lane == lane && (r->ran || m_active(r)))
			return true;
	return false;
}

static void op_load(void)
{
	uint32_t i = free_run();
	int lane = (int)dice(M_LANES);
	if (i == M_RUNS)
		return;
	struct lq_item it = new_item(lane, i);
	it.ran = chance(30) && !lane_began(lane);
	it.retrying = it.ran && chance(30);
	it.asking = it.ran && !it.retrying && chance(30);
	if (it.asking)
		it.run_at_us = w.m.now + dice(3000000);
	it.folded = !it.ran && chance(10);
	it.crashes = it.ran ? dice(3) : 0;
	struct mrun *r = model_add(i, lane, &it);
	it.lane_pos = r->pos = new_pos(r);
	r->ran = it.ran;
	r->folded = it.folded;
	r->crashes = (int)it.crashes;
	w.m.accepted++;
	if (it.asking)
		m_ask(&w.m, r, it.run_at_us);
	else if (r->due && it.retrying)
		r->state = LQ_S_RETRY;
	else if (r->due && !r->ran && !r->folded)
		r->state = LQ_S_DELAYED;
	else
		m_wait(&w.m, r);
	if (r->state == LQ_S_DELAYED && r->mode == MODE_COLLECT)
		m_collect(&w.m, r);
	say("event", LQ_LOADED, r, r->crashes);
	step((struct lq_event){.kind = LQ_LOADED, .item = &it, .now_us = w.m.now});
}

static bool is_commit(const struct mrun *r)
{
	return r->state == LQ_S_ENQUEUEING || r->state == LQ_S_CLAIMING;
}

static void land_enqueue(struct mrun *r)
{
	struct lq_event e = {.kind = LQ_COMMITTED, .run = lq_find(w.q, r->id)};
	say("event", LQ_COMMITTED, r, r->worker);
	if (chance(5)) {
		e.kind = LQ_REFUSED;
		r->used = false;
	} else {
		e.started = r->fused && chance(90);
		e.lane_pos = new_pos(r);
		m_committed(&w.m, r, e.lane_pos, e.started);
	}
	step(e);
}

static void land_claim(struct mrun *r)
{
	struct lq_event e = {.kind = LQ_CLAIMED, .run = lq_find(w.q, r->id)};
	say("event", LQ_CLAIMED, r, r->worker);
	if (w.fault && (!e.run || lq_run_state(e.run) != LQ_S_CLAIMING)) {
		m_must(&w.m, false, "a planted fault goes no further");
		return; /* the queue takes such an event for a bug */
	}
	if (r->gone || chance(6)) {
		e.kind = LQ_UNCLAIMED;
		e.gone = chance(60);
		if (e.gone || r->gone)
			m_end(&w.m, r);
		else
			m_unclaimed(&w.m, r);
	} else if (r->ran && chance(5)) {
		e.kind = LQ_NOT_DUE;
		e.at_us = w.m.now + 1 + dice(3000000);
		m_not_due(&w.m, r, e.at_us);
	} else {
		r->ran = true;
		r->folded = r->crashed = false;
		if (m_adrift(&w.m, r))
			m_wait(&w.m, r);
		else
			m_start(&w.m, r);
	}
	step(e);
}

static void op_commit(void)
{
	struct mrun *r = pick(is_commit);
	if (r && r->state == LQ_S_ENQUEUEING)
		land_enqueue(r);
	else if (r)
		land_claim(r);
}

static bool is_running(const struct mrun *r)
{
	return r->state == LQ_S_RUNNING;
}

static void op_end(void)
{
	struct mrun *r = pick(is_running);
	if (!r)
		return;
	m_end(&w.m, r);
	tell(LQ_ENDED, r);
}

static void op_let_go(void)
{
	struct mrun *r = pick(is_running);
	if (!r)
		return;
	m_wait(&w.m, r);
	tell(r->yielding || chance(50) ? LQ_YIELDED : LQ_LOST, r);
}

static void op_retry(void)
{
	struct mrun *r = pick(is_running);
	int64_t at = w.m.now + 1 + dice(3000000);
	if (!r)
		return;
	m_retry(&w.m, r, at);
	say("event", LQ_RETRY, r, 0);
	step((struct lq_event){
		.kind = LQ_RETRY, .run = lq_find(w.q, r->id), .at_us = at});
}

/* One that runs, or whose claim came to nothing as it asks already. */
static bool may_ask(const struct mrun *r)
{
	return is_running(r) || (r->state == LQ_S_WAITING && r->ran && r->unclaimed);
}

static void op_ask(void)
{
	struct mrun *r = pick(may_ask);
	int64_t at = w.m.now + 1 + dice(6000000);
	if (!r)
		return;
	m_ask(&w.m, r, at);
	say("event", LQ_ASKS, r, 0);
	step((struct lq_event){.kind = LQ_ASKS, .run = lq_find(w.q, r->id), .at_us = at});
}

static bool is_asking(const struct mrun *r)
{
	return r->state == LQ_S_ASKING;
}

/* Or its worker has not said yet that it asks. */
static bool may_be_answered(const struct mrun *r)
{
	return is_asking(r) || is_running(r);
}

static void op_answer(eligible *is)
{
	struct mrun *r = pick(is);
	if (!r)
		return;
	m_wait(&w.m, r);
	tell(LQ_ANSWERED, r);
}

static void op_progress(void)
{
	struct mrun *r = pick(is_running);
	if (!r)
		return;
	r->crashes = 0;
	if (r->worker == LQ_QUARANTINE && !r->yielding) {
		r->yielding = true;
		m_expect(&w.m, LQ_DO_YIELD, r, 0);
	}
	tell(LQ_PROGRESS, r);
}

static bool never_started(const struct mrun *r)
{
	return !r->ran && !r->fused && !r->gone;
}

static bool may_be_taken(const struct mrun *r)
{
	struct mrun *active = m_active_of(&w.m, r->lane);
	return never_started(r) && active && active->state == LQ_S_RUNNING;
}

static void op_over(eligible *is, enum lq_event_kind kind)
{
	struct mrun *r = pick(is);
	if (!r)
		return;
	m_over(&w.m, r);
	tell(kind, r);
}

static bool may_fold(const struct mrun *r)
{
	return !r->ran && (r->doomed || r->state == LQ_S_CLAIMING);
}

static void op_victim(void)
{
	struct mrun *r = pick(may_fold);
	if (!r || (r->doomed && !r->fold)) {
		if (r)
			m_over(&w.m, r);
		if (r)
			tell(LQ_GONE, r);
		return;
	}
	r->folded = true;
	if (r->state != LQ_S_CLAIMING) {
		r->doomed = false;
		m_wait(&w.m, r);
	}
	tell(LQ_FOLDED, r);
}

static bool may_be_kept(const struct mrun *r)
{
	return r->doomed || r->expiring;
}

static void op_kept(void)
{
	struct mrun *r = pick(may_be_kept);
	if (!r)
		return;
	if (r->expiring && is_asking(r))
		r->due = (w.m.now > r->due ? w.m.now : r->due) + M_AGAIN_US;
	else if (r->expiring)
		r->deadline = m_whole_ms(
			r, (w.m.now > r->deadline ? w.m.now : r->deadline) + M_AGAIN_US);
	r->doomed = r->expiring = false;
	tell(LQ_KEPT, r);
}

static bool is_there(const struct mrun *r)
{
	return r->used;
}

static void op_cancel(void)
{
	struct mrun *r = pick(is_there);
	if (!r)
		return;
	m_cancel(&w.m, r, CANCEL_ASKED, true);
	tell(LQ_CANCEL, r);
}

static void set_worker(int worker, int up)
{
	bool uncharged = !up && chance(25);
	say(up          ? "event up"
	    : uncharged ? "event down, uncharged"
			: "event down",
	    0, NULL, worker);
	if (!up) {
		m_down(&w.m, worker, uncharged);
	} else {
		w.m.up[worker] = true;
		if (worker == LQ_QUARANTINE)
			w.m.asked = false;
	}
	step((struct lq_event){.kind = up ? LQ_WORKER_UP : LQ_WORKER_DOWN,
			       .worker = worker,
			       .uncharged = uncharged});
}

static void op_worker(void)
{
	int worker = chance(25) ? LQ_QUARANTINE : (int)dice(4);
	if (w.m.up[worker] || chance(90))
		set_worker(worker, !w.m.up[worker]);
}

static void set_slots(const int8_t owner[M_LANES])
{
	int16_t given[LIMIT_SLOTS], known[LIMIT_SLOTS];
	memset(given, 0xff, sizeof given);
	memset(known, 0xff, sizeof known);
	for (int l = 0; l < M_LANES; l++) {
		given[w.m.lane_slot[l]] = owner[l];
		/* the quarantine worker owns no slot, whatever the table says */
		known[w.m.lane_slot[l]] = owner[l] == LQ_QUARANTINE ? -1 : owner[l];
	}
	say("event slots", 0, NULL, 0);
	m_slots(&w.m, known);
	step((struct lq_event){.kind = LQ_SLOTS, .slots = given});
}

static void op_slots(void)
{
	int8_t owner[M_LANES];
	for (int l = 0; l < M_LANES; l++)
		owner[l] = (int8_t)(chance(60)   ? w.m.slots[w.m.lane_slot[l]]
				    : chance(90) ? (int)dice(4)
				    : chance(50) ? LQ_NO_WORKER
						 : LQ_QUARANTINE);
	set_slots(owner);
}

static void tick(int64_t by)
{
	w.m.now += by;
	say("event tick", 0, NULL, 0);
	m_tick(&w.m);
	step((struct lq_event){.kind = LQ_TICK, .now_us = w.m.now});
}

static void set_pause(enum lq_scope scope, int i, int paused)
{
	struct lq_event e = {.kind = paused ? LQ_PAUSE : LQ_RESUME, .scope = scope};
	bool *flag[] = {[LQ_NODE] = &w.m.node_paused,
			[LQ_TENANT] = &w.m.tenant_paused[i % M_TENANTS],
			[LQ_AGENT] = &w.m.agent_paused[i % M_AGENTS],
			[LQ_LANE] = &w.m.lane_paused[i]};
	*flag[scope] = paused;
	for (struct mrun *r = w.m.run; r < w.m.run + M_RUNS; r++)
		r->unclaimed &= scope != LQ_LANE || r->lane != i || paused;
	e.tenant = 1 + i % M_TENANTS;
	e.id = (struct uuid){{(uint8_t)(1 + (scope == LQ_AGENT ? i % M_AGENTS : i))}};
	say(paused ? "event pause" : "event resume", (int)scope, NULL, i);
	step(e);
	m_must(&w.m, w.fault || lq_is_paused(w.q, scope, e.tenant, e.id) == paused,
	       "pauses");
}

static void op_pause(void)
{
	set_pause((enum lq_scope)dice(4), (int)dice(M_LANES), chance(25));
}

static void set_held(int held)
{
	w.m.held = held;
	say(held ? "event hold" : "event release", 0, NULL, 0);
	step((struct lq_event){.kind = held ? LQ_HOLD : LQ_RELEASE});
}

static void apply(uint64_t number)
{
	w.dice = number;
	uint32_t n = dice(1000);
	if (n < 290)
		op_enqueue();
	else if (n < 560)
		op_commit();
	else if (n < 680)
		op_end();
	else if (n < 700)
		op_let_go();
	else if (n < 720)
		op_retry();
	else if (n < 730)
		op_progress();
	else if (n < 735)
		op_ask();
	else if (n < 740)
		op_answer(chance(95) ? is_asking : may_be_answered);
	else if (n < 760)
		op_over(may_be_taken, LQ_TAKEN);
	else if (n < 775)
		op_over(never_started, LQ_GONE);
	else if (n < 795)
		op_victim();
	else if (n < 805)
		op_kept();
	else if (n < 815)
		op_cancel();
	else if (n < 840)
		op_worker();
	else if (n < 850)
		op_slots();
	else if (n < 915)
		tick(dice(chance(95) ? 1500000 : 30000000));
	else if (n < 945)
		op_load();
	else if (n < 980)
		op_pause();
	else
		set_held(chance(30));
}

/* ---- a world: from an empty queue to an empty queue */

static void begin(void)
{
	enum fault fault = w.fault;
	bool verbose = w.verbose;
	struct lq_limits limits = {
		.node_running = 6, .node_waiting = 22, .worker_running = 3};
	memset(&w, 0, sizeof w);
	w.fault = fault;
	w.verbose = verbose;
	w.m.node_cap = limits.node_running;
	w.m.worker_cap = limits.worker_running;
	w.m.queue_cap = limits.node_waiting;
	w.m.now = w.order = 1000000000;
	memset(w.m.slots, 0xff, sizeof w.m.slots);
	limits.node_running += fault == NODE_CAP;
	limits.worker_running += fault == WORKER_CAP;
	limits.node_waiting += fault == QUEUE_CAP;
	w.q = lq_new(&limits, act, &w);
	int8_t owner[M_LANES];
	for (int l = 0; l < M_LANES; l++) {
		w.m.lane_slot[l] = (unsigned)l * 337;
		owner[l] = (int8_t)(l % 4);
	}
	set_slots(owner);
	for (int i = 0; i < 3; i++)
		set_worker(i, 1);
}

/* Everything opens; what is there then must come to its end. */
static void drain(void)
{
	int8_t owner[M_LANES];
	for (int l = 0; l < M_LANES; l++)
		owner[l] = (int8_t)(l % 4);
	quiet = true;
	set_slots(owner);
	for (int i = 0; i < 4; i++)
		if (!w.m.up[i])
			set_worker(i, 1);
	if (!w.m.up[LQ_QUARANTINE])
		set_worker(LQ_QUARANTINE, 1);
	for (int s = LQ_NODE; s <= LQ_LANE; s++)
		for (int i = 0; i < M_LANES; i++)
			set_pause((enum lq_scope)s, i, 0);
	set_held(0);
	quiet = false;
	for (int i = 0; i < 100 * M_RUNS && !w.m.broken && pick(is_there); i++) {
		tick(100000);
		op_commit();
		op_end();
		op_answer(is_asking);
	}
	m_must(&w.m, !pick(is_there), "ends exactly once");
	compare();
	m_must(&w.m, w.m.broken || w.m.accepted == w.m.ended || w.fault,
	       "ends exactly once");
}

/* The property that broke; NULL: none. *at becomes the number of events it took. */
static const char *play(const uint64_t *events, int n, int *at)
{
	int i = 0;
	begin();
	for (; i < n && !w.m.broken; i++) {
		apply(events[i]);
		if (i % 4 == 0 && !w.m.broken)
			compare();
	}
	if (!w.m.broken)
		drain();
	if (at)
		*at = i;
	lq_free(w.q);
	return w.m.broken;
}

/* Whether the property still breaks without `count` events from `from` and, with at >= 0,
 * the one there, which is after them; then they are cut out. */
static bool cut(uint64_t *events, int *n, const char *property, int from, int count,
		int at)
{
	uint64_t tried[WORLD_EVENTS];
	int left = 0;
	for (int i = 0; i < *n; i++)
		if ((i < from || i >= from + count) && i != at)
			tried[left++] = events[i];
	const char *broken = play(tried, left, NULL);
	if (!broken || strcmp(broken, property))
		return false;
	memcpy(events, tried, (size_t)left * sizeof *tried);
	*n = left;
	return true;
}

/* Two that only make sense together, as a pause and its end. */
static bool cut_pair(uint64_t *events, int *n, const char *property)
{
	for (int i = 0; i < *n; i++)
		for (int j = i + 1; j < *n; j++)
			if (cut(events, n, property, i, 1, j))
				return true;
	return false;
}

static bool cut_pieces(uint64_t *events, int *n, const char *property, int piece)
{
	bool any = false;
	for (int from = 0; from + piece <= *n;) {
		if (cut(events, n, property, from, piece, -1))
			any = true;
		else
			from += piece;
	}
	return any;
}

/* Cuts out whatever the failure does not need: pieces of half the length, of a quarter,
 * ... of one, then pairs. */
static int shrink(uint64_t *events, int n, const char *property)
{
	for (int piece = n / 2; piece > 0;) {
		bool any = cut_pieces(events, &n, property, piece);
		if (piece > 1)
			piece /= 2;
		else if (!any && !cut_pair(events, &n, property))
			break;
	}
	return n;
}

static void fill(uint64_t *events, uint64_t seed)
{
	rand_state = seed;
	for (int i = 0; i < WORLD_EVENTS; i++)
		events[i] = rand_next();
}

/* Plays worlds from this seed; a failure is shrunk and told. */
static void play_worlds(uint64_t seed, int worlds)
{
	static uint64_t events[WORLD_EVENTS];
	for (int i = 0; i < worlds; i++) {
		int n;
		fill(events, seed + (uint64_t)i);
		const char *broken = play(events, WORLD_EVENTS, &n);
		if (!broken)
			continue;
		n = shrink(events, n, broken);
		printf("TB_SEED=%" PRIu64 ": \"%s\" broke, with %d events:\n",
		       seed + (uint64_t)i, broken, n);
		w.verbose = true;
		play(events, n, NULL);
		w.verbose = false;
		fail_msg("\"%s\" does not hold", broken);
	}
}

static void test_fixed_seeds(void **state)
{
	(void)state;
	w.fault = NO_FAULT;
	play_worlds(1, getenv("TB_LONG") ? WORLDS : WORLDS / 3);
}

static uint64_t random_seed;

static void test_random_seed(void **state)
{
	(void)state;
	w.fault = NO_FAULT;
	play_worlds(random_seed, RANDOM_WORLDS);
}

/* ---- the test's own test */

static const struct {
	const char *name, *property;
} plants[FAULTS] = {
	[STEER_LOST] = {"a steer is not signalled", "steer signalled"},
	[CANCEL_LOST] = {"a cancel is lost", "cancel and interrupt"},
	[YIELD_LOST] = {"a yield is lost", "only moved slots yield"},
	[EXPIRE_LOST] = {"an expiry is lost", "deadlines"},
	[EXPIRE_TWICE] = {"an expiry comes twice", "deadlines"},
	[START_LOST] = {"a start is lost", "starts"},
	[QUARANTINE_LOST] = {"the quarantine worker is not asked for",
			     "quarantine asked for"},
	[CLAIM_LOST] = {"a claim is lost", "work conserving"},
	[CLAIM_TWICE] = {"a run is claimed twice", "one active per lane"},
	[CLAIM_OUT_OF_ORDER] = {"the second of a lane goes first", "start order"},
	[CLAIM_ELSEWHERE] = {"a claim goes to another worker", "placement"},
	[CRASH_FORGOTTEN] = {"a crash is not charged", "crash charged once"},
	[VICTIM_LOST] = {"a full lane drops nothing", "drop policy"},
	[FOLD_FOR_DROP] = {"a dropped run is folded", "drop policy folds"},
	[NODE_CAP] = {"one too many on the node", "cap of the node"},
	[WORKER_CAP] = {"one too many on a worker", "cap of the worker"},
	[TENANT_CAP] = {"one too many of a tenant", "cap of the tenant"},
	[AGENT_CAP] = {"an agent without its cap", "cap of the agent"},
	[QUEUE_CAP] = {"one too many waits", "admission"},
	[PAUSE_LOST] = {"a pause is lost", "pauses"},
	[PAUSE_KEEPS] = {"a pause keeps what ran", "work conserving"},
	[HOLD_LOST] = {"a hold is lost", "pauses"},
	[RETRY_AS_LOST] = {"a retry does not wait", "retry holds the lane"},
	[SUSPECT_AS_SOUND] = {"a suspect runs among others", "quarantine alone"},
	[SLOTS_LOST] = {"a change of slots is lost", "only moved slots yield"},
	[END_LOST] = {"an end is lost", "ends exactly once"},
	[DENY_LOST] = {"a message does not answer", "a message answers"},
	[DENY_TWICE] = {"a message answers twice", "a message answers"},
	[QUESTION_AS_LOST] = {"a run that asks goes on", "a question holds the lane"},
	[ANSWER_LOST] = {"an answer is lost", "work conserving"},
	[PRIORITY_LOST] = {"priorities are forgotten", "order between lanes"},
};

/* Each fault breaks its own property in some world, and is shrunk to a few events. */
static void test_faults_are_found_and_shrunk(void **state)
{
	static uint64_t events[WORLD_EVENTS];
	(void)state;
	for (int f = NO_FAULT + 1; f < FAULTS; f++) {
		const char *broken = NULL;
		int n = 0;
		w.fault = (enum fault)f;
		for (uint64_t seed = 1;
		     seed < 200 && (!broken || strcmp(broken, plants[f].property));
		     seed++) {
			fill(events, seed);
			broken = play(events, WORLD_EVENTS, &n);
		}
		if (!broken || strcmp(broken, plants[f].property))
			fail_msg("%s: \"%s\" did not break, but \"%s\"", plants[f].name,
				 plants[f].property, broken ? broken : "nothing");
		n = shrink(events, n, broken);
		printf("%s: \"%s\" breaks, with %d events\n", plants[f].name, broken, n);
		if (n > SHORT)
			fail_msg("%s: %d events left", plants[f].name, n);
	}
	w.fault = NO_FAULT;
}

int main(void)
{
	crypto_init();
	rand_begin();
	random_seed = rand_state;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fixed_seeds),
		cmocka_unit_test(test_random_seed),
		cmocka_unit_test(test_faults_are_found_and_shrunk),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
