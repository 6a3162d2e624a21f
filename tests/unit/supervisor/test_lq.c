/* SPDX-License-Identifier: Apache-2.0
 * The lane queue against a slow model, by a few hundred thousand random events, and by
 * small examples of its promises. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <malloc.h>
#include <cmocka.h>

#include "common/crypto.h"
#include "supervisor/lq.h"
#include "supervisor/placement.h"
#include "tests/unit/common/rand.h"

#define EVENTS 300000
#define LANES 240
#define TENANTS 8
#define WORKERS 5
#define RUNS 512 /* at once: above node_waiting + node_running */

static const struct lq_limits limits = {
	.node_running = 14, .node_waiting = 300, .lane_waiting = 7, .worker_running = 4};

struct mrun {
	bool used, fused, orphan, crashed, ended;
	enum lq_state state;
	int lane, worker;
	int64_t lane_pos, due_us;
	struct lq_run *r;
	struct uuid id;
};
struct mlane {
	int tenant, active;
	uint32_t slot, runs;
	int64_t last_pos;
	struct uuid session;
};
struct mtenant {
	uint32_t cap, most, running, runs;
};

static struct {
	struct lq *q;
	struct mrun run[RUNS];
	struct mlane lane[LANES];
	struct mtenant tenant[TENANTS];
	bool up[WORKERS], paused;
	uint32_t held[WORKERS], running, runs;
	int16_t slots[LIMIT_SLOTS];
	int64_t now_us, order_us;
	/* the event under way */
	enum lq_event_kind kind;
	struct lq_item *item;
	int item_lane, answers;
	struct lq_run *may_start;
	uint64_t accepted, refused_by_db, ended, claims, fused, refusals[ERR__COUNT];
} m;

static struct mrun *model_of(const struct lq_run *r)
{
	struct uuid id = lq_run_id(r);
	uint32_t i;
	memcpy(&i, id.b + 12, sizeof i);
	assert_true(i < RUNS && m.run[i].used && uuid_eq(m.run[i].id, id));
	return &m.run[i];
}

static struct mrun *head_of(int lane)
{
	struct mrun *head = NULL;
	for (int i = 0; i < RUNS; i++) {
		struct mrun *r = &m.run[i];
		if (r->used && r->lane == lane && r->state == LQ_WAITING &&
		    (!head || r->lane_pos < head->lane_pos))
			head = r;
	}
	return head;
}

static bool has_credit(int w)
{
	return w >= 0 && m.up[w] && m.held[w] < limits.worker_running;
}

static void hold(struct mrun *r, int w)
{
	struct mlane *l = &m.lane[r->lane];
	assert_int_equal(l->active, -1);
	assert_int_equal(w, m.slots[l->slot]);
	assert_true(has_credit(w));
	assert_true(m.running < limits.node_running);
	assert_true(m.tenant[l->tenant].running < m.tenant[l->tenant].cap);
	assert_false(m.paused);
	l->active = (int)(r - m.run);
	r->worker = w;
	m.held[w]++;
	m.running++;
	m.tenant[l->tenant].running++;
}

static void let_go(struct mrun *r)
{
	struct mlane *l = &m.lane[r->lane];
	assert_int_equal(l->active, (int)(r - m.run));
	l->active = -1;
	m.held[r->worker]--;
	m.running--;
	m.tenant[l->tenant].running--;
	r->worker = LQ_NO_WORKER;
	r->fused = false;
}

static enum err expected_refusal(void)
{
	const struct mlane *l = &m.lane[m.item_lane];
	const struct mtenant *t = &m.tenant[l->tenant];
	if (l->runs - (l->active >= 0) >= limits.lane_waiting)
		return ERR_LANE_FULL;
	if (t->runs && t->runs - t->running >= m.item->tenant_max_queued)
		return ERR_TENANT_FULL;
	return m.runs - m.running >= limits.node_waiting ? ERR_NODE_FULL : ERR_OK;
}

static struct mrun *model_add(enum lq_state state)
{
	uint32_t i;
	memcpy(&i, m.item->run.b + 12, sizeof i);
	struct mrun *r = &m.run[i];
	struct mlane *l = &m.lane[m.item_lane];
	assert_false(r->used);
	*r = (struct mrun){.used = true,
			   .id = m.item->run,
			   .lane = m.item_lane,
			   .state = state,
			   .worker = LQ_NO_WORKER};
	r->due_us = m.item->run_at_us > m.now_us ? m.item->run_at_us : 0;
	r->lane_pos = ++l->last_pos;
	l->runs++;
	m.runs++;
	m.tenant[l->tenant].runs++;
	m.tenant[l->tenant].cap = m.item->tenant_max_running;
	return r;
}

static void model_drop(struct mrun *r)
{
	struct mlane *l = &m.lane[r->lane];
	if (l->active == (int)(r - m.run))
		let_go(r);
	l->runs--;
	m.runs--;
	m.tenant[l->tenant].runs--;
	r->used = false;
}

static void act(void *ctx, const struct lq_action *a)
{
	struct mrun *r;
	assert_ptr_equal(ctx, &m);
	switch (a->kind) {
	case LQ_DO_REFUSE:
		assert_int_equal(m.kind, LQ_ENQUEUE);
		assert_int_equal(a->error, expected_refusal());
		assert_true(a->error != ERR_OK);
		assert_ptr_equal(a->arg, m.item);
		m.answers++;
		m.refusals[a->error]++;
		break;
	case LQ_DO_ENQUEUE:
		assert_int_equal(m.kind, LQ_ENQUEUE);
		assert_int_equal(expected_refusal(), ERR_OK);
		assert_ptr_equal(a->arg, m.item);
		m.answers++;
		m.accepted++;
		r = model_add(LQ_ENQUEUEING);
		r->r = a->run;
		lq_run_set_user(a->run, r);
		if (a->worker == LQ_NO_WORKER)
			break;
		assert_int_equal(m.lane[r->lane].runs, 1);
		assert_true(m.item->run_at_us <= m.now_us);
		hold(r, a->worker);
		r->fused = true;
		m.fused++;
		break;
	case LQ_DO_CLAIM:
		r = model_of(a->run);
		assert_int_equal(r->state, LQ_WAITING);
		assert_ptr_equal(r, head_of(r->lane));
		assert_int_equal(a->crashed, r->crashed);
		hold(r, a->worker);
		r->state = LQ_CLAIMING;
		r->r = a->run;
		m.claims++;
		break;
	case LQ_DO_START:
		r = model_of(a->run);
		assert_ptr_equal(a->run, m.may_start);
		assert_int_equal(a->worker, r->worker);
		assert_true(m.up[r->worker]);
		m.may_start = NULL;
		m.answers++;
		break;
	}
}

static void step(struct lq_event e)
{
	m.kind = e.kind;
	m.answers = 0;
	lq_step(m.q, &e);
	assert_null(m.may_start);
	if (e.kind == LQ_ENQUEUE)
		assert_int_equal(m.answers, 1);
}

/* ---- what is looked at after events */

/* Nothing that may start is left lying. */
static void check_no_waste(void)
{
	bool has_waiting[LANES] = {false};
	if (m.paused || m.running >= limits.node_running)
		return;
	for (int i = 0; i < RUNS; i++)
		if (m.run[i].used && m.run[i].state == LQ_WAITING)
			has_waiting[m.run[i].lane] = true;
	for (int i = 0; i < LANES; i++) {
		struct mlane *l = &m.lane[i];
		struct mtenant *t = &m.tenant[l->tenant];
		if (has_waiting[i] && l->active < 0 && has_credit(m.slots[l->slot]) &&
		    t->running < t->cap)
			fail_msg("lane %d of tenant %d could start", i, l->tenant);
	}
}

static void check_all(void)
{
	uint32_t waiting = 0, delayed = 0, lanes = 0;
	int64_t due = 0;
	for (int i = 0; i < RUNS; i++) {
		struct mrun *r = &m.run[i];
		if (!r->used)
			continue;
		struct lq_run *found = lq_find(m.q, r->id);
		assert_non_null(found);
		assert_ptr_equal(model_of(found), r);
		assert_int_equal(lq_run_state(found), r->state);
		assert_int_equal(lq_run_worker(found), r->worker);
		assert_int_equal(lq_run_tenant(found), m.lane[r->lane].tenant + 1);
		assert_int_equal(lq_run_slot(found), m.lane[r->lane].slot);
		assert_true(uuid_eq(lq_run_session(found), m.lane[r->lane].session));
		waiting += r->state == LQ_WAITING;
		delayed += r->state == LQ_DELAYED;
		if (r->state == LQ_DELAYED && (!due || r->due_us < due))
			due = r->due_us;
	}
	for (int i = 0; i < LANES; i++)
		lanes += m.lane[i].runs > 0;
	struct lq_stats s = lq_stats(m.q);
	assert_int_equal(s.waiting, waiting);
	assert_int_equal(s.delayed, delayed);
	assert_int_equal(s.running, m.running);
	assert_int_equal(s.lanes, lanes);
	assert_int_equal(s.next_due_us, due);
	for (int w = 0; w < WORKERS; w++)
		assert_int_equal(lq_worker_running(m.q, w), m.held[w]);
}

/* ---- events */

static struct mrun *pick(enum lq_state a, enum lq_state b)
{
	uint32_t start = rand_below(RUNS);
	for (uint32_t i = 0; i < RUNS; i++) {
		struct mrun *r = &m.run[(start + i) % RUNS];
		if (r->used && (r->state == a || r->state == b))
			return r;
	}
	return NULL;
}

static struct lq_item new_item(void)
{
	uint32_t i = 0, lane = rand_chance(30) ? rand_below(8) : rand_below(LANES);
	const struct mlane *l = &m.lane[lane];
	struct lq_item it = {.session = l->session,
			     .tenant = l->tenant + 1,
			     .slot = l->slot,
			     .priority = (int)rand_below(201) - 100,
			     .order_us = ++m.order_us,
			     .tenant_max_running = 1 + rand_below(3),
			     .tenant_max_queued = 10 + rand_below(60),
			     .tenant_weight = rand_below(4)};
	while (m.run[i].used)
		i++;
	rand_bytes(it.run.b, 12);
	memcpy(it.run.b + 12, &i, 4);
	if (rand_chance(80)) /* caps move now and then only */
		it.tenant_max_running = m.tenant[l->tenant].most;
	else
		m.tenant[l->tenant].most = it.tenant_max_running;
	if (rand_chance(10))
		it.run_at_us = m.now_us + 1 + rand_below(2000);
	m.item_lane = (int)lane;
	return it;
}

static void do_enqueue(void)
{
	struct lq_item it = new_item();
	m.item = &it;
	step((struct lq_event){
		.kind = LQ_ENQUEUE, .item = &it, .now_us = m.now_us, .arg = &it});
}

static void do_load(void)
{
	struct lq_item it = new_item();
	bool ran = rand_chance(30);
	if (m.runs >= limits.node_waiting)
		return;
	m.item = &it;
	struct mrun *r = model_add(LQ_WAITING);
	it.lane_pos = r->lane_pos;
	if (ran)
		r->due_us = 0;
	if (r->due_us)
		r->state = LQ_DELAYED;
	m.accepted++;
	step((struct lq_event){
		.kind = LQ_LOADED, .item = &it, .now_us = m.now_us, .ran = ran});
}

/* T0 or T1 of a run comes back. */
static void do_commit(bool kind)
{
	struct mrun *r = pick(LQ_ENQUEUEING, LQ_CLAIMING);
	if (!r)
		return;
	r->r = lq_find(m.q, r->id);
	struct lq_event e = {.run = r->r, .lane_pos = r->lane_pos};
	bool orphan = r->orphan, was_fused = r->fused;
	r->orphan = false;
	if (rand_chance(kind ? 0 : 8)) {
		e.kind = r->state == LQ_CLAIMING ? LQ_UNCLAIMED : LQ_REFUSED;
		e.gone = e.kind == LQ_REFUSED || rand_chance(50);
		if (e.gone) {
			m.refused_by_db++;
			model_drop(r);
		} else {
			let_go(r);
			r->state = LQ_WAITING;
		}
		step(e);
		return;
	}
	e.kind = r->state == LQ_CLAIMING ? LQ_CLAIMED : LQ_COMMITTED;
	e.started = was_fused && rand_chance(90);
	if (e.kind == LQ_CLAIMED)
		r->crashed = false;
	if (!orphan && (e.kind == LQ_CLAIMED || e.started)) {
		r->state = LQ_RUNNING;
		m.may_start = r->r;
	} else {
		if (e.kind == LQ_CLAIMED || was_fused)
			let_go(r);
		r->state = e.kind == LQ_COMMITTED && r->due_us ? LQ_DELAYED : LQ_WAITING;
	}
	step(e);
}

static void do_end(enum lq_state state)
{
	struct mrun *r = pick(state, state);
	if (!r)
		return;
	struct lq_event e = {.kind = LQ_ENDED, .run = lq_find(m.q, r->id)};
	m.ended++;
	model_drop(r);
	step(e);
	assert_null(lq_find(m.q, r->id));
}

static void do_lose(void)
{
	struct mrun *r = pick(LQ_RUNNING, LQ_RUNNING);
	if (!r)
		return;
	let_go(r);
	r->state = LQ_WAITING;
	step((struct lq_event){.kind = LQ_LOST, .run = lq_find(m.q, r->id)});
}

static void do_slots(void)
{
	int ups[WORKERS], n = 0;
	for (int w = 0; w < WORKERS; w++)
		if (m.up[w])
			ups[n++] = w;
	placement_compute(ups, n, m.slots);
	if (rand_chance(20)) /* and worse deals than the real one */
		for (int i = 0; i < 1000; i++)
			m.slots[rand_below(LIMIT_SLOTS)] =
				(int16_t)((int)rand_below(WORKERS + 1) - 1);
	step((struct lq_event){.kind = LQ_SLOTS, .slots = m.slots});
}

static void do_worker(int w)
{
	m.up[w] = !m.up[w];
	for (int i = 0; i < RUNS && !m.up[w]; i++) {
		struct mrun *r = &m.run[i];
		if (!r->used || r->worker != w)
			continue;
		if (r->state == LQ_RUNNING) {
			let_go(r);
			r->state = LQ_WAITING;
			r->crashed = true;
		} else {
			r->orphan = true;
		}
	}
	step((struct lq_event){.kind = m.up[w] ? LQ_WORKER_UP : LQ_WORKER_DOWN,
			       .worker = w});
	if (rand_chance(70))
		do_slots();
}

static void do_tick(int64_t by_us)
{
	m.now_us += by_us;
	for (int i = 0; i < RUNS; i++) {
		struct mrun *r = &m.run[i];
		if (r->used && r->state == LQ_DELAYED && r->due_us <= m.now_us) {
			r->state = LQ_WAITING;
			r->due_us = 0;
		}
	}
	step((struct lq_event){.kind = LQ_TICK, .now_us = m.now_us});
}

static void do_pause(bool pause)
{
	m.paused = pause;
	step((struct lq_event){.kind = pause ? LQ_PAUSE : LQ_RESUME});
}

/* load: how many of a thousand events are new runs; the queue settles at about 250. */
static void do_random(int load)
{
	int n = (int)rand_below(1000);
	if (n < load)
		do_enqueue();
	else if (n < 640)
		do_commit(false);
	else if (n < 900)
		do_end(LQ_RUNNING);
	else if (n < 910)
		do_end(rand_chance(50) ? LQ_WAITING : LQ_DELAYED);
	else if (n < 930)
		do_lose();
	else if (n < 934)
		do_worker((int)rand_below(WORKERS));
	else if (n < 936)
		do_slots();
	else if (n < 975)
		do_tick(rand_below(300));
	else if (n < 980)
		do_load();
	else
		do_pause(rand_chance(30));
}

static void begin(void)
{
	memset(&m, 0, sizeof m);
	m.q = lq_new(&limits, act, &m);
	m.now_us = m.order_us = 1000000000;
	for (int i = 0; i < LANES; i++) {
		m.lane[i] = (struct mlane){.tenant = i % TENANTS,
					   .active = -1,
					   .slot = rand_below(LIMIT_SLOTS)};
		rand_bytes(m.lane[i].session.b, 16);
	}
	for (int i = 0; i < TENANTS; i++)
		m.tenant[i].most = 2;
	memset(m.slots, 0xff, sizeof m.slots);
}

static void drain(void)
{
	for (int w = 0; w < WORKERS; w++)
		if (!m.up[w])
			do_worker(w);
	do_slots();
	for (unsigned i = 0; i < LIMIT_SLOTS; i++)
		m.slots[i] = (int16_t)(i % WORKERS);
	step((struct lq_event){.kind = LQ_SLOTS, .slots = m.slots});
	do_pause(false);
	do_tick(1000000);
	for (int i = 0; i < 100 * RUNS && m.runs; i++) {
		do_tick(1);
		do_commit(true);
		do_end(LQ_RUNNING);
		check_no_waste();
	}
}

static void test_model(void **state)
{
	(void)state;
	static const int loads[] = {50, 250, 410};
	begin();
	for (int i = 0; i < EVENTS; i++) {
		do_random(loads[i / 10000 % 3]);
		check_no_waste();
		if (i % 16 == 0)
			check_all();
	}
	drain();
	check_all();
	assert_int_equal(m.runs, 0);
	assert_int_equal(m.accepted, m.ended + m.refused_by_db);
	printf("accepted %" PRIu64 ", claims %" PRIu64 ", fused starts %" PRIu64 "\n",
	       m.accepted, m.claims, m.fused);
	assert_true(m.claims > 1000 && m.fused > 100);
	assert_true(m.refusals[ERR_LANE_FULL] && m.refusals[ERR_TENANT_FULL] &&
		    m.refusals[ERR_NODE_FULL]);
	lq_free(m.q);
}

int main(void)
{
	crypto_init();
	rand_begin();
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_model)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
