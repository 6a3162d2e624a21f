/* SPDX-License-Identifier: Apache-2.0
 * The supervisor's own steps: when the queue's time is up, and when it may start. Loop
 * and queue are real; children, workers and journal are this file's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/loop.h"
#include "supervisor/children.h"
#include "supervisor/journal.h"
#include "supervisor/sup.h"
#include "supervisor/workers.h"

#define HOUR_US 3600000000LL

static struct sup sup;
static unsigned pending, alive, closed, stopped, claims;

void children_start(struct sup *s)
{
	(void)s;
}
void children_drain(struct sup *s, enum boot_role role, unsigned grace_ms)
{
	(void)s, (void)role, (void)grace_ms;
}
void children_close(struct sup *s, enum boot_role role)
{
	(void)s, (void)role;
	closed++;
}
void children_kill(struct sup *s)
{
	(void)s;
}
int children_alive(const struct sup *s)
{
	(void)s;
	return (int)alive;
}
void child_send(struct child *c, enum wire_id id, const void *msg)
{
	(void)c, (void)id, (void)msg;
}
void workers_look(struct sup *s)
{
	(void)s;
}
bool journal_is_full(const struct journal *j)
{
	(void)j;
	return false;
}
bool journal_is_up(const struct journal *j)
{
	(void)j;
	return true;
}
unsigned journal_pending(const struct journal *j)
{
	(void)j;
	return pending;
}
void journal_stop(struct journal *j, void (*done)(void *arg), void *arg)
{
	(void)j, (void)done, (void)arg;
	stopped++;
}

static void on_action(void *ctx, const struct lq_action *a)
{
	(void)ctx;
	claims += a->kind == LQ_DO_CLAIM;
}

static void on_tick(void *arg)
{
	struct sup *s = arg;
	sup_step(s, &(struct lq_event){.kind = LQ_TICK, .now_us = sup_db_now_us(s)});
}

static int set_up(void **state)
{
	static const struct lq_limits limits = {10, 10, 10};
	static int16_t slots[LIMIT_SLOTS]; /* all of worker 0 */
	(void)state;
	memset(&sup, 0, sizeof sup);
	pending = alive = closed = stopped = claims = 0;
	list_init(&sup.children);
	sup.state = SUP_SERVING;
	sup.loop = loop_new();
	sup.lq = lq_new(&limits, on_action, NULL);
	sup.tick = loop_timer_new(sup.loop, on_tick, &sup);
	sup.drain_limit = loop_timer_new(sup.loop, on_tick, &sup);
	sup_set_clock(&sup, clock_real_us() - clock_boot_us());
	sup_step(&sup, &(struct lq_event){.kind = LQ_SLOTS, .slots = slots});
	sup_step(&sup, &(struct lq_event){.kind = LQ_WORKER_UP});
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	loop_timer_free(sup.tick);
	loop_timer_free(sup.drain_limit);
	lq_free(sup.lq);
	loop_free(sup.loop);
	return 0;
}

static void load(int64_t run_at_us)
{
	struct lq_item it = {.tenant = 1,
			     .tenant_max_running = 1,
			     .tenant_max_queued = 1,
			     .run = {{1}},
			     .mode = MODE_FOLLOWUP,
			     .order_us = 1,
			     .run_at_us = run_at_us};
	sup_step(&sup, &(struct lq_event){.kind = LQ_LOADED,
					  .item = &it,
					  .now_us = sup_db_now_us(&sup)});
}

/* At most so many seconds. */
static void turn_until(const unsigned *what, int seconds)
{
	int64_t end_us = clock_mono_us() + seconds * 1000000LL;
	while (!*what && clock_mono_us() < end_us)
		loop_turn(sup.loop, 100);
}

/* The database's clock steps ahead over the time at which a run is due. */
static void test_a_step_of_the_databases_clock(void **state)
{
	(void)state;
	load(sup_db_now_us(&sup) + HOUR_US);
	loop_turn(sup.loop, 0);
	assert_int_equal(claims, 0);
	sup_set_clock(&sup, sup.db_offset_us + HOUR_US);
	turn_until(&claims, 20);
	assert_int_equal(claims, 1);
}

/* Back: nothing starts early, and what is due later is aimed at again. */
static void test_a_step_back(void **state)
{
	(void)state;
	load(sup_db_now_us(&sup) + 50000);
	sup_set_clock(&sup, sup.db_offset_us - HOUR_US);
	int64_t end_us = clock_mono_us() + 100000;
	while (clock_mono_us() < end_us)
		loop_turn(sup.loop, 20);
	assert_int_equal(claims, 0);
	sup_set_clock(&sup, sup.db_offset_us + HOUR_US);
	turn_until(&claims, 20);
	assert_int_equal(claims, 1);
}

/* The lease comes back while the net still loads what slipped. */
static void test_a_load_keeps_the_hold(void **state)
{
	(void)state;
	sup_step(&sup, &(struct lq_event){.kind = LQ_HOLD});
	load(0);
	sup_release(&sup); /* no lease */
	assert_true(lq_stats(sup.lq).held);
	sup.lease_held = sup.loading = true;
	sup_release(&sup);
	assert_true(lq_stats(sup.lq).held);
	assert_int_equal(claims, 0);
	sup.loading = false;
	sup.state = SUP_DRAINING;
	sup_release(&sup);
	assert_true(lq_stats(sup.lq).held);
	sup.state = SUP_SERVING;
	sup_release(&sup);
	assert_int_equal(claims, 1);
}

/* One look at the end of a turn is enough, whatever ended the last run or commit. */
static void test_a_drain_goes_on_by_looking(void **state)
{
	(void)state;
	load(0);
	assert_int_equal(claims, 1);
	sup_drain(&sup);
	sup_look(&sup);
	assert_int_equal(sup.state, SUP_DRAINING); /* its claim is under way */
	struct lq_run *r = lq_find(sup.lq, (struct uuid){{1}});
	sup_step(&sup, &(struct lq_event){.kind = LQ_CLAIMED, .run = r});
	pending = 1;
	sup_look(&sup);
	sup_step(&sup, &(struct lq_event){.kind = LQ_YIELDED, .run = r});
	sup_look(&sup);
	assert_int_equal(sup.state, SUP_DRAINING); /* a commit is under way */
	pending = 0;
	alive = 1;
	sup_look(&sup);
	assert_int_equal(sup.state, SUP_STOPPING);
	assert_int_equal(closed, 2);
	assert_int_equal(stopped, 0);
	alive = 0;
	sup_look(&sup);
	sup_look(&sup);
	assert_int_equal(stopped, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_step_of_the_databases_clock,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_step_back, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_load_keeps_the_hold, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_a_drain_goes_on_by_looking, set_up,
						tear_down),
	};
	log_init("test", LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
