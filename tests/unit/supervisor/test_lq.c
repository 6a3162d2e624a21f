/* SPDX-License-Identifier: Apache-2.0
 * The lane queue in numbers: memory, fairness between tenants, ageing, how little moves
 * when the number of workers changes, and that a crowd makes no event slow. */
#include <malloc.h>

#include "common/clock.h"
#include "supervisor/heap.h"
#include "supervisor/lq_state.h"
#include "supervisor/placement.h"
#include "tests/unit/common/rand.h"
#include "tests/unit/supervisor/lq_story.h"

#define CROWD 100000

static struct lq_run *crowd[CROWD];

/* ---- hashing */

/* Ids that differ in two bytes only, wherever these are: as many buckets are hit as by
 * chance, which is 1 - 1/e of them. */
static void test_consecutive_ids_spread(void **state)
{
	(void)state;
	static bool hit[1 << 16];
	for (int at = 0; at < 15; at++) {
		int hits = 0;
		memset(hit, 0, sizeof hit);
		for (int i = 0; i < 1 << 16; i++) {
			struct uuid id = {{0x01, 0x9a, 0x2b, 0, 0, 0, 0x70, 1, 0x80}};
			id.b[at] = (uint8_t)(i >> 8);
			id.b[at + 1] = (uint8_t)i;
			bool *b = &hit[lq_hash(&id, 0) & 0xffff];
			hits += !*b;
			*b = true;
		}
		assert_in_range(hits, 0.6 * 65536, 0.66 * 65536);
	}
}

/* ---- memory */

#ifdef TB_SANITIZED
size_t __sanitizer_get_current_allocated_bytes(void);
#endif

/* With the allocator's own overhead, but under ASan, which counts what was asked for. */
static size_t allocated(void)
{
#ifdef TB_SANITIZED
	return __sanitizer_get_current_allocated_bytes();
#else
	malloc_trim(0);
	struct mallinfo2 m = mallinfo2();
	return m.uordblks + m.hblkhd;
#endif
}

static void fill(bool deadlines)
{
	for (uint32_t i = 0; i < CROWD; i++) {
		struct lq_item it = item(1, i);
		it.slot = i;
		it.deadline_us = deadlines ? it.order_us + 60 * SECOND : 0;
		crowd[i] = accept_run(it);
	}
}

static void measure(bool deadlines)
{
	begin(1, 1);
	struct lq_run *holds = accept_run(item(2, 1)); /* the node's only credit */
	size_t before = allocated();
	fill(deadlines);
	size_t each = (allocated() - before) / CROWD;
	size_t said = lq_stats(q).bytes / CROWD;
	printf("%zu B a queued run%s, lq_stats says %zu\n", each,
	       deadlines ? " with a deadline" : "", said);
	assert_in_range(each, 100, 256);
	assert_in_range(said, each * 8 / 10, each * 14 / 10);
	for (uint32_t i = 0; i < CROWD; i++)
		tell(LQ_GONE, crowd[i]);
	struct lq_stats s = lq_stats(q);
	assert_int_equal(s.runs, 1);
	assert_int_equal(s.lanes, 1);
	assert_int_equal(s.tenants, 1);
	assert_int_equal(s.waiting, 0);
	assert_int_equal(s.next_due_us, 0);
	/* The tables of ids and the heaps shrink as well, tenant 1 is forgotten; malloc
	 * keeps a few chunks at hand. */
	size_t after = allocated();
	printf("%zu B before, %zu B after\n", before, after);
	assert_true(after <= before + 16384);
	tell(LQ_ENDED, holds);
	assert_int_equal(lq_stats(q).runs, 0);
	lq_free(q);
}

static void test_memory_of_a_queued_run(void **state)
{
	(void)state;
	measure(false);
	measure(true);
}

/* ---- fairness */

#define TENANTS 4

/* Every tenant keeps `lanes` lanes waiting; runs end in order of start. Counts starts. */
static void dispatch(uint32_t node, uint32_t per_worker, int dispatches,
		     const uint32_t weight[TENANTS], int started[TENANTS])
{
	static struct lq_run *running[64];
	static const uint32_t lanes = 40;
	int n = 0, at = 0;
	uint32_t lane = 0;
	begin(node, per_worker);
	step((struct lq_event){.kind = LQ_HOLD});
	for (int t = 0; t < TENANTS; t++)
		for (uint32_t i = 0; i < lanes; i++) {
			struct lq_item it = item(t + 1, ++lane);
			it.slot = lane;
			it.tenant_weight = weight[t];
			accept_run(it);
		}
	memset(started, 0, TENANTS * sizeof *started);
	step((struct lq_event){.kind = LQ_RELEASE});
	for (int i = 0; i < dispatches;) {
		for (int k = 0; k < done_n; k++, i++) {
			assert_int_equal(done[k].kind, LQ_DO_CLAIM);
			running[n++ % 64] = done[k].run;
			started[lq_run_tenant(done[k].run) - 1]++;
		}
		struct lq_run *r = running[at++ % 64];
		claimed(r);
		int64_t t = lq_run_tenant(r);
		struct lq_item it = item(t, ++lane);
		it.slot = lq_run_slot(r);
		it.tenant_weight = weight[t - 1];
		accept_run(it);
		assert_quiet();
		tell(LQ_ENDED, r);
		assert_true(done_n > 0);
	}
	lq_free(q);
}

static void assert_weighted(uint32_t node, uint32_t per_worker)
{
	static const uint32_t weight[TENANTS] = {1, 2, 3, 10};
	int started[TENANTS];
	dispatch(node, per_worker, 10000, weight, started);
	for (int t = 0; t < TENANTS; t++) {
		int fair = 10000 * (int)weight[t] / 16;
		assert_in_range(started[t], fair * 9 / 10, fair * 11 / 10);
	}
}

static void test_weights_within_a_tenth(void **state)
{
	(void)state;
	assert_weighted(1, 1);   /* the node is what is short */
	assert_weighted(100, 4); /* the workers are */
	assert_weighted(6, 4);   /* both */
}

/* A tenant whose lanes live on a crowded worker too is not starved there for what it
 * gets on a quiet one, nor does its weight change. */
static void test_quiet_worker_costs_nothing_on_a_crowded_one(void **state)
{
	(void)state;
	int started[3] = {0};
	begin(100, 1);
	step((struct lq_event){.kind = LQ_HOLD});
	for (uint32_t i = 0; i < 3000; i++) {
		struct lq_item a = item(1, i), quiet = item(1, 10000 + i), b = item(2, i);
		a.tenant_weight = quiet.tenant_weight = 1;
		b.tenant_weight = 3;
		quiet.slot = 1;
		accept_run(a);
		accept_run(quiet);
		accept_run(b);
	}
	step((struct lq_event){.kind = LQ_RELEASE});
	struct lq_run *on[2] = {NULL, NULL};
	for (int i = 0; i < done_n; i++)
		on[done[i].worker] = done[i].run;
	for (int i = 0; i < 1000; i++) {
		for (int k = 0; k < 2; k++) { /* the quiet one is twice as quick */
			claimed(on[1]);
			tell(LQ_ENDED, on[1]);
			on[1] = done[0].run;
		}
		started[lq_run_tenant(on[0])]++;
		claimed(on[0]);
		tell(LQ_ENDED, on[0]);
		on[0] = done[0].run;
	}
	assert_in_range(started[1], 225, 275);
	assert_in_range(started[2], 675, 825);
	lq_free(q);
}

/* Whatever comes later with a priority higher by dp, a ready run waits at most for what
 * was accepted in the dp * 30 s after it. */
static void test_nothing_starves(void **state)
{
	(void)state;
	begin(1, 1);
	struct lq_run *running = accept_run(item(1, 1));
	struct lq_item low = item(1, 2);
	low.priority = -2;
	struct lq_run *r = accept_run(low);
	int starts = 0;
	for (uint32_t lane = 3; lq_run_state(r) == LQ_S_WAITING; starts++) {
		order_us += SECOND; /* one a second comes, one a second goes */
		struct lq_item it = item(1, lane++);
		it.priority = 3;
		accept_run(it);
		if (lq_run_state(running) == LQ_S_CLAIMING)
			claimed(running);
		tell(LQ_ENDED, running);
		running = done[0].run;
	}
	assert_in_range(starts, 140, 151); /* dp = 5 */
	lq_free(q);
}

/* The same between tenants: a crowd in front of the only tenant's only run. */
static void test_single_run_passes_the_crowd(void **state)
{
	(void)state;
	begin(1, 1);
	struct lq_run *running = accept_run(item(1, 1));
	for (uint32_t i = 2; i < 2000; i++)
		accept_run(item(1, i));
	for (int t = 2; t < 12; t++) {
		struct lq_run *single = accept_run(item(t, 1));
		for (int i = 0; i < 2 && lq_run_state(single) == LQ_S_WAITING; i++) {
			if (lq_run_state(running) == LQ_S_CLAIMING)
				claimed(running);
			tell(LQ_ENDED, running);
			running = done[0].run;
		}
		assert_int_equal(lq_run_state(single), LQ_S_CLAIMING);
	}
	lq_free(q);
}

/* ---- the number of workers changes */

static int up_to(int n, int16_t out[LIMIT_SLOTS])
{
	int ordinals[LQ_MAX_WORKERS];
	for (int i = 0; i < n; i++)
		ordinals[i] = i;
	placement_compute(ordinals, n, out);
	return n;
}

static void assert_scale(int from, int to)
{
	int16_t before[LIMIT_SLOTS], after[LIMIT_SLOTS];
	int moved = 0, yields = 0;
	struct lq_run *run[1024];
	begin(100000, 100000);
	up_to(from, before);
	up_to(to, after);
	for (int w = 0; w < 62; w++)
		worker(LQ_WORKER_UP, w);
	step((struct lq_event){.kind = LQ_SLOTS, .slots = before});
	for (uint32_t i = 0; i < 1024; i++) {
		struct lq_item it = item(1, i);
		it.slot = i * 4;
		it.tenant_max_running = 5000;
		run[i] = accept_run(it);
		assert_int_equal(lq_run_worker(run[i]), before[it.slot]);
	}
	step((struct lq_event){.kind = LQ_SLOTS, .slots = after});
	for (int i = 0; i < done_n; i++, yields++) {
		uint32_t slot = lq_run_slot(done[i].run);
		assert_int_equal(done[i].kind, LQ_DO_YIELD);
		assert_int_not_equal(before[slot], after[slot]);
		/* to a worker that is new, or from one that went: no other moves */
		assert_true(to > from ? after[slot] >= from : before[slot] >= to);
	}
	for (uint32_t i = 0; i < 1024; i++)
		moved += before[i * 4] != after[i * 4];
	assert_int_equal(yields, moved);
	int most = to > from ? to : from, gone = to > from ? to - from : from - to;
	assert_in_range(moved, 1024 * gone / most * 7 / 10,
			1024 * gone / most * 13 / 10 + 8);
	lq_free(q);
}

static void test_scaling_moves_only_what_must(void **state)
{
	(void)state;
	assert_scale(4, 5);
	assert_scale(5, 4);
	assert_scale(2, 16);
	assert_scale(16, 1);
	assert_scale(16, 17);
}

/* ---- a crowd that cannot start costs the others nothing */

static int64_t cost_of_a_run(uint32_t tenants, uint32_t agents)
{
	int64_t begun = clock_mono_us();
	struct uuid agent = {{9}};
	for (uint32_t i = 0; i < 2000; i++) {
		struct lq_item it = item(1 + i % tenants, 3000000 + i);
		uint32_t a = i % agents;
		memcpy(agent.b + 4, &a, 4);
		it.agent = agent;
		it.slot = i;
		struct lq_run *r = accept_run(it);
		if (lq_run_state(r) == LQ_S_RUNNING)
			tell(LQ_ENDED, r);
		else
			tell(LQ_GONE, r);
	}
	return clock_mono_us() - begun;
}

static void test_saturated_groups_are_never_scanned(void **state)
{
	(void)state;
	begin(100000, 100000);
	int64_t empty = cost_of_a_run(1000, 1000);
	for (uint32_t i = 0; i < CROWD; i++) { /* 50 runs each for 2000 capped tenants */
		struct lq_item it = item(100000 + i % 2000, i);
		it.slot = i;
		it.tenant_max_running = 1;
		accept_run(it);
	}
	assert_int_equal(lq_stats(q).running, 2000);
	int64_t crowded = cost_of_a_run(1000, 1000);
	printf("2000 runs: %" PRId64 " us alone, %" PRId64 " us in a crowd of %d\n",
	       empty, crowded, CROWD);
	/* A scan of the crowd would cost 2000 * 100000 looks, seconds. */
	assert_true(crowded < 20 * empty + 200000);
	lq_free(q);
}

int main(void)
{
	crypto_init();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_consecutive_ids_spread),
		cmocka_unit_test(test_memory_of_a_queued_run),
		cmocka_unit_test(test_weights_within_a_tenth),
		cmocka_unit_test(test_quiet_worker_costs_nothing_on_a_crowded_one),
		cmocka_unit_test(test_nothing_starves),
		cmocka_unit_test(test_single_run_passes_the_crowd),
		cmocka_unit_test(test_scaling_moves_only_what_must),
		cmocka_unit_test(test_saturated_groups_are_never_scanned),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
