/* SPDX-License-Identifier: Apache-2.0
 * Promises of the lane queue, one small story each. */
#include "tests/unit/supervisor/lq_story.h"

/* Its last commit lands; a claim of it under way lands first. */
static void end(struct lq_run *r)
{
	if (lq_run_state(r) == LQ_S_CLAIMING)
		claimed(r);
	tell(LQ_ENDED, r);
}

static void pause_it(enum lq_event_kind kind, enum lq_scope scope, struct uuid id)
{
	step((struct lq_event){.kind = kind, .scope = scope, .tenant = 1, .id = id});
}

static struct lq_why_info why(const struct lq_run *r)
{
	return lq_why(q, r);
}

/* ---- starting */

static void test_fused_start_only_when_nothing_waits(void **state)
{
	(void)state;
	begin(10, 1);
	struct lq_run *a = accept_run(item(1, 1));
	assert_int_equal(lq_run_state(a), LQ_S_RUNNING);
	assert_int_equal(done[0].kind, LQ_DO_START);
	struct lq_run *behind = accept_run(item(1, 1)); /* the same lane */
	assert_int_equal(lq_run_state(behind), LQ_S_WAITING);
	assert_int_equal(lq_run_position(behind), 1);
	struct lq_run *full = accept_run(item(1, 2)); /* the worker is full */
	assert_int_equal(lq_run_state(full), LQ_S_WAITING);
	assert_int_equal(lq_run_position(full), 0);
	end(a);
	assert_did(LQ_DO_CLAIM, behind);
	claimed(behind);
	end(behind);
	assert_did(LQ_DO_CLAIM, full);
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
	assert_did(LQ_DO_CLAIM, u);
	end(u);
	assert_did(LQ_DO_CLAIM, p);
	end(p);
	assert_did(LQ_DO_CLAIM, l);
	lq_free(q);
}

/* A crowd of one tenant does not keep another's single run waiting. */
static void test_newcomer_is_not_behind_the_crowd(void **state)
{
	(void)state;
	begin(1, 1);
	struct lq_run *running = accept_run(item(1, 200));
	for (int i = 0; i < 100; i++)
		accept_run(item(1, (uint32_t)i));
	struct lq_run *single = accept_run(item(2, 1));
	for (int i = 0; i < 2 && lq_run_state(single) == LQ_S_WAITING; i++) {
		end(running);
		running = done[0].run;
	}
	assert_int_equal(lq_run_state(single), LQ_S_CLAIMING);
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
	assert_did(LQ_DO_CLAIM, t);
	assert_int_equal(lq_run_state(p), LQ_S_WAITING);
	end(t);
	assert_int_equal(done_n, 0);
	end(capped);
	assert_did(LQ_DO_CLAIM, p);
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
	assert_int_equal(lq_run_state(waits), LQ_S_WAITING);
	struct lq_event e = {.kind = LQ_ENQUEUE, .item = &c, .now_us = c.order_us};
	step(e);
	assert_int_equal(done_n, 2);
	assert_int_equal(done[0].worker, LQ_NO_WORKER);
	assert_int_equal(done[1].kind, LQ_DO_CLAIM);
	assert_ptr_equal(done[1].run, waits);
	lq_free(q);
}

static void test_delayed_waits_for_its_tick(void **state)
{
	(void)state;
	begin(10, 10);
	struct lq_item it = item(1, 1);
	it.run_at_us = it.order_us + 5 * SECOND;
	struct lq_run *late = accept_run(it);
	assert_int_equal(lq_run_state(late), LQ_S_DELAYED);
	assert_int_equal(lq_stats(q).next_due_us, it.run_at_us);
	struct lq_run *now = accept_run(item(1, 1)); /* overtakes it */
	assert_did(LQ_DO_CLAIM, now);
	step((struct lq_event){.kind = LQ_TICK, .now_us = it.run_at_us - 1});
	assert_int_equal(lq_run_state(late), LQ_S_DELAYED);
	step((struct lq_event){.kind = LQ_TICK, .now_us = it.run_at_us});
	assert_int_equal(lq_run_state(late), LQ_S_WAITING);
	assert_int_equal(lq_stats(q).next_due_us, 0);
	end(now);
	assert_did(LQ_DO_CLAIM, late);
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

/* ---- crashes and the quarantine worker */

/* Every claim after a crash says so, once: the journal counts them and buries the run. */
static void test_crash_is_charged_once(void **state)
{
	(void)state;
	begin(10, 10);
	struct lq_run *r = accept_run(item(1, 1));
	worker(LQ_WORKER_DOWN, 0);
	assert_quiet();
	worker(LQ_WORKER_UP, 0);
	assert_did(LQ_DO_CLAIM, r);
	assert_true(done[0].crashed);
	assert_int_equal(lq_run_crashes(r), 1);
	claimed(r);
	tell(LQ_LOST, r); /* given up, not crashed */
	assert_did(LQ_DO_CLAIM, r);
	assert_false(done[0].crashed);
	/* the worker goes while the claim is under way: it had not begun */
	worker(LQ_WORKER_DOWN, 0);
	tell(LQ_CLAIMED, r);
	assert_quiet();
	assert_state(r, LQ_S_WAITING);
	worker(LQ_WORKER_UP, 0);
	assert_did(LQ_DO_CLAIM, r);
	assert_false(done[0].crashed);
	lq_free(q);
}

/* Its launcher died, or we ended it: the run goes on, and is not nearer to its burial. */
static void test_an_uncharged_end_is_no_crash(void **state)
{
	(void)state;
	begin(10, 10);
	struct lq_run *r = accept_run(item(1, 1));
	for (int i = 0; i < 5; i++) {
		step((struct lq_event){
			.kind = LQ_WORKER_DOWN, .worker = 0, .uncharged = true});
		assert_quiet();
		assert_int_equal(lq_run_crashes(r), 0);
		worker(LQ_WORKER_UP, 0);
		assert_did(LQ_DO_CLAIM, r);
		assert_int_equal(done[0].worker, 0);
		assert_false(done[0].crashed);
		claimed(r);
	}
	lq_free(q);
}

static struct lq_run *suspect(uint32_t lane)
{
	struct lq_item it = item(1, lane);
	it.ran = true;
	it.crashes = 2;
	return load_run(it);
}

static void test_suspect_runs_alone_in_quarantine(void **state)
{
	(void)state;
	begin(10, 10);
	struct lq_run *a = suspect(1);
	assert_int_equal(done_n, 1);
	assert_int_equal(done[0].kind, LQ_DO_QUARANTINE);
	assert_int_equal(why(a).why, LQ_WHY_QUARANTINE);
	struct lq_run *b = suspect(2);
	assert_quiet(); /* asked for once */
	worker(LQ_WORKER_UP, LQ_QUARANTINE);
	assert_did(LQ_DO_CLAIM, a);
	assert_int_equal(done[0].worker, LQ_QUARANTINE);
	claimed(a);
	assert_int_equal(why(b).why, LQ_WHY_QUARANTINE);
	struct lq_run *neighbour = accept_run(item(1, 3));
	assert_int_equal(lq_run_worker(neighbour), 0); /* never there */
	end(a);
	assert_did(LQ_DO_CLAIM, b);
	lq_free(q);
}

static void test_quarantine_is_asked_for_again_when_it_died(void **state)
{
	(void)state;
	begin(10, 10);
	struct lq_run *a = suspect(1);
	worker(LQ_WORKER_UP, LQ_QUARANTINE);
	claimed(a);
	worker(LQ_WORKER_DOWN, LQ_QUARANTINE);
	assert_int_equal(done_n, 1);
	assert_int_equal(done[0].kind, LQ_DO_QUARANTINE);
	assert_int_equal(lq_run_crashes(a), 3);
	lq_free(q);
}

static void test_progress_ends_the_suspicion(void **state)
{
	(void)state;
	begin(10, 10);
	struct lq_run *a = suspect(1);
	worker(LQ_WORKER_UP, LQ_QUARANTINE);
	claimed(a);
	tell(LQ_PROGRESS, a);
	assert_did(LQ_DO_YIELD, a);
	assert_int_equal(lq_run_crashes(a), 0);
	tell(LQ_PROGRESS, a);
	assert_quiet(); /* it is asked once */
	tell(LQ_YIELDED, a);
	assert_did(LQ_DO_CLAIM, a);
	assert_int_equal(done[0].worker, 0);
	lq_free(q);
}

static void test_run_that_ran_goes_before_any_lane_pos(void **state)
{
	(void)state;
	begin(10, 10);
	step((struct lq_event){.kind = LQ_HOLD});
	struct lq_run *first = load_run(item(1, 1));
	struct lq_item ran = item(1, 1);
	ran.ran = true;
	struct lq_run *r = load_run(ran);
	assert_int_equal(lq_run_position(r), 0);
	assert_int_equal(lq_run_position(first), 1);
	step((struct lq_event){.kind = LQ_RELEASE});
	assert_did(LQ_DO_CLAIM, r);
	lq_free(q);
}

/* ---- steer and announce */

static void test_steer_is_signalled_and_taken(void **state)
{
	(void)state;
	begin(10, 10);
	struct lq_run *a = accept_run(item(1, 1));
	struct lq_run *s = accept_run(item_of_mode(MODE_STEER));
	assert_did(LQ_DO_STEER, a);
	assert_int_equal(done[0].worker, 0);
	accept_run(item_of_mode(MODE_ANNOUNCE));
	assert_did(LQ_DO_STEER, a);
	accept_run(item_of_mode(MODE_FOLLOWUP));
	assert_quiet();
	assert_int_equal(lq_run_take(a), TAKE_STEER);
	tell(LQ_TAKEN, s);
	assert_quiet();
	assert_int_equal(lq_stats(q).waiting, 2);
	lq_free(q);
}

/* The consumer's commit can be known before that of the message it consumed. */
static void test_steer_is_taken_before_its_commit_is_known(void **state)
{
	(void)state;
	begin(10, 10);
	struct lq_run *a = accept_run(item(1, 1));
	struct lq_action s = enqueue(item_of_mode(MODE_STEER));
	tell(LQ_TAKEN, s.run);
	assert_int_equal(lq_stats(q).runs, 2);
	committed(&s);
	assert_quiet();
	assert_int_equal(lq_stats(q).runs, 1);
	end(a);
	assert_quiet();
	assert_int_equal(lq_stats(q).runs, 0);
	lq_free(q);
}

static void test_steer_committed_after_the_end_is_the_next_run(void **state)
{
	(void)state;
	begin(10, 10);
	struct lq_run *a = accept_run(item(1, 1));
	struct lq_action s = enqueue(item_of_mode(MODE_STEER));
	end(a);
	assert_quiet();
	committed(&s);
	assert_did(LQ_DO_CLAIM, s.run);
	lq_free(q);
}

static void test_steer_committed_before_the_end_is_the_next_run(void **state)
{
	(void)state;
	begin(10, 10);
	struct lq_run *a = accept_run(item(1, 1));
	struct lq_run *s = accept_run(item_of_mode(MODE_STEER));
	assert_did(LQ_DO_STEER, a);
	end(a); /* it did not look again */
	assert_did(LQ_DO_CLAIM, s);
	lq_free(q);
}

/* Under a claim there is nobody to tell yet; RUN_START says what waits. */
static void test_steer_under_a_claim_is_told_at_the_start(void **state)
{
	(void)state;
	begin(10, 10);
	struct lq_run *a = load_run(item(1, 1));
	assert_did(LQ_DO_CLAIM, a);
	accept_run(item_of_mode(MODE_STEER));
	assert_quiet();
	claimed(a);
	assert_int_equal(lq_run_take(a), TAKE_STEER);
	lq_free(q);
}

static void test_delayed_steer_is_signalled_when_due(void **state)
{
	(void)state;
	begin(10, 10);
	struct lq_run *a = accept_run(item(1, 1));
	struct lq_item it = item_of_mode(MODE_STEER);
	it.run_at_us = it.order_us + SECOND;
	accept_run(it);
	assert_quiet();
	tick(it.run_at_us);
	assert_did(LQ_DO_STEER, a);
	lq_free(q);
}

/* ---- collect */

static struct lq_item collect_at(int64_t at_us)
{
	struct lq_item it = item_of_mode(MODE_COLLECT);
	it.run_at_us = at_us;
	return it;
}

static void test_collect_is_debounced(void **state)
{
	(void)state;
	begin(10, 10);
	int64_t t = order_us + SECOND;
	struct lq_run *a = accept_run(collect_at(t));
	struct lq_run *b = accept_run(collect_at(t + SECOND / 2));
	assert_int_equal(lq_run_due_us(a), t + SECOND / 2);
	tick(t);
	assert_quiet();
	tick(t + SECOND / 2);
	assert_did(LQ_DO_CLAIM, a); /* one run for all */
	claimed(a);
	assert_int_equal(lq_run_take(a), TAKE_COLLECT);
	tell(LQ_TAKEN, b);
	assert_int_equal(lq_run_take(a), 0);
	end(a);
	assert_quiet();
	lq_free(q);
}

static void test_collects_are_loaded_in_any_order(void **state)
{
	(void)state;
	begin(10, 10);
	struct lq_item old = collect_at(order_us + 1 * SECOND),
		       young = collect_at(order_us + 2 * SECOND);
	old.lane_pos = 1;
	young.lane_pos = 2;
	step((struct lq_event){.kind = LQ_LOADED, .item = &young, .now_us = order_us});
	step((struct lq_event){.kind = LQ_LOADED, .item = &old, .now_us = order_us});
	assert_int_equal(lq_run_due_us(lq_find(q, old.run)), young.run_at_us);
	step((struct lq_event){.kind = LQ_LOADED, .item = &old, .now_us = order_us});
	assert_int_equal(lq_stats(q).runs, 2); /* what is known is not loaded twice */
	lq_free(q);
}

static void test_delay_that_passed_during_the_commit(void **state)
{
	(void)state;
	begin(10, 10);
	struct lq_item it = item(1, 1);
	it.run_at_us = it.order_us + SECOND;
	struct lq_action a = enqueue(it);
	tick(it.run_at_us);
	assert_quiet();
	committed(&a);
	assert_did(LQ_DO_CLAIM, a.run);
	lq_free(q);
}

/* ---- interrupt and cancel */

static void test_interrupt_cancels_the_running_run(void **state)
{
	(void)state;
	begin(10, 10);
	struct lq_run *a = accept_run(item(1, 1));
	struct lq_run *behind = accept_run(item(1, 1));
	struct lq_action i = enqueue(item_of_mode(MODE_INTERRUPT));
	step((struct lq_event){.kind = LQ_COMMITTED, .run = i.run, .lane_pos = -1});
	assert_did(LQ_DO_CANCEL, a);
	assert_int_equal(done[0].reason, CANCEL_INTERRUPTED);
	end(a);
	assert_did(LQ_DO_CLAIM, i.run); /* to the head */
	assert_int_equal(why(behind).why, LQ_WHY_LANE_BUSY);
	assert_ptr_equal(why(behind).other, i.run);
	lq_free(q);
}

static void test_interrupt_of_a_claim_waits_for_its_landing(void **state)
{
	(void)state;
	begin(10, 10);
	struct lq_run *a = load_run(item(1, 1));
	accept_run(item_of_mode(MODE_INTERRUPT));
	assert_quiet();
	tell(LQ_CLAIMED, a);
	assert_int_equal(done_n, 2);
	assert_int_equal(done[0].kind, LQ_DO_START);
	assert_int_equal(done[1].kind, LQ_DO_CANCEL);
	assert_int_equal(done[1].reason, CANCEL_INTERRUPTED);
	lq_free(q);
}

static struct lq_run *retrying(int64_t at_us)
{
	struct lq_run *a = accept_run(item(1, 1));
	step((struct lq_event){.kind = LQ_RETRY, .run = a, .at_us = at_us});
	assert_quiet();
	assert_state(a, LQ_S_RETRY);
	return a;
}

static void test_interrupt_and_cancel_make_a_retry_due(void **state)
{
	(void)state;
	for (int cancel = 0; cancel < 2; cancel++) {
		begin(10, 10);
		struct lq_run *a = retrying(order_us + 100 * SECOND);
		if (cancel)
			tell(LQ_CANCEL, a);
		else
			accept_run(item_of_mode(MODE_INTERRUPT));
		assert_did(LQ_DO_CLAIM, a);
		tell(LQ_CLAIMED, a);
		assert_int_equal(done[1].kind, LQ_DO_CANCEL);
		assert_int_equal(done[1].reason,
				 cancel ? CANCEL_ASKED : CANCEL_INTERRUPTED);
		lq_free(q);
	}
}

static void test_cancel_of_a_running_run(void **state)
{
	(void)state;
	begin(10, 10);
	struct lq_run *a = accept_run(item(1, 1));
	tell(LQ_CANCEL, a);
	assert_did(LQ_DO_CANCEL, a);
	assert_int_equal(done[0].reason, CANCEL_ASKED);
	worker(LQ_WORKER_DOWN, 0); /* claimed once more, to pair its calls */
	worker(LQ_WORKER_UP, 0);
	tell(LQ_CLAIMED, a);
	assert_int_equal(done_n, 2);
	assert_int_equal(done[1].kind, LQ_DO_CANCEL);
	lq_free(q);
}

static void test_cancelled_before_it_started(void **state)
{
	(void)state;
	begin(10, 10);
	accept_run(item(1, 1));
	struct lq_run *waits = accept_run(item(1, 1));
	tell(LQ_GONE, waits);
	assert_int_equal(lq_stats(q).runs, 1);
	struct lq_run *claims = load_run(item(1, 2));
	tell(LQ_GONE, claims); /* its claim will find no row */
	assert_state(claims, LQ_S_CLAIMING);
	step((struct lq_event){.kind = LQ_UNCLAIMED, .run = claims, .gone = true});
	assert_int_equal(lq_stats(q).runs, 1);
	lq_free(q);
}

/* An interrupt that meets a claim takes it for a start. Of one that came to nothing there
 * is nothing to cut short. */
static void test_an_unclaimed_run_is_not_cut_short_later(void **state)
{
	(void)state;
	begin(10, 10);
	struct lq_run *a = load_run(item(1, 1));
	assert_did(LQ_DO_CLAIM, a);
	struct lq_action now = enqueue(item_of_mode(MODE_INTERRUPT));
	step((struct lq_event){.kind = LQ_COMMITTED, .run = now.run, .lane_pos = -1});
	step((struct lq_event){.kind = LQ_UNCLAIMED, .run = a});
	assert_did(LQ_DO_CLAIM, now.run);
	end(now.run);
	assert_did(LQ_DO_CLAIM, a);
	claimed(a); /* and nothing else */
	lq_free(q);
}

/* ---- retry */

static void test_retry_holds_the_lane(void **state)
{
	(void)state;
	begin(10, 10);
	int64_t at = order_us + 100 * SECOND;
	struct lq_run *a = retrying(at);
	struct lq_run *behind = accept_run(item(1, 1));
	assert_quiet();
	assert_state(behind, LQ_S_WAITING);
	assert_ptr_equal(why(behind).other, a);
	assert_int_equal(lq_run_position(behind), 1);
	assert_int_equal(lq_stats(q).next_due_us, at);
	assert_int_equal(lq_stats(q).running, 0); /* its worker is free */
	tick(at);
	assert_did(LQ_DO_CLAIM, a);
	lq_free(q);
}

/* Its worker died after it had put the run off and before it said so. */
static void test_a_claim_that_is_too_early_waits_uncharged(void **state)
{
	(void)state;
	begin(10, 10);
	int64_t at = order_us + 100 * SECOND;
	struct lq_run *a = accept_run(item(1, 1)), *behind = accept_run(item(1, 1));
	worker(LQ_WORKER_DOWN, 0);
	assert_int_equal(lq_run_crashes(a), 1);
	worker(LQ_WORKER_UP, 0);
	assert_did(LQ_DO_CLAIM, a);
	assert_true(done[0].crashed);
	step((struct lq_event){.kind = LQ_NOT_DUE, .run = a, .at_us = at});
	assert_quiet();
	assert_state(a, LQ_S_RETRY);
	assert_int_equal(lq_run_due_us(a), at);
	assert_int_equal(lq_run_crashes(a), 0);
	assert_int_equal(lq_stats(q).running, 0);
	assert_state(behind, LQ_S_WAITING); /* it holds its lane */
	tick(at);
	assert_did(LQ_DO_CLAIM, a);
	assert_false(done[0].crashed);
	lq_free(q);
}

static void test_a_cancel_beside_a_claim_that_is_too_early(void **state)
{
	(void)state;
	begin(10, 10);
	struct lq_run *a = accept_run(item(1, 1));
	worker(LQ_WORKER_DOWN, 0);
	worker(LQ_WORKER_UP, 0);
	tell(LQ_CANCEL, a); /* durable after the claim had looked */
	step((struct lq_event){
		.kind = LQ_NOT_DUE, .run = a, .at_us = order_us + 100 * SECOND});
	assert_did(LQ_DO_CLAIM, a);
	lq_free(q);
}

/* ---- deadlines */

static struct lq_item mortal(int64_t at_us)
{
	struct lq_item it = item(1, 1);
	it.deadline_us = at_us;
	return it;
}

static void test_deadline_of_a_waiting_run(void **state)
{
	(void)state;
	begin(10, 10);
	int64_t t = order_us + 10 * SECOND;
	accept_run(item(1, 1));
	struct lq_run *a = accept_run(mortal(t));
	tick(t - 1);
	assert_quiet();
	tick(t);
	assert_did(LQ_DO_EXPIRE, a);
	tick(t + SECOND);
	assert_quiet(); /* once */
	tell(LQ_GONE, a);
	assert_int_equal(lq_stats(q).runs, 1);
	lq_free(q);
}

/* Expiry and claim race in the database; the claim won. */
static void test_expire_of_a_claim_is_kept(void **state)
{
	(void)state;
	begin(10, 10);
	int64_t t = order_us + 10 * SECOND;
	struct lq_run *first = accept_run(item(1, 1));
	struct lq_run *a = accept_run(mortal(t));
	tick(t);
	assert_did(LQ_DO_EXPIRE, a);
	end(first);
	assert_did(LQ_DO_CLAIM, a);
	tell(LQ_KEPT, a);
	assert_quiet();
	claimed(a);
	tick(t + 100 * SECOND);
	assert_quiet(); /* a started run has no deadline in the queue */
	lq_free(q);
}

/* The database's clock said not yet: asked again, so that none waits for ever. */
static void test_kept_run_expires_later(void **state)
{
	(void)state;
	begin(10, 10);
	int64_t t = order_us + 10 * SECOND;
	accept_run(item(1, 1));
	struct lq_run *a = accept_run(mortal(t));
	tick(t);
	tell(LQ_KEPT, a);
	tick(t + SECOND);
	assert_quiet();
	tick(t + 10 * SECOND);
	assert_did(LQ_DO_EXPIRE, a);
	lq_free(q);
}

static void test_deadline_of_a_delayed_run(void **state)
{
	(void)state;
	begin(10, 10);
	struct lq_item it = mortal(order_us + 2 * SECOND);
	it.run_at_us = order_us + 5 * SECOND;
	struct lq_run *a = accept_run(it);
	assert_int_equal(lq_stats(q).next_due_us, it.deadline_us);
	tick(it.deadline_us);
	assert_did(LQ_DO_EXPIRE, a);
	assert_int_equal(lq_stats(q).next_due_us, it.run_at_us);
	lq_free(q);
}

/* A deadline is of what never started: a run that is put off has met it. */
static void test_no_deadline_in_retry_wait(void **state)
{
	(void)state;
	for (int loaded = 0; loaded < 2; loaded++) {
		begin(10, 10);
		int64_t due = order_us + 20 * SECOND, end = order_us + 10 * SECOND;
		struct lq_item it = mortal(end);
		it.run_at_us = loaded ? due : 0;
		it.ran = it.retrying = loaded;
		struct lq_run *a = loaded ? load_run(it) : accept_run(it);
		if (!loaded)
			step((struct lq_event){.kind = LQ_RETRY, .run = a, .at_us = due});
		assert_state(a, LQ_S_RETRY);
		assert_int_equal(lq_stats(q).next_due_us, due);
		tick(end);
		assert_quiet();
		tick(due);
		assert_did(LQ_DO_CLAIM, a);
		lq_free(q);
	}
}

/* ---- drop policies */

static struct lq_item for_full_lane(enum drop_policy drop)
{
	struct lq_item it = item(1, 1);
	it.lane_cap = 3;
	it.drop = drop;
	return it;
}

static struct lq_run *waiting_runs[3];

static struct lq_run *fill_lane(void)
{
	begin(10, 10);
	struct lq_run *active = accept_run(item(1, 1));
	for (int i = 0; i < 3; i++)
		waiting_runs[i] = accept_run(item(1, 1));
	return active;
}

static void test_full_lane_rejects(void **state)
{
	(void)state;
	fill_lane();
	struct lq_action a = enqueue(for_full_lane(DROP_REJECT));
	assert_int_equal(a.kind, LQ_DO_REFUSE);
	assert_int_equal(a.error, ERR_LANE_FULL);
	lq_free(q);
}

static void test_full_lane_drops_the_oldest(void **state)
{
	(void)state;
	fill_lane();
	struct lq_action a = enqueue(for_full_lane(DROP_OLD));
	assert_ptr_equal(a.victim, waiting_runs[0]);
	assert_false(a.fold);
	struct lq_action b = enqueue(for_full_lane(DROP_OLD));
	assert_ptr_equal(b.victim, waiting_runs[1]); /* no victim twice */
	tell(LQ_GONE, a.victim);
	committed(&a);
	tell(LQ_KEPT, b.victim);
	tell(LQ_REFUSED, b.run);
	struct lq_action c = enqueue(for_full_lane(DROP_OLD));
	assert_ptr_equal(c.victim, waiting_runs[1]); /* it was spared */
	lq_free(q);
}

static void test_nothing_to_drop_rejects(void **state)
{
	(void)state;
	begin(10, 10);
	accept_run(item(1, 1));
	for (int i = 0; i < 3; i++)
		enqueue(item(1, 1)); /* not committed: they cannot be victims */
	assert_int_equal(enqueue(for_full_lane(DROP_OLD)).error, ERR_LANE_FULL);
	lq_free(q);
}

static void test_full_lane_folds_the_oldest(void **state)
{
	(void)state;
	struct lq_run *active = fill_lane();
	struct lq_action a = enqueue(for_full_lane(DROP_SUMMARIZE));
	assert_ptr_equal(a.victim, waiting_runs[0]);
	assert_true(a.fold);
	tell(LQ_FOLDED, a.victim);
	committed(&a);
	assert_state(waiting_runs[0], LQ_S_FOLDED);
	assert_int_equal(why(waiting_runs[0]).why, LQ_WHY_FOLDED);
	end(active);
	assert_did(LQ_DO_CLAIM, waiting_runs[1]); /* not the folded one */
	claimed(waiting_runs[1]);
	assert_int_equal(lq_run_take(waiting_runs[1]), TAKE_FOLDED);
	tell(LQ_TAKEN, waiting_runs[0]);
	assert_int_equal(lq_stats(q).folded, 0);
	lq_free(q);
}

static void test_lane_left_with_folded_runs_starts_them(void **state)
{
	(void)state;
	struct lq_run *active = fill_lane();
	tell(LQ_FOLDED, waiting_runs[0]);
	tell(LQ_FOLDED, waiting_runs[1]);
	tell(LQ_GONE, waiting_runs[2]);
	end(active);
	assert_did(LQ_DO_CLAIM, waiting_runs[0]);
	step((struct lq_event){.kind = LQ_UNCLAIMED, .run = waiting_runs[0]});
	assert_did(LQ_DO_CLAIM, waiting_runs[0]); /* its row is folded still */
	claimed(waiting_runs[0]);
	assert_int_equal(lq_run_take(waiting_runs[0]), TAKE_FOLDED);
	lq_free(q);
}

/* What is folded is bounded as well, and the lane stays at its cap: the oldest that waits
 * is dropped then, no folded one. */
static void test_folds_are_bounded(void **state)
{
	(void)state;
	struct lq_run *in_order[43];
	fill_lane();
	memcpy(in_order, waiting_runs, sizeof waiting_runs);
	for (int i = 0; i < 40; i++) {
		struct lq_action a = enqueue(for_full_lane(DROP_SUMMARIZE));
		struct lq_lane_info l;
		assert_int_equal(a.kind, LQ_DO_ENQUEUE);
		assert_int_equal(a.fold, i < LQ_FOLDED_MOST);
		assert_ptr_equal(a.victim, in_order[i]);
		in_order[i + 3] = a.run;
		tell(a.fold ? LQ_FOLDED : LQ_GONE, a.victim);
		committed(&a);
		assert_true(lq_lane(q, 1, lq_run_session(a.run), &l));
		assert_int_equal(l.waiting, 3);
		assert_int_equal(l.folded, i < LQ_FOLDED_MOST ? i + 1 : LQ_FOLDED_MOST);
	}
	lq_free(q);
}

/* ---- pauses, hold, caps */

static void test_a_pause_keeps_the_run_that_failed(void **state)
{
	(void)state;
	struct uuid lane = {{3}}, run = {{9}};
	begin(1, 1);
	assert_null(lq_pause_find(q, LQ_LANE, 1, lane));
	step((struct lq_event){
		.kind = LQ_PAUSE,
		.scope = LQ_LANE,
		.tenant = 1,
		.id = lane,
		.failed_run = run,
		.failed_code = SLICE("a code far longer than what is kept of one")});
	const struct lq_pause *p = lq_pause_find(q, LQ_LANE, 1, lane);
	assert_true(uuid_eq(p->failed_run, run));
	assert_string_equal(p->failed_code, "a code far longer than what is k");
	assert_null(lq_pause_find(q, LQ_LANE, 2, lane));
	pause_it(LQ_PAUSE, LQ_LANE, lane); /* now a person's */
	p = lq_pause_find(q, LQ_LANE, 1, lane);
	assert_true(uuid_is_nil(p->failed_run));
	assert_string_equal(p->failed_code, "");
	pause_it(LQ_RESUME, LQ_LANE, lane);
	assert_null(lq_pause_find(q, LQ_LANE, 1, lane));
	lq_free(q);
}

static void test_pauses_of_every_scope(void **state)
{
	(void)state;
	static const enum lq_why whys[] = {LQ_WHY_NODE_PAUSED, LQ_WHY_TENANT_PAUSED,
					   LQ_WHY_AGENT_PAUSED, LQ_WHY_LANE_PAUSED};
	for (int s = LQ_NODE; s <= LQ_LANE; s++) {
		begin(10, 10);
		struct lq_item it = item(1, 1);
		struct uuid id = s == LQ_LANE ? it.session : it.agent;
		pause_it(LQ_PAUSE, (enum lq_scope)s, id); /* nothing of it exists yet */
		assert_true(lq_is_paused(q, (enum lq_scope)s, 1, id));
		struct lq_run *a = accept_run(it);
		assert_quiet();
		assert_int_equal(why(a).why, whys[s]);
		pause_it(LQ_RESUME, (enum lq_scope)s, id);
		assert_did(LQ_DO_CLAIM, a);
		assert_false(lq_is_paused(q, (enum lq_scope)s, 1, id));
		lq_free(q);
	}
}

/* A pause stops new runs; what ran goes on to its end, whoever must claim it again. */
static void test_what_ran_passes_pauses(void **state)
{
	(void)state;
	static const enum lq_why whys[] = {LQ_WHY_NODE_PAUSED, LQ_WHY_TENANT_PAUSED,
					   LQ_WHY_AGENT_PAUSED, LQ_WHY_LANE_PAUSED};
	for (int s = LQ_NODE; s <= LQ_LANE; s++) {
		begin(10, 10);
		struct lq_item it = item(1, 1);
		struct lq_run *a = accept_run(it), *behind = accept_run(item(1, 1));
		pause_it(LQ_PAUSE, (enum lq_scope)s,
			 s == LQ_LANE ? it.session : it.agent);
		worker(LQ_WORKER_DOWN, 0);
		assert_int_equal(why(a).why, LQ_WHY_NO_WORKER);
		worker(LQ_WORKER_UP, 0);
		assert_did(LQ_DO_CLAIM, a);
		claimed(a);
		tell(LQ_YIELDED, a);
		assert_did(LQ_DO_CLAIM, a);
		claimed(a);
		int64_t at = order_us + SECOND;
		step((struct lq_event){.kind = LQ_RETRY, .run = a, .at_us = at});
		assert_quiet();
		tick(at);
		assert_did(LQ_DO_CLAIM, a);
		end(a);
		assert_quiet();
		assert_int_equal(why(behind).why, whys[s]);
		lq_free(q);
	}
}

/* Else a run whose row is gone, or refused, would be claimed for ever. */
static void test_a_claim_in_vain_waits_for_the_end_of_the_pause(void **state)
{
	(void)state;
	begin(10, 10);
	struct lq_item it = item(1, 1);
	struct lq_run *a = accept_run(it);
	pause_it(LQ_PAUSE, LQ_LANE, it.session);
	tell(LQ_YIELDED, a);
	assert_did(LQ_DO_CLAIM, a);
	step((struct lq_event){.kind = LQ_UNCLAIMED, .run = a});
	assert_quiet();
	assert_int_equal(why(a).why, LQ_WHY_LANE_PAUSED);
	pause_it(LQ_PAUSE, LQ_LANE, it.session); /* it is told again, of whom it is */
	assert_quiet();
	tell(LQ_CANCEL, a);
	assert_did(LQ_DO_CLAIM, a);
	step((struct lq_event){.kind = LQ_UNCLAIMED, .run = a});
	assert_quiet();
	pause_it(LQ_PAUSE, LQ_TENANT, (struct uuid){{0}});
	pause_it(LQ_RESUME, LQ_LANE, it.session);
	assert_did(LQ_DO_CLAIM, a); /* it ran: the other pause is none of its own */
	tell(LQ_CLAIMED, a);
	assert_int_equal(done[1].kind, LQ_DO_CANCEL);
	pause_it(LQ_PAUSE, LQ_LANE, it.session);
	tell(LQ_YIELDED, a);
	assert_did(LQ_DO_CLAIM, a);
	lq_free(q);
}

static void test_hold_stops_starts_only(void **state)
{
	(void)state;
	begin(10, 10);
	struct lq_run *a = accept_run(item(1, 1));
	step((struct lq_event){.kind = LQ_HOLD});
	struct lq_run *b = accept_run(item(1, 2));
	assert_quiet();
	assert_int_equal(why(b).why, LQ_WHY_HELD);
	end(a);
	assert_quiet();
	step((struct lq_event){.kind = LQ_RELEASE});
	assert_did(LQ_DO_CLAIM, b);
	lq_free(q);
}

static void test_agent_at_its_cap_blocks_nobody(void **state)
{
	(void)state;
	begin(10, 10);
	struct lq_item first = item(1, 1), second = item(1, 2), other = item(1, 3);
	first.agent_max_running = second.agent_max_running = 1;
	other.agent = (struct uuid){{8}};
	struct lq_run *a = accept_run(first), *b = accept_run(second);
	assert_int_equal(why(b).why, LQ_WHY_AGENT_CAP);
	assert_state(accept_run(other), LQ_S_RUNNING);
	end(a);
	assert_did(LQ_DO_CLAIM, b);
	lq_free(q);
}

/* ---- workers come and go */

static void test_moved_slot_yields_once(void **state)
{
	(void)state;
	begin(10, 10);
	struct lq_item odd = item(1, 1);
	odd.slot = 1;
	struct lq_run *stays = accept_run(item(1, 2)), *a = accept_run(odd);
	assert_int_equal(lq_run_worker(a), 1);
	memset(slots, 0, sizeof slots);
	step((struct lq_event){.kind = LQ_SLOTS, .slots = slots});
	assert_did(LQ_DO_YIELD, a);
	step((struct lq_event){.kind = LQ_SLOTS, .slots = slots});
	assert_quiet();
	tell(LQ_YIELDED, a);
	assert_did(LQ_DO_CLAIM, a);
	assert_int_equal(done[0].worker, 0);
	assert_false(done[0].crashed);
	assert_state(stays, LQ_S_RUNNING);
	lq_free(q);
}

static void test_claim_of_a_moved_slot_waits_again(void **state)
{
	(void)state;
	begin(10, 10);
	struct lq_action fused = enqueue(item(1, 1));
	struct lq_run *a = load_run(item(1, 2));
	memset(slots, 0, sizeof slots);
	for (unsigned s = 0; s < LIMIT_SLOTS; s++)
		slots[s] = 1;
	step((struct lq_event){.kind = LQ_SLOTS, .slots = slots});
	assert_quiet();
	tell(LQ_CLAIMED, a);
	assert_did(LQ_DO_CLAIM, a);
	assert_int_equal(done[0].worker, 1);
	committed(&fused);
	assert_did(LQ_DO_CLAIM, fused.run);
	assert_false(done[0].crashed);
	assert_int_equal(lq_run_crashes(fused.run), 0);
	lq_free(q);
}

static void test_why_names_the_narrowest_reason(void **state)
{
	(void)state;
	begin(2, 1);
	struct lq_item capped = item(1, 2), no_worker = item(3, 3);
	struct lq_run *a = accept_run(item(1, 1));
	assert_int_equal(why(a).why, LQ_WHY_RUNS);
	capped.slot = 1;
	capped.tenant_max_running = 1;
	struct lq_run *c = accept_run(capped);
	assert_int_equal(why(c).why, LQ_WHY_TENANT_CAP);
	assert_int_equal(why(accept_run(item(2, 1))).why, LQ_WHY_WORKER_FULL);
	slots[5] = LQ_NO_WORKER;
	step((struct lq_event){.kind = LQ_SLOTS, .slots = slots});
	no_worker.slot = 5;
	assert_int_equal(why(accept_run(no_worker)).why, LQ_WHY_NO_WORKER);
	struct lq_item other = item(4, 1);
	other.slot = 1;
	accept_run(other);
	other = item(4, 2);
	other.slot = 1;
	assert_int_equal(why(accept_run(other)).why, LQ_WHY_NODE_FULL);
	struct lq_item late = item(5, 1);
	late.run_at_us = late.order_us + SECOND;
	struct lq_why_info w = why(accept_run(late));
	assert_int_equal(w.why, LQ_WHY_DELAYED);
	assert_int_equal(w.due_us, late.run_at_us);
	assert_int_equal(why(enqueue(item(6, 1)).run).why, LQ_WHY_COMMITTING);
	lq_free(q);
}

static bool name_states(void *ctx, struct lq_run *r)
{
	strcat(ctx, lq_state_word(lq_run_state(r)));
	strcat(ctx, " ");
	return true;
}

static bool count_one(void *ctx, const struct lq_lane_info *l)
{
	(void)l;
	return --*(int *)ctx > 0;
}

static void test_looking_at_a_lane(void **state)
{
	(void)state;
	char text[200] = "";
	struct lq_lane_info l;
	int most = 1;
	fill_lane();
	tell(LQ_FOLDED, waiting_runs[1]);
	struct lq_item late = item(1, 1);
	late.run_at_us = late.order_us + SECOND;
	accept_run(late);
	enqueue(item(1, 1));
	accept_run(item(1, 9));
	lq_each_run(q, 1, late.session, name_states, text);
	assert_string_equal(text, "running queued queued enqueueing scheduled folded ");
	assert_true(lq_lane(q, 1, late.session, &l));
	assert_int_equal(l.waiting, 2);
	assert_int_equal(l.delayed, 1);
	assert_int_equal(l.folded, 1);
	assert_ptr_equal(l.head, waiting_runs[0]);
	assert_false(lq_lane(q, 2, late.session, &l));
	lq_each_lane(q, count_one, &most);
	assert_int_equal(most, 0);
	assert_int_equal(lq_stats(q).lanes, 2);
	lq_free(q);
}

static void test_a_taken_id_is_refused(void **state)
{
	(void)state;
	begin(10, 10);
	struct lq_item it = item(1, 1);
	accept_run(it);
	assert_int_equal(enqueue(it).error, ERR_CONFLICT);
	lq_free(q);
}

int main(void)
{
	crypto_init();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fused_start_only_when_nothing_waits),
		cmocka_unit_test(test_priority_ages),
		cmocka_unit_test(test_newcomer_is_not_behind_the_crowd),
		cmocka_unit_test(test_capped_tenant_blocks_nobody),
		cmocka_unit_test(test_cap_that_falls_holds_at_once),
		cmocka_unit_test(test_cap_that_rises_starts_at_once),
		cmocka_unit_test(test_delayed_waits_for_its_tick),
		cmocka_unit_test(test_refusals_name_the_narrowest_limit),
		cmocka_unit_test(test_crash_is_charged_once),
		cmocka_unit_test(test_an_uncharged_end_is_no_crash),
		cmocka_unit_test(test_suspect_runs_alone_in_quarantine),
		cmocka_unit_test(test_quarantine_is_asked_for_again_when_it_died),
		cmocka_unit_test(test_progress_ends_the_suspicion),
		cmocka_unit_test(test_run_that_ran_goes_before_any_lane_pos),
		cmocka_unit_test(test_steer_is_signalled_and_taken),
		cmocka_unit_test(test_steer_is_taken_before_its_commit_is_known),
		cmocka_unit_test(test_steer_committed_after_the_end_is_the_next_run),
		cmocka_unit_test(test_steer_committed_before_the_end_is_the_next_run),
		cmocka_unit_test(test_steer_under_a_claim_is_told_at_the_start),
		cmocka_unit_test(test_delayed_steer_is_signalled_when_due),
		cmocka_unit_test(test_collect_is_debounced),
		cmocka_unit_test(test_collects_are_loaded_in_any_order),
		cmocka_unit_test(test_delay_that_passed_during_the_commit),
		cmocka_unit_test(test_interrupt_cancels_the_running_run),
		cmocka_unit_test(test_interrupt_of_a_claim_waits_for_its_landing),
		cmocka_unit_test(test_interrupt_and_cancel_make_a_retry_due),
		cmocka_unit_test(test_cancel_of_a_running_run),
		cmocka_unit_test(test_cancelled_before_it_started),
		cmocka_unit_test(test_an_unclaimed_run_is_not_cut_short_later),
		cmocka_unit_test(test_retry_holds_the_lane),
		cmocka_unit_test(test_a_claim_that_is_too_early_waits_uncharged),
		cmocka_unit_test(test_a_cancel_beside_a_claim_that_is_too_early),
		cmocka_unit_test(test_deadline_of_a_waiting_run),
		cmocka_unit_test(test_expire_of_a_claim_is_kept),
		cmocka_unit_test(test_kept_run_expires_later),
		cmocka_unit_test(test_deadline_of_a_delayed_run),
		cmocka_unit_test(test_no_deadline_in_retry_wait),
		cmocka_unit_test(test_full_lane_rejects),
		cmocka_unit_test(test_full_lane_drops_the_oldest),
		cmocka_unit_test(test_nothing_to_drop_rejects),
		cmocka_unit_test(test_full_lane_folds_the_oldest),
		cmocka_unit_test(test_lane_left_with_folded_runs_starts_them),
		cmocka_unit_test(test_folds_are_bounded),
		cmocka_unit_test(test_pauses_of_every_scope),
		cmocka_unit_test(test_what_ran_passes_pauses),
		cmocka_unit_test(test_a_claim_in_vain_waits_for_the_end_of_the_pause),
		cmocka_unit_test(test_a_pause_keeps_the_run_that_failed),
		cmocka_unit_test(test_hold_stops_starts_only),
		cmocka_unit_test(test_agent_at_its_cap_blocks_nobody),
		cmocka_unit_test(test_moved_slot_yields_once),
		cmocka_unit_test(test_claim_of_a_moved_slot_waits_again),
		cmocka_unit_test(test_why_names_the_narrowest_reason),
		cmocka_unit_test(test_looking_at_a_lane),
		cmocka_unit_test(test_a_taken_id_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
