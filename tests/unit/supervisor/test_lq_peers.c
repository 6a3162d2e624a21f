/* SPDX-License-Identifier: Apache-2.0
 * What other queues got wrong, or test with care, as stories of the lane queue; where
 * each comes from stands in docs/queue-peers.md. */
#include <stdlib.h>

#include "common/clock.h"
#include "tests/unit/common/rand.h"
#include "tests/unit/supervisor/lq_story.h"

/* Its last commit lands; a claim of it under way lands first. */
static void end(struct lq_run *r)
{
	if (lq_run_state(r) == LQ_S_CLAIMING)
		claimed(r);
	tell(LQ_ENDED, r);
}

static void pause_it(enum lq_event_kind kind, enum lq_scope scope, int64_t tenant,
		     struct uuid id)
{
	step((struct lq_event){.kind = kind, .scope = scope, .tenant = tenant, .id = id});
}

static struct uuid agent_of(uint32_t n)
{
	struct uuid id = {{9}};
	memcpy(id.b + 4, &n, 4);
	return id;
}

static bool is_active(const struct lq_run *r)
{
	return lq_run_state(r) == LQ_S_CLAIMING || lq_run_state(r) == LQ_S_RUNNING;
}

/* ---- two lanes with a hundred thousand stuck runs */

#define STUCK 50000 /* in each of the two */
#define ROUNDS 9
#define ROUND_RUNS 2000

static struct lq_run *stuck[2][STUCK];

/* The least of some rounds, so that a neighbour on the machine does not count. */
static int64_t cost_of_others(void)
{
	int64_t least = INT64_MAX;
	for (int round = 0; round < ROUNDS; round++) {
		int64_t begun = clock_mono_us();
		for (uint32_t i = 0; i < ROUND_RUNS; i++) {
			struct lq_item first = item(1, 1000 + i),
				       behind = item(1, 1000 + i);
			first.slot = behind.slot = i;
			struct lq_run *r = accept_run(first), *b = accept_run(behind);
			assert_true(is_active(r));
			end(r);
			assert_did(LQ_DO_CLAIM, b);
			end(b);
		}
		int64_t took = clock_mono_us() - begun;
		least = took < least ? took : least;
	}
	return least;
}

/* One lane's run hangs, the other's waits for a retry that is far away. */
static void fill_stuck_lanes(struct lq_run *active[2])
{
	for (uint32_t l = 0; l < 2; l++) {
		active[l] = accept_run(item(1, l));
		for (uint32_t i = 0; i < STUCK; i++) {
			struct lq_item it = item(1, l);
			it.lane_cap = 2 * STUCK;
			stuck[l][i] = accept_run(it);
		}
	}
	step((struct lq_event){.kind = LQ_RETRY,
			       .run = active[1],
			       .at_us = order_us + 1000000 * SECOND});
	assert_quiet();
}

static void test_two_stuck_lanes_slow_nobody(void **state)
{
	(void)state;
	struct lq_run *active[2];
	begin(100000, 100000);
	int64_t alone = cost_of_others();
	fill_stuck_lanes(active);
	assert_int_equal(lq_stats(q).waiting, 2 * STUCK);
	int64_t beside = cost_of_others();
	printf("%d runs: %" PRId64 " us alone, %" PRId64 " us beside %d stuck ones\n",
	       2 * ROUND_RUNS, alone, beside, 2 * STUCK);
	assert_true(beside < 5 * alone);
	end(active[0]);
	assert_did(LQ_DO_CLAIM, stuck[0][0]); /* and the lane goes on where it was */
	for (int i = 0; i + 1 < STUCK; i++) {
		end(stuck[0][i]);
		assert_did(LQ_DO_CLAIM, stuck[0][i + 1]);
	}
	tick(order_us + 2000000 * SECOND);
	assert_did(LQ_DO_CLAIM, active[1]);
	lq_free(q);
}

/* Thousands of lanes share agent and tenant with one that hangs. */
static void test_hanging_run_blocks_its_own_lane_only(void **state)
{
	(void)state;
	begin(100, 10);
	struct lq_run *hangs = accept_run(item(1, 0)), *behind = accept_run(item(1, 0));
	for (uint32_t i = 1; i < 3000; i++) {
		struct lq_run *r = accept_run(item(1, i));
		assert_state(r, LQ_S_RUNNING);
		end(r);
	}
	assert_state(hangs, LQ_S_RUNNING);
	assert_state(behind, LQ_S_WAITING);
	assert_ptr_equal(lq_why(q, behind).other, hangs);
	lq_free(q);
}

/* ---- groups at their limit in front of all others */

enum group { TENANT_AT_CAP, AGENT_AT_CAP, WORKER_FULL, GROUPS };

/* The oldest runs of the node, of the highest priority, none of which may start. */
static struct lq_item at_front(enum group g, uint32_t lane)
{
	struct lq_item it = item(1, lane);
	it.priority = 100;
	it.agent = agent_of(1);
	if (g == TENANT_AT_CAP)
		it.tenant_max_running = 2;
	else if (g == AGENT_AT_CAP)
		it.agent_max_running = 2;
	return it;
}

static void test_saturated_front_starves_nobody(void **state)
{
	(void)state;
	for (int g = 0; g < GROUPS; g++) {
		begin(100, 2);
		struct lq_run *front[500];
		for (uint32_t i = 0; i < 500; i++)
			front[i] = accept_run(at_front((enum group)g, i));
		assert_int_equal(lq_stats(q).running, 2);
		for (uint32_t i = 0; i < 2000; i++) {
			bool same = g == AGENT_AT_CAP && i % 2;
			struct lq_item it = item(same ? 1 : 2, 10000 + i);
			it.slot = 1;
			it.priority = -100;
			it.agent = agent_of(2);
			struct lq_run *r = accept_run(it);
			assert_state(r, LQ_S_RUNNING);
			end(r);
			assert_quiet();
		}
		for (int i = 0; i < 498; i++) {
			end(front[i]);
			assert_did(LQ_DO_CLAIM, front[i + 2]);
		}
		lq_free(q);
	}
}

#define RAMP 5
#define WINDOW 60

static void add_crowd(int64_t tenant)
{
	for (uint32_t i = 0; i < 200; i++)
		accept_run(item(tenant, i));
}

/* Tenants arrive one after the other: each has its share at once, and none pays for what
 * it had while it was alone. */
static void test_shares_while_load_ramps_up(void **state)
{
	(void)state;
	begin(1, 1);
	struct lq_run *running = accept_run(item(RAMP + 1, 1));
	for (int here = 1; here <= RAMP; here++) {
		int starts[RAMP + 2] = {0};
		add_crowd(here);
		for (int i = 0; i < WINDOW; i++) {
			end(running);
			assert_int_equal(done_n, 1);
			running = done[0].run;
			starts[lq_run_tenant(running)]++;
		}
		for (int t = 1; t <= here; t++)
			assert_in_range(starts[t], WINDOW / here - 1, WINDOW / here + 1);
	}
	lq_free(q);
}

/* ---- handed back, loaded again, due again */

/* Whoever takes more than it can do and gives it back makes no run a suspect. */
static void test_handed_back_is_not_charged(void **state)
{
	(void)state;
	static const enum lq_event_kind back[] = {LQ_UNCLAIMED, LQ_LOST, LQ_YIELDED};
	begin(10, 10);
	struct lq_run *r = load_run(item(1, 1)), *behind = accept_run(item(1, 1));
	for (int i = 0; i < 300; i++) {
		if (back[i % 3] != LQ_UNCLAIMED)
			claimed(r);
		tell(back[i % 3], r);
		assert_did(LQ_DO_CLAIM, r); /* before what is behind it */
		assert_false(done[0].crashed);
		assert_int_equal(done[0].worker, 0);
	}
	assert_int_equal(lq_run_crashes(r), 0);
	assert_int_equal(lq_run_position(behind), 1);
	lq_free(q);
}

/* What was running when a node ended starts again within the caps, oldest first. */
static void test_recovery_keeps_the_caps(void **state)
{
	(void)state;
	begin(100, 100);
	step((struct lq_event){.kind = LQ_HOLD});
	struct lq_run *r[200];
	for (uint32_t i = 0; i < 200; i++) {
		struct lq_item it = item(1 + i % 2, i);
		it.ran = true;
		it.agent = agent_of(i % 4); /* tenant 1 has 0 and 2, tenant 2 has 1, 3 */
		it.tenant_max_running = 5;
		it.agent_max_running = i % 4 == 3 ? 1 : 100;
		r[i] = load_run(it);
	}
	assert_quiet();
	step((struct lq_event){.kind = LQ_RELEASE});
	assert_int_equal(done_n, 10);
	int of[4] = {0};
	for (int i = 0; i < done_n; i++) {
		assert_int_equal(done[i].kind, LQ_DO_CLAIM);
		assert_false(done[i].crashed);
		of[lq_run_agent(done[i].run).b[4]]++;
	}
	assert_int_equal(of[0] + of[2], 5);
	assert_int_equal(of[1], 4);
	assert_int_equal(of[3], 1);
	for (int i = 0; i < 10; i += 2)
		assert_state(r[i], LQ_S_CLAIMING);
	lq_free(q);
}

static void test_no_delay_is_no_wait(void **state)
{
	(void)state;
	begin(10, 10);
	struct lq_item it = item(1, 1);
	it.run_at_us = it.order_us;
	struct lq_run *now = accept_run(it);
	assert_true(is_active(now)); /* it waits for no tick */
	assert_int_equal(lq_stats(q).next_due_us, 0);
	if (lq_run_state(now) == LQ_S_CLAIMING)
		claimed(now);
	step((struct lq_event){.kind = LQ_RETRY, .run = now, .at_us = order_us});
	if (!done_n) {
		assert_true(lq_stats(q).next_due_us <= order_us);
		tick(order_us);
	}
	assert_did(LQ_DO_CLAIM, now);
	assert_false(done[0].crashed);
	lq_free(q);
}

/* The places of runs that hang are free as soon as their worker is gone. */
static void test_dead_workers_places_are_free(void **state)
{
	(void)state;
	begin(8, 4);
	struct lq_run *hangs[4], *waits[4];
	for (uint32_t i = 0; i < 4; i++)
		hangs[i] = accept_run(item(1, i));
	for (uint32_t i = 0; i < 4; i++)
		waits[i] = accept_run(item(1, 10 + i));
	assert_int_equal(lq_worker_running(q, 0), 4);
	worker(LQ_WORKER_DOWN, 0);
	assert_int_equal(lq_worker_running(q, 0), 0);
	assert_int_equal(lq_stats(q).running, 0);
	for (unsigned s = 0; s < LIMIT_SLOTS; s++)
		slots[s] = 1;
	step((struct lq_event){.kind = LQ_SLOTS, .slots = slots});
	assert_int_equal(done_n, 4);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(done[i].worker, 1);
		assert_ptr_equal(done[i].run, hangs[i]); /* the older ones */
		assert_true(done[i].crashed);
	}
	for (int i = 0; i < 4; i++) {
		end(hangs[i]);
		assert_did(LQ_DO_CLAIM, waits[i]);
		assert_false(done[0].crashed);
	}
	lq_free(q);
}

/* ---- pauses */

static void test_deadline_passes_during_a_pause(void **state)
{
	(void)state;
	for (int s = LQ_NODE; s <= LQ_LANE + 1; s++) { /* the last one: a hold */
		begin(10, 10);
		struct lq_item it = item(1, 1);
		struct uuid id = s == LQ_LANE ? it.session : it.agent;
		it.deadline_us = it.order_us + 10 * SECOND;
		if (s > LQ_LANE)
			step((struct lq_event){.kind = LQ_HOLD});
		else
			pause_it(LQ_PAUSE, (enum lq_scope)s, 1, id);
		struct lq_run *r = accept_run(it), *behind = accept_run(item(1, 1));
		tick(it.deadline_us - 1);
		assert_quiet();
		tick(it.deadline_us);
		assert_did(LQ_DO_EXPIRE, r);
		tell(LQ_GONE, r);
		assert_quiet();
		if (s > LQ_LANE)
			step((struct lq_event){.kind = LQ_RELEASE});
		else
			pause_it(LQ_RESUME, (enum lq_scope)s, 1, id);
		assert_did(LQ_DO_CLAIM, behind);
		lq_free(q);
	}
}

enum { S_TENANTS = 3, S_LANES = 4, S_AGENTS = 2, S_RUNS = 600 };

/* What a pause of that name covers: lane l of tenant t has agent l % S_AGENTS. */
struct stress {
	bool node, held, tenant[S_TENANTS], agent[S_TENANTS][S_AGENTS];
	bool lane[S_TENANTS][S_LANES];
	struct lq_run *active[S_TENANTS][S_LANES];
	int next[S_TENANTS][S_LANES]; /* of the lane's own count, to start */
	int accepted[S_TENANTS][S_LANES], ended;
	struct lq_run *runs[S_TENANTS][S_LANES][S_RUNS];
};

static struct lq_item stress_item(int t, int l)
{
	struct lq_item it = item(t + 1, (uint32_t)l);
	it.agent = agent_of((uint32_t)(l % S_AGENTS));
	it.slot = (uint32_t)l;
	it.lane_cap = S_RUNS;
	return it;
}

/* Each start: of a lane that is free and not paused in any way, its oldest run. */
static void stress_judge(struct stress *s)
{
	for (int i = 0; i < done_n; i++) {
		const struct lq_run *r = done[i].run;
		if (done[i].kind == LQ_DO_START)
			continue;
		uint32_t l;
		struct uuid session = lq_run_session(r);
		memcpy(&l, session.b, 4);
		int t = (int)lq_run_tenant(r) - 1;
		if (done[i].kind == LQ_DO_ENQUEUE && done[i].worker == LQ_NO_WORKER)
			continue;
		assert_false(s->node || s->held || s->tenant[t] || s->lane[t][l] ||
			     s->agent[t][l % S_AGENTS]);
		assert_null(s->active[t][l]);
		s->active[t][l] = done[i].run;
		if (done[i].kind == LQ_DO_CLAIM)
			assert_ptr_equal(r, s->runs[t][l][s->next[t][l]]);
		s->next[t][l]++;
	}
}

static void stress_accept(struct stress *s, int t, int l)
{
	struct lq_action a = enqueue(stress_item(t, l));
	assert_int_equal(a.kind, LQ_DO_ENQUEUE);
	s->runs[t][l][s->accepted[t][l]++] = a.run;
	stress_judge(s);
	committed(&a);
	stress_judge(s);
}

static void stress_end(struct stress *s, int t, int l)
{
	struct lq_run *r = s->active[t][l];
	if (!r)
		return;
	if (lq_run_state(r) == LQ_S_CLAIMING) {
		claimed(r);
		return;
	}
	s->active[t][l] = NULL;
	s->ended++;
	tell(LQ_ENDED, r);
	stress_judge(s);
}

static void stress_set(struct stress *s, enum lq_event_kind kind, int scope, int t, int l)
{
	bool on = kind == LQ_PAUSE;
	struct lq_item it = stress_item(t, l);
	if (scope > LQ_LANE)
		s->held = on;
	else if (scope == LQ_NODE)
		s->node = on;
	else if (scope == LQ_TENANT)
		s->tenant[t] = on;
	else if (scope == LQ_AGENT)
		s->agent[t][l % S_AGENTS] = on;
	else
		s->lane[t][l] = on;
	if (scope > LQ_LANE)
		step((struct lq_event){.kind = on ? LQ_HOLD : LQ_RELEASE});
	else
		pause_it(kind, (enum lq_scope)scope, t + 1,
			 scope == LQ_LANE ? it.session : it.agent);
	stress_judge(s);
}

static void stress_resume_all(struct stress *s)
{
	for (int scope = LQ_NODE; scope <= LQ_LANE + 1; scope++)
		for (int t = 0; t < S_TENANTS; t++)
			for (int l = 0; l < S_LANES; l++)
				stress_set(s, LQ_RESUME, scope, t, l);
}

/* Pauses of everything in random order, the same one twice, resumes of what is not
 * paused: nothing starts under a pause, and when all are gone everything has run. */
static void test_stress_of_pauses(void **state)
{
	(void)state;
	struct stress *s = calloc(1, sizeof *s);
	int accepted = 0;
	rand_begin();
	begin(6, 4);
	for (int i = 0; i < 20000; i++) {
		int t = (int)rand_below(S_TENANTS), l = (int)rand_below(S_LANES);
		uint32_t what = rand_below(10);
		if (what == 0 && s->accepted[t][l] < S_RUNS) {
			stress_accept(s, t, l);
			accepted++;
		} else if (what < 5) {
			stress_end(s, t, l);
		} else {
			stress_set(s, what < 7 ? LQ_PAUSE : LQ_RESUME,
				   (int)rand_below(LQ_LANE + 2), t, l);
		}
	}
	stress_resume_all(s);
	for (int i = 0; i < 2 * S_RUNS; i++)
		for (int t = 0; t < S_TENANTS; t++)
			for (int l = 0; l < S_LANES; l++)
				stress_end(s, t, l);
	assert_true(accepted > 500);
	assert_int_equal(s->ended, accepted);
	assert_int_equal(lq_stats(q).runs, 0);
	lq_free(q);
	free(s);
}

int main(void)
{
	crypto_init();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_two_stuck_lanes_slow_nobody),
		cmocka_unit_test(test_hanging_run_blocks_its_own_lane_only),
		cmocka_unit_test(test_saturated_front_starves_nobody),
		cmocka_unit_test(test_shares_while_load_ramps_up),
		cmocka_unit_test(test_handed_back_is_not_charged),
		cmocka_unit_test(test_recovery_keeps_the_caps),
		cmocka_unit_test(test_no_delay_is_no_wait),
		cmocka_unit_test(test_dead_workers_places_are_free),
		cmocka_unit_test(test_deadline_passes_during_a_pause),
		cmocka_unit_test(test_stress_of_pauses),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
