/* SPDX-License-Identifier: Apache-2.0
 * The properties of the lane queue, judged on the reference model: what each action must
 * be, and what must hold after each step. */
#ifndef TB_TEST_LQ_JUDGE_H
#define TB_TEST_LQ_JUDGE_H

#include "tests/unit/supervisor/lq_model.h"

/* ---- what may start */

/* The next of the lane, and through *key the lane's; NULL: none may start. */
static struct mrun *m_head(struct model *m, int lane, int64_t *key)
{
	struct mrun *head = NULL, *folded = NULL;
	bool delayed = false;
	*key = INT64_MAX;
	for (struct mrun *r = m->run; r < m->run + M_RUNS; r++) {
		int64_t own = r->order - r->prio * M_STEP_US;
		if (r->lane != lane || !r->used)
			continue;
		if (m_active(r) || m_stopped(r))
			return NULL;
		delayed |= r->state == LQ_S_DELAYED;
		if (r->state == LQ_S_FOLDED && m_before(r, folded))
			folded = r;
		if (r->state != LQ_S_WAITING)
			continue;
		*key = own < *key ? own : *key;
		head = m_before(r, head) ? r : head;
	}
	if (head || !folded || delayed)
		return head;
	*key = folded->order - folded->prio * M_STEP_US;
	return folded;
}
static bool m_lane_paused(const struct model *m, int lane)
{
	return m->lane_paused[lane] || m->agent_paused[m_agent(lane)] ||
	       m->tenant_paused[m_tenant(lane)] || m->node_paused;
}
/* What ran goes on to its end, unless its last claim came to nothing. */
static bool m_paused(const struct model *m, const struct mrun *r)
{
	return (!r->ran || r->unclaimed) && m_lane_paused(m, r->lane);
}
static bool m_group_open(const struct model *m, const struct mrun *r)
{
	int a = m_agent(r->lane), t = m_tenant(r->lane);
	return !m_paused(m, r) && !m->held &&
	       m_running(m, t, -1, -1) < m->tenant_cap[t] &&
	       (!m->agent_cap[a] || m_running(m, -1, a, -1) < m->agent_cap[a]);
}
static bool m_worker_open(const struct model *m, int w)
{
	return w >= 0 && m->up[w] && m_running(m, -1, -1, -1) < m->node_cap &&
	       m_running(m, -1, -1, w) < (w == LQ_QUARANTINE ? 1 : m->worker_cap);
}
static struct mrun *m_startable(struct model *m, int lane, int64_t *key)
{
	struct mrun *r = m_head(m, lane, key);
	return r && m_worker_open(m, m_target(m, r)) && m_group_open(m, r) ? r : NULL;
}

/* ---- what each action must be */

static const char *m_property(enum lq_action_kind kind)
{
	switch (kind) {
	case LQ_DO_STEER:
		return "steer signalled";
	case LQ_DO_CANCEL:
		return "cancel and interrupt";
	case LQ_DO_YIELD:
		return "only moved slots yield";
	case LQ_DO_EXPIRE:
		return "deadlines";
	case LQ_DO_DENY:
		return "a message answers";
	default:
		return "starts";
	}
}

/* The answer to an ENQUEUE that is to be. */
struct manswer {
	enum err error;
	struct mrun *victim;
	bool fold;
};
static struct manswer m_answer(struct model *m, int l, const struct lq_item *it)
{
	struct manswer a = {ERR_OK, NULL, false};
	uint32_t lane = 0, folded = 0, doomed = 0, tenant = 0, node = 0;
	int t = m_tenant(l);
	for (const struct mrun *r = m->run; r < m->run + M_RUNS; r++) {
		if (!r->used || m_active(r))
			continue;
		node++;
		tenant += m_tenant(r->lane) == t;
		folded += r->lane == l && r->state == LQ_S_FOLDED;
		doomed += r->lane == l && r->doomed;
		lane += r->lane == l && r->state != LQ_S_FOLDED && !m_stopped(r) &&
			!r->doomed;
	}
	if (lane >= it->lane_cap) {
		for (struct mrun *r = m->run; r < m->run + M_RUNS; r++)
			if (r->used && r->lane == l && !r->ran && !r->doomed &&
			    !r->expiring && !mode_is_job((unsigned)r->mode) &&
			    (r->state == LQ_S_WAITING || r->state == LQ_S_DELAYED) &&
			    it->drop != DROP_REJECT &&
			    (!a.victim || r->pos < a.victim->pos))
				a.victim = r;
		if (!a.victim)
			return (struct manswer){.error = ERR_LANE_FULL};
		a.fold = it->drop == DROP_SUMMARIZE && folded + doomed < LQ_FOLDED_MOST;
		tenant -= !a.fold;
		node -= !a.fold;
	}
	if (tenant >= it->tenant_max_queued)
		return (struct manswer){.error = ERR_TENANT_FULL};
	if (node >= m->queue_cap)
		return (struct manswer){.error = ERR_NODE_FULL};
	return a;
}

/* Whether a run of an idle lane must start with its own commit. */
static bool m_fuses(struct model *m, const struct mrun *r)
{
	int64_t key;
	for (const struct mrun *o = m->run; o < m->run + M_RUNS; o++)
		if (o->used && o != r && o->lane == r->lane)
			return false;
	for (int l = 0; l < M_LANES; l++)
		if (m_startable(m, l, &key))
			return false;
	return !r->due && m_worker_open(m, m_target(m, r)) && m_group_open(m, r);
}

static void m_claim(struct model *m, struct mrun *r, int worker, bool crashed)
{
	int a = m_agent(r->lane), t = m_tenant(r->lane);
	int64_t key, other;
	m_must(m, !m_active_of(m, r->lane), "one active per lane");
	m_must(m, !m_count(m, r->lane, LQ_S_RETRY), "retry holds the lane");
	m_must(m, !m_count(m, r->lane, LQ_S_ASKING), "a question holds the lane");
	m_must(m, m_head(m, r->lane, &key) == r, "start order");
	m_must(m, m_running(m, -1, -1, -1) < m->node_cap, "cap of the node");
	m_must(m, m_running(m, t, -1, -1) < m->tenant_cap[t], "cap of the tenant");
	m_must(m, !m->agent_cap[a] || m_running(m, -1, a, -1) < m->agent_cap[a],
	       "cap of the agent");
	m_must(m, !m_paused(m, r) && !m->held, "pauses");
	m_must(m, (worker == LQ_QUARANTINE) == (r->crashes >= LQ_SUSPECT_CRASHES),
	       "quarantine alone");
	m_must(m, worker == m_target(m, r), "placement");
	m_must(m, worker >= 0 && m->up[worker] && m_worker_open(m, worker),
	       "cap of the worker");
	m_must(m, crashed == r->crashed, "crash charged once");
	for (int l = 0; l < M_LANES && !m->broken; l++) {
		struct mrun *o = l != r->lane && m_tenant(l) == t
					 ? m_startable(m, l, &other)
					 : NULL;
		m_must(m, !o || m_target(m, o) != worker || other >= key,
		       "order between lanes");
	}
	r->state = LQ_S_CLAIMING;
	r->worker = worker;
	r->doomed = r->unclaimed = false;
}
static void m_expected(struct model *m, const struct lq_action *a, const struct mrun *r)
{
	for (int i = 0; i < m->expects; i++)
		if (m->expect[i].kind == a->kind && m->expect[i].run == r - m->run &&
		    (a->kind != LQ_DO_CANCEL || m->expect[i].reason == (int)a->reason) &&
		    (a->kind == LQ_DO_EXPIRE || a->worker == r->worker)) {
			m->expect[i] = m->expect[--m->expects];
			return;
		}
	m_must(m, false, m_property(a->kind));
}
/* Lanes where something waits and nothing is in its way: all others may be passed over.
 */
static void m_candidates(const struct model *m, bool out[M_LANES])
{
	bool waits[M_LANES] = {false}, busy[M_LANES] = {false};
	for (const struct mrun *r = m->run; r < m->run + M_RUNS; r++) {
		if (!r->used)
			continue;
		waits[r->lane] |= r->state == LQ_S_WAITING || r->state == LQ_S_FOLDED;
		busy[r->lane] |= m_active(r) || m_stopped(r);
	}
	for (int l = 0; l < M_LANES; l++)
		out[l] = waits[l] && !busy[l];
}
static bool m_needs_quarantine(struct model *m)
{
	bool candidate[M_LANES];
	int64_t key;
	m_candidates(m, candidate);
	for (int l = 0; l < M_LANES && !m->up[LQ_QUARANTINE]; l++) {
		struct mrun *r = candidate[l] ? m_head(m, l, &key) : NULL;
		if (r && r->crashes >= LQ_SUSPECT_CRASHES && m_group_open(m, r))
			return true;
	}
	return false;
}
/* After every step: all that was due was done, and nothing that may start was left. */
static void m_after(struct model *m)
{
	bool candidate[M_LANES];
	int64_t key;
	if (m->expects)
		m_must(m, false, m_property(m->expect[0].kind));
	m_candidates(m, candidate);
	for (int l = 0; l < M_LANES && !m->broken; l++)
		m_must(m, !candidate[l] || !m_startable(m, l, &key), "work conserving");
	m_must(m, m->asked || !m_needs_quarantine(m), "quarantine asked for");
}

#endif
