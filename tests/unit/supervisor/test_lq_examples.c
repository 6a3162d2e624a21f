/* SPDX-License-Identifier: Apache-2.0
 * Promises of the lane queue, one small story each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <malloc.h>
#include <cmocka.h>

#include "common/crypto.h"
#include "common/ident.h"
#include "supervisor/lq.h"

#define SECOND 1000000LL
#define MANY 4096

static struct lq *q;
static struct lq_action done[MANY]; /* actions since take() */
static int done_n;
static int64_t order_us;
static int16_t slots[LIMIT_SLOTS];

static void act(void *ctx, const struct lq_action *a)
{
	(void)ctx;
	assert_true(done_n < MANY);
	done[done_n++] = *a;
}

static void step(struct lq_event e)
{
	done_n = 0;
	lq_step(q, &e);
}

static void begin(uint32_t node, uint32_t worker)
{
	struct lq_limits limits = {.node_running = node,
				   .node_waiting = MANY,
				   .lane_waiting = 20,
				   .worker_running = worker};
	q = lq_new(&limits, act, NULL);
	order_us = 1000 * SECOND;
	memset(slots, 0, sizeof slots); /* all to worker 0, but the odd ones to 1 */
	for (unsigned s = 1; s < LIMIT_SLOTS; s += 2)
		slots[s] = 1;
	step((struct lq_event){.kind = LQ_SLOTS, .slots = slots});
	step((struct lq_event){.kind = LQ_WORKER_UP, .worker = 0});
	step((struct lq_event){.kind = LQ_WORKER_UP, .worker = 1});
}

static struct lq_item item(int64_t tenant, uint8_t lane)
{
	return (struct lq_item){.run = uuid7_new(),
				.session = {{lane, (uint8_t)tenant}},
				.tenant = tenant,
				.order_us = order_us += 1000,
				.tenant_max_running = 100,
				.tenant_max_queued = 4000,
				.tenant_weight = 1};
}

/* Accepts it; returns the action. */
static struct lq_action enqueue(struct lq_item it)
{
	struct lq_event e = {.kind = LQ_ENQUEUE, .item = &it, .now_us = it.order_us};
	step(e);
	assert_int_equal(done_n, 1);
	return done[0];
}

static struct lq_run *accept_run(struct lq_item it)
{
	static int64_t pos;
	struct lq_action a = enqueue(it);
	assert_int_equal(a.kind, LQ_DO_ENQUEUE);
	step((struct lq_event){.kind = LQ_COMMITTED,
			       .run = a.run,
			       .lane_pos = ++pos,
			       .started = a.worker != LQ_NO_WORKER});
	return a.run;
}

static void claimed(struct lq_run *r)
{
	step((struct lq_event){.kind = LQ_CLAIMED, .run = r});
	assert_int_equal(done_n, 1);
	assert_int_equal(done[0].kind, LQ_DO_START);
	assert_ptr_equal(done[0].run, r);
}

static void end(struct lq_run *r)
{
	step((struct lq_event){.kind = LQ_ENDED, .run = r});
}

static void assert_claims(struct lq_run *r)
{
	assert_int_equal(done_n, 1);
	assert_int_equal(done[0].kind, LQ_DO_CLAIM);
	assert_ptr_equal(done[0].run, r);
}

static void test_fused_start_only_when_nothing_waits(void **state)
{
	(void)state;
	begin(10, 1);
	struct lq_run *a = accept_run(item(1, 1));
	assert_int_equal(lq_run_state(a), LQ_RUNNING);
	assert_int_equal(done[0].kind, LQ_DO_START);
	struct lq_run *behind = accept_run(item(1, 1)); /* the same lane */
	assert_int_equal(lq_run_state(behind), LQ_WAITING);
	assert_int_equal(lq_run_position(behind), 1);
	struct lq_run *full = accept_run(item(1, 2)); /* the worker is full */
	assert_int_equal(lq_run_state(full), LQ_WAITING);
	assert_int_equal(lq_run_position(full), 0);
	end(a);
	assert_claims(behind);
	claimed(behind);
	end(behind);
	assert_claims(full);
	lq_free(q);
}

static void test_size_of_a_queued_run(void **state)
{
	(void)state;
	begin(10, 1);
	accept_run(item(1, 1));
	struct lq_run *r = accept_run(item(1, 1));
	assert_true(malloc_usable_size(r) <= 256);
	lq_free(q);
}

static void test_priority_ages(void **state)
{
	(void)state;
	begin(10, 1);
	struct lq_run *first = accept_run(item(1, 1));
	struct lq_item plain = item(1, 2), urgent = item(1, 3), late = item(1, 4);
	urgent.priority = 1; /* worth 30 s */
	order_us += 40 * SECOND;
	late.order_us = order_us;
	late.priority = 1; /* but it came 40 s after plain */
	struct lq_run *p = accept_run(plain), *u = accept_run(urgent),
		      *l = accept_run(late);
	end(first);
	assert_claims(u);
	end(u);
	assert_claims(p);
	end(p);
	assert_claims(l);
	lq_free(q);
}

static void test_weights_share_the_node(void **state)
{
	(void)state;
	int started[3] = {0};
	begin(1, 1);
	struct lq_run *running = accept_run(item(9, 1));
	for (int i = 0; i < 60; i++)
		for (int t = 1; t <= 2; t++) {
			struct lq_item it = item(t, (uint8_t)i);
			it.tenant_weight = t == 1 ? 1 : 3;
			accept_run(it);
		}
	for (int i = 0; i < 40; i++) {
		end(running);
		assert_int_equal(done_n, 1);
		running = done[0].run;
		started[lq_run_tenant(running)]++;
	}
	assert_in_range(started[1], 9, 11);
	assert_in_range(started[2], 29, 31);
	lq_free(q);
}

/* A crowd of one tenant does not keep another's single run waiting. */
static void test_newcomer_is_not_behind_the_crowd(void **state)
{
	(void)state;
	begin(1, 1);
	struct lq_run *running = accept_run(item(1, 200));
	for (int i = 0; i < 100; i++)
		accept_run(item(1, (uint8_t)i));
	struct lq_run *single = accept_run(item(2, 1));
	for (int i = 0; i < 2 && lq_run_state(single) == LQ_WAITING; i++) {
		end(running);
		running = done[0].run;
	}
	assert_int_equal(lq_run_state(single), LQ_CLAIMING);
	lq_free(q);
}

/* A lane of a tenant at its cap must not take the free place of a worker from others. */
static void test_capped_tenant_blocks_nobody(void **state)
{
	(void)state;
	begin(10, 1);
	struct lq_item on_zero = item(2, 1), other = item(1, 1), parked = item(1, 2),
		       third = item(3, 1);
	other.slot = 1;
	other.tenant_max_running = parked.tenant_max_running = 1;
	struct lq_run *first = accept_run(on_zero);
	struct lq_run *capped = accept_run(other);
	assert_int_equal(lq_run_worker(capped), 1);
	struct lq_run *p = accept_run(parked); /* worker 0 is full, tenant 1 at its cap */
	struct lq_run *t = accept_run(third);
	end(first);
	assert_claims(t);
	assert_int_equal(lq_run_state(p), LQ_WAITING);
	end(t);
	assert_int_equal(done_n, 0);
	end(capped);
	assert_claims(p);
	lq_free(q);
}

static void test_cap_that_falls_holds_at_once(void **state)
{
	(void)state;
	begin(10, 10);
	struct lq_item a = item(1, 1), b = item(1, 2), c = item(1, 3);
	a.tenant_max_running = b.tenant_max_running = 2;
	c.tenant_max_running = 1;
	accept_run(a);
	step((struct lq_event){.kind = LQ_PAUSE});
	accept_run(b);
	enqueue(c);
	step((struct lq_event){.kind = LQ_RESUME});
	assert_int_equal(done_n, 0);
	assert_int_equal(lq_stats(q).running, 1);
	lq_free(q);
}

static void test_cap_that_rises_starts_at_once(void **state)
{
	(void)state;
	begin(10, 10);
	struct lq_item a = item(1, 1), b = item(1, 2), c = item(1, 3);
	a.tenant_max_running = b.tenant_max_running = 1;
	c.tenant_max_running = 2;
	accept_run(a);
	struct lq_run *waits = accept_run(b);
	assert_int_equal(lq_run_state(waits), LQ_WAITING);
	struct lq_event e = {.kind = LQ_ENQUEUE, .item = &c, .now_us = c.order_us};
	step(e);
	assert_int_equal(done_n, 2);
	assert_int_equal(done[0].worker, LQ_NO_WORKER);
	assert_int_equal(done[1].kind, LQ_DO_CLAIM);
	assert_ptr_equal(done[1].run, waits);
	lq_free(q);
}

/* Every claim after a crash says so, once: the journal counts them and buries the run. */
static void test_crash_is_charged_once(void **state)
{
	(void)state;
	begin(10, 10);
	struct lq_run *r = accept_run(item(1, 1));
	for (int i = 0; i < 3; i++) {
		step((struct lq_event){.kind = LQ_WORKER_DOWN, .worker = 0});
		assert_int_equal(done_n, 0);
		step((struct lq_event){.kind = LQ_WORKER_UP, .worker = 0});
		assert_claims(r);
		assert_true(done[0].crashed);
		claimed(r);
	}
	step((struct lq_event){.kind = LQ_LOST, .run = r}); /* given up, not crashed */
	assert_claims(r);
	assert_false(done[0].crashed);
	/* the worker goes while the claim is under way: it had not begun */
	step((struct lq_event){.kind = LQ_WORKER_DOWN, .worker = 0});
	step((struct lq_event){.kind = LQ_CLAIMED, .run = r});
	assert_int_equal(done_n, 0);
	assert_int_equal(lq_run_state(r), LQ_WAITING);
	step((struct lq_event){.kind = LQ_WORKER_UP, .worker = 0});
	assert_claims(r);
	assert_false(done[0].crashed);
	lq_free(q);
}

static void test_delayed_waits_for_its_tick(void **state)
{
	(void)state;
	begin(10, 10);
	struct lq_item it = item(1, 1);
	it.run_at_us = it.order_us + 5 * SECOND;
	struct lq_run *late = accept_run(it);
	assert_int_equal(lq_run_state(late), LQ_DELAYED);
	assert_int_equal(lq_stats(q).next_due_us, it.run_at_us);
	struct lq_run *now = accept_run(item(1, 1)); /* overtakes it */
	assert_claims(now);
	step((struct lq_event){.kind = LQ_TICK, .now_us = it.run_at_us - 1});
	assert_int_equal(lq_run_state(late), LQ_DELAYED);
	step((struct lq_event){.kind = LQ_TICK, .now_us = it.run_at_us});
	assert_int_equal(lq_run_state(late), LQ_WAITING);
	assert_int_equal(lq_stats(q).next_due_us, 0);
	end(now);
	assert_claims(late);
	lq_free(q);
}

static void test_refusals_name_the_narrowest_limit(void **state)
{
	(void)state;
	begin(1, 1);
	accept_run(item(1, 1));
	for (int i = 0; i < 20; i++)
		accept_run(item(1, 1));
	assert_int_equal(enqueue(item(1, 1)).error, ERR_LANE_FULL);
	struct lq_item it = item(1, 2);
	it.tenant_max_queued = 20;
	assert_int_equal(enqueue(it).error, ERR_TENANT_FULL);
	it.tenant_max_queued = 21;
	assert_int_equal(enqueue(it).kind, LQ_DO_ENQUEUE);
	lq_free(q);
}

int main(void)
{
	crypto_init();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fused_start_only_when_nothing_waits),
		cmocka_unit_test(test_size_of_a_queued_run),
		cmocka_unit_test(test_priority_ages),
		cmocka_unit_test(test_weights_share_the_node),
		cmocka_unit_test(test_newcomer_is_not_behind_the_crowd),
		cmocka_unit_test(test_capped_tenant_blocks_nobody),
		cmocka_unit_test(test_cap_that_falls_holds_at_once),
		cmocka_unit_test(test_cap_that_rises_starts_at_once),
		cmocka_unit_test(test_crash_is_charged_once),
		cmocka_unit_test(test_delayed_waits_for_its_tick),
		cmocka_unit_test(test_refusals_name_the_narrowest_limit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
