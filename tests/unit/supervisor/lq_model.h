/* SPDX-License-Identifier: Apache-2.0
 * The lane queue's reference: plain arrays and scans; what each event must cause. */
#ifndef TB_TEST_LQ_MODEL_H
#define TB_TEST_LQ_MODEL_H

#include <string.h>

#include "supervisor/lq.h"

enum { M_RUNS = 48, M_LANES = 12, M_AGENTS = 6, M_TENANTS = 3, M_EXPECT = 64 };
#define M_STEP_US 30000000LL
#define M_AGAIN_US 10000000LL

struct mrun {
	bool used, ran, crashed, orphan, fused, folded, doomed, fold, expiring, gone,
		yielding, unclaimed, denied;
	enum lq_state state;
	int lane, mode, prio, worker, crashes, cancel;
	int64_t pos, order, due, deadline;
	struct uuid id;
};
struct mexpect {
	enum lq_action_kind kind;
	int run, reason;
};
struct model {
	struct mrun run[M_RUNS];
	bool lane_paused[M_LANES], agent_paused[M_AGENTS], tenant_paused[M_TENANTS];
	bool node_paused, held, up[LQ_MAX_WORKERS], asked;
	uint32_t tenant_cap[M_TENANTS], agent_cap[M_AGENTS], node_cap, worker_cap,
		queue_cap;
	int16_t slots[LIMIT_SLOTS];
	unsigned lane_slot[M_LANES];
	int64_t now;
	struct mexpect expect[M_EXPECT];
	int expects;
	uint64_t accepted, ended;
	const char *broken; /* the first property that did not hold */
};

static int m_agent(int lane)
{
	return lane % M_AGENTS;
}
static int m_tenant(int lane)
{
	return lane % M_AGENTS % M_TENANTS;
}

static void m_must(struct model *m, bool ok, const char *property)
{
	if (!ok && !m->broken)
		m->broken = property;
}
static void m_expect(struct model *m, enum lq_action_kind kind, const struct mrun *r,
		     int reason)
{
	if (m->expects < M_EXPECT)
		m->expect[m->expects++] =
			(struct mexpect){kind, (int)(r - m->run), reason};
}
static bool m_active(const struct mrun *r)
{
	return r->used &&
	       (r->state == LQ_S_CLAIMING || r->state == LQ_S_RUNNING || r->fused);
}
static struct mrun *m_active_of(struct model *m, int lane)
{
	for (struct mrun *r = m->run; r < m->run + M_RUNS; r++)
		if (m_active(r) && r->lane == lane)
			return r;
	return NULL;
}
static uint32_t m_count(const struct model *m, int lane, enum lq_state s)
{
	uint32_t n = 0;
	for (int i = 0; i < M_RUNS; i++)
		n += m->run[i].used && m->run[i].lane == lane && m->run[i].state == s;
	return n;
}
/* Those that hold credit of whatever is asked; -1: of all. */
static uint32_t m_running(const struct model *m, int tenant, int agent, int worker)
{
	uint32_t n = 0;
	for (const struct mrun *r = m->run; r < m->run + M_RUNS; r++)
		n += m_active(r) && (tenant < 0 || m_tenant(r->lane) == tenant) &&
		     (agent < 0 || m_agent(r->lane) == agent) &&
		     (worker < 0 || r->worker == worker);
	return n;
}
static int m_target(const struct model *m, const struct mrun *r)
{
	return r->crashes >= LQ_SUSPECT_CRASHES ? LQ_QUARANTINE
						: m->slots[m->lane_slot[r->lane]];
}
static bool m_before(const struct mrun *a, const struct mrun *b)
{
	return !b || (a->ran != b->ran ? a->ran : a->pos < b->pos);
}

/* Holds its lane without a worker. */
static bool m_stopped(const struct mrun *r)
{
	return r->used && (r->state == LQ_S_RETRY || r->state == LQ_S_ASKING);
}

/* ---- what events make of runs */

/* A message answers for the person whom its lane's run waits for. */
static void m_denies(struct model *m, int lane)
{
	struct mrun *asking = NULL;
	bool message = false;
	for (struct mrun *r = m->run; r < m->run + M_RUNS; r++) {
		if (!r->used || r->lane != lane)
			continue;
		if (r->state == LQ_S_ASKING)
			asking = r;
		message |= r->state == LQ_S_FOLDED ||
			   (r->state == LQ_S_WAITING && !r->ran &&
			    r->mode != MODE_ANNOUNCE && !mode_is_job((unsigned)r->mode));
	}
	if (!asking || asking->denied || !message)
		return;
	asking->denied = true;
	m_expect(m, LQ_DO_DENY, asking, 0);
}
static void m_wait(struct model *m, struct mrun *r)
{
	struct mrun *active;
	if (r->state == LQ_S_ASKING)
		r->denied = r->expiring = false;
	r->state = r->folded ? LQ_S_FOLDED : LQ_S_WAITING;
	r->worker = LQ_NO_WORKER;
	r->fused = r->orphan = r->yielding = false;
	m_denies(m, r->lane);
	active = m_active_of(m, r->lane);
	if (!r->folded && !r->ran &&
	    (r->mode == MODE_STEER || r->mode == MODE_ANNOUNCE) && active &&
	    active->state == LQ_S_RUNNING)
		m_expect(m, LQ_DO_STEER, active, 0);
}
static void m_end(struct model *m, struct mrun *r)
{
	r->used = false;
	m->ended++;
}
static void m_over(struct model *m, struct mrun *r)
{
	if (r->state == LQ_S_ENQUEUEING || r->state == LQ_S_CLAIMING)
		r->gone = true;
	else
		m_end(m, r);
}
static void m_start(struct model *m, struct mrun *r)
{
	r->state = LQ_S_RUNNING;
	r->ran = true;
	r->fused = r->folded = r->crashed = r->gone = r->yielding = false;
	m_expect(m, LQ_DO_START, r, 0);
	if (r->cancel)
		m_expect(m, LQ_DO_CANCEL, r, r->cancel);
}
/* durable: its row says so. */
static void m_cancel(struct model *m, struct mrun *r, int reason, bool durable)
{
	r->cancel = reason;
	r->unclaimed = false;
	if (r->state == LQ_S_RUNNING)
		m_expect(m, LQ_DO_CANCEL, r, reason);
	else if (r->state == LQ_S_RETRY || (r->state == LQ_S_ASKING && durable))
		m_wait(m, r);
}
static bool m_adrift(const struct model *m, const struct mrun *r)
{
	return r->orphan || m_target(m, r) != r->worker;
}
static void m_collect(struct model *m, const struct mrun *came)
{
	const struct mrun *newest = came;
	for (int pass = 0; pass < 2; pass++)
		for (struct mrun *r = m->run; r < m->run + M_RUNS; r++) {
			if (!r->used || r->lane != came->lane ||
			    r->mode != MODE_COLLECT || r->state != LQ_S_DELAYED)
				continue;
			if (pass == 0 && r->pos > newest->pos)
				newest = r;
			else if (pass == 1)
				r->due = newest->due;
		}
}
static void m_committed(struct model *m, struct mrun *r, int64_t pos, bool started)
{
	int lane = r->lane;
	struct mrun *cut = NULL;
	r->pos = pos;
	m->accepted++;
	if (r->gone) {
		m_end(m, r);
		return;
	}
	started = started && r->fused;
	if (started && !m_adrift(m, r)) {
		m_start(m, r);
		return;
	}
	r->fused = false;
	r->ran = r->ran || started;
	for (struct mrun *o = m->run;
	     o < m->run + M_RUNS && (r->mode == MODE_INTERRUPT || r->mode == MODE_DELETE);
	     o++)
		if (o->used && o != r && o->lane == lane && !started &&
		    (m_active(o) || m_stopped(o) ||
		     (o->state == LQ_S_WAITING && o->ran)) &&
		    (!cut || m_active(o) ||
		     (!m_active(cut) && o->state == LQ_S_WAITING &&
		      (m_stopped(cut) || o->pos < cut->pos))))
			cut = o;
	if (cut)
		m_cancel(m, cut,
			 r->mode == MODE_DELETE ? CANCEL_ASKED : CANCEL_INTERRUPTED,
			 r->mode == MODE_DELETE);
	if (r->due > m->now && !started)
		r->state = LQ_S_DELAYED;
	else
		m_wait(m, r);
	if (r->state == LQ_S_DELAYED && r->mode == MODE_COLLECT)
		m_collect(m, r);
}
static void m_retry(struct model *m, struct mrun *r, int64_t at)
{
	r->due = at;
	r->worker = LQ_NO_WORKER;
	r->yielding = false;
	r->state = LQ_S_RETRY;
	if (r->cancel)
		m_wait(m, r);
}
/* Its claim found it put off: the worker that died meanwhile did not die of it. */
static void m_not_due(struct model *m, struct mrun *r, int64_t at)
{
	r->crashes -= r->crashed;
	r->crashed = r->orphan = false;
	m_retry(m, r, at);
}
/* It waits for a person; of one whose claim found that out the last worker did not die.
 */
static void m_ask(struct model *m, struct mrun *r, int64_t until)
{
	r->crashes -= r->crashed;
	r->crashed = r->unclaimed = r->yielding = false;
	r->worker = LQ_NO_WORKER;
	r->due = until;
	r->state = LQ_S_ASKING;
	if (r->cancel == CANCEL_ASKED)
		m_wait(m, r);
	else
		m_denies(m, r->lane);
}
/* Its claim came to nothing: what never ran has nothing that could be cut short. */
static void m_unclaimed(struct model *m, struct mrun *r)
{
	r->cancel = r->ran ? r->cancel : 0;
	r->unclaimed = true;
	m_wait(m, r);
}
static int64_t m_whole_ms(const struct mrun *r, int64_t at)
{
	return r->order + (at - r->order + 999) / 1000 * 1000;
}
static void m_tick(struct model *m)
{
	for (struct mrun *r = m->run; r < m->run + M_RUNS; r++)
		if (r->used && (r->state == LQ_S_DELAYED || r->state == LQ_S_RETRY) &&
		    r->due <= m->now)
			m_wait(m, r);
	for (struct mrun *r = m->run; r < m->run + M_RUNS; r++)
		if (r->used && r->state == LQ_S_ASKING && !r->expiring &&
		    r->due <= m->now) {
			r->expiring = true;
			m_expect(m, LQ_DO_EXPIRE, r, 0);
		}
	for (struct mrun *r = m->run; r < m->run + M_RUNS; r++) {
		if (!r->used || r->ran || r->expiring || !r->deadline ||
		    r->deadline > m->now ||
		    (r->state != LQ_S_WAITING && r->state != LQ_S_DELAYED &&
		     r->state != LQ_S_FOLDED))
			continue;
		r->expiring = !r->doomed;
		if (r->doomed)
			r->deadline = m_whole_ms(r, m->now + M_AGAIN_US);
		else
			m_expect(m, LQ_DO_EXPIRE, r, 0);
	}
}
static void m_down(struct model *m, int w, bool uncharged)
{
	m->up[w] = false;
	if (w == LQ_QUARANTINE)
		m->asked = false;
	for (struct mrun *r = m->run; r < m->run + M_RUNS; r++) {
		if (!m_active(r) || r->worker != w)
			continue;
		if (r->state != LQ_S_RUNNING) {
			r->orphan = true;
			continue;
		}
		r->crashed = !uncharged;
		r->crashes += !uncharged;
		m_wait(m, r);
	}
}
static void m_slots(struct model *m, const int16_t *slots)
{
	memcpy(m->slots, slots, sizeof m->slots);
	for (struct mrun *r = m->run; r < m->run + M_RUNS; r++)
		if (r->used && r->state == LQ_S_RUNNING && r->worker != LQ_QUARANTINE &&
		    m_target(m, r) != r->worker && !r->yielding) {
			r->yielding = true;
			m_expect(m, LQ_DO_YIELD, r, 0);
		}
}

#endif
