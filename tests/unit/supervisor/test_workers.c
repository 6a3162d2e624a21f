/* SPDX-License-Identifier: Apache-2.0
 * Who may leave, and that who shall leave does: with a pretended loop, whose timers fire
 * when the test says so, and pretended births; the processes are real. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/log.h"
#include "common/loop.h"
#include "supervisor/children.h"
#include "supervisor/sup.h"
#include "supervisor/workers.h"

/* ---- the pretended loop */

struct loop_timer {
	loop_timer_fn *fn;
	void *arg;
	int64_t delay_us;
	bool runs;
};

static struct loop_timer *idle; /* of the quarantine worker: workers_new makes it first */

struct loop_timer *loop_timer_new(struct loop *l, loop_timer_fn *fn, void *arg)
{
	struct loop_timer *t = xcalloc(1, sizeof *t);
	(void)l;
	idle = idle ? idle : t;
	*t = (struct loop_timer){.fn = fn, .arg = arg};
	return t;
}

void loop_timer_start(struct loop_timer *t, int64_t delay_us)
{
	t->runs = true;
	t->delay_us = delay_us;
}

void loop_timer_stop(struct loop_timer *t)
{
	t->runs = false;
}

static void fire(struct loop_timer *t)
{
	assert_non_null(t);
	assert_true(t->runs);
	t->runs = false;
	t->fn(t->arg);
}

/* ---- the pretended children */

#define CHILDREN 4
static struct sup sup;
static struct child children[CHILDREN];
static int child_count, left;

struct child *child_worker(struct sup *s, int ordinal)
{
	list_each (at, &s->children) {
		struct child *c = list_entry(at, struct child, node);
		if (c->ordinal == ordinal)
			return c;
	}
	return NULL;
}

void children_add(struct sup *s, int ordinal)
{
	struct child *c = &children[child_count++];
	*c = (struct child){.sup = s,
			    .role = ROLE_WORKER,
			    .ordinal = ordinal,
			    .state = LIFE_STARTING,
			    .pid = -1};
	list_push(&s->children, &c->node);
}

void child_close(struct child *c)
{
	c->chan = NULL;
}

void child_left(struct child *c)
{
	list_remove(&c->node);
	left++;
}

void sup_step(struct sup *s, const struct lq_event *e)
{
	lq_step(s->lq, e);
}

static void on_action(void *ctx, const struct lq_action *a)
{
	(void)ctx;
	if (a->kind == LQ_DO_QUARANTINE)
		workers_quarantine(&sup);
}

/* One that takes no notice of the end of its link. */
static void make_ready(int ordinal)
{
	struct child *c = child_worker(&sup, ordinal);
	c->state = LIFE_READY;
	c->pid = fork();
	assert_true(c->pid >= 0);
	if (c->pid == 0)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (c->pid == 0)
		pause();
	workers_place(&sup);
	sup_step(&sup, &(struct lq_event){.kind = LQ_WORKER_UP, .worker = ordinal});
}

static void set_up(int workers)
{
	static const struct lq_limits limits = {10, 10, 10};
	memset(&sup, 0, sizeof sup);
	list_init(&sup.children);
	idle = NULL;
	child_count = left = 0;
	sup.state = SUP_SERVING;
	sup.config.workers = workers;
	sup.lq = lq_new(&limits, on_action, NULL);
	sup.workers = workers_new(&sup);
	for (int i = 0; i < workers; i++)
		children_add(&sup, i);
}

/* How that process ended; 0: it lives. */
static int signal_of(pid_t pid)
{
	int status;
	pid_t got = waitpid(pid, &status, WNOHANG);
	return got == pid && WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static int await_signal(pid_t pid)
{
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void tear_down(void)
{
	list_each (at, &sup.children) {
		struct child *c = list_entry(at, struct child, node);
		if (c->pid > 0 && kill(c->pid, SIGKILL) == 0)
			waitpid(c->pid, NULL, 0);
		free(c->leave_limit);
	}
	lq_free(sup.lq);
	free(idle);
	free(sup.workers);
}

/* ---- */

/* Stopped, it would neither end nor make room for the next one. */
static void test_a_stuck_quarantine_worker_is_ended(void **state)
{
	(void)state;
	set_up(1);
	make_ready(0);
	workers_quarantine(&sup);
	workers_look(&sup);
	make_ready(LQ_QUARANTINE);
	struct child *c = child_worker(&sup, LQ_QUARANTINE);
	kill(c->pid, SIGSTOP);
	fire(idle);
	assert_int_equal(c->leave, LEAVE_GONE);
	assert_int_equal(signal_of(c->pid), 0); /* it has a moment to end by itself */
	fire(c->leave_limit);
	assert_int_equal(await_signal(c->pid), SIGKILL);
	c->pid = -1;
	tear_down();
}

static void test_a_quarantine_worker_at_work_stays(void **state)
{
	struct lq_item it = {.tenant = 1,
			     .tenant_max_running = 1,
			     .tenant_max_queued = 1,
			     .run = {{1}},
			     .mode = MODE_FOLLOWUP,
			     .order_us = 1,
			     .ran = true,
			     .crashes = LQ_SUSPECT_CRASHES};
	(void)state;
	set_up(1);
	make_ready(0);
	sup_step(&sup, &(struct lq_event){.kind = LQ_LOADED, .item = &it});
	workers_look(&sup);
	make_ready(LQ_QUARANTINE);
	assert_int_equal(lq_worker_running(sup.lq, LQ_QUARANTINE), 1);
	fire(idle);
	assert_int_equal(child_worker(&sup, LQ_QUARANTINE)->leave, LEAVE_NOT);
	assert_true(idle->runs);
	tear_down();
}

/* One that only crashes serves nobody when the other is gone. */
static void test_the_last_of_use_is_not_drained(void **state)
{
	(void)state;
	set_up(2);
	make_ready(0);
	struct child *crashes = child_worker(&sup, 1);
	assert_int_equal(workers_drain(&sup, 5), ERR_NOT_FOUND);
	crashes->state = LIFE_DOWN;
	crashes->deaths = 3;
	assert_int_equal(workers_drain(&sup, 0), ERR_CONFLICT);
	crashes->state = LIFE_STARTING;
	assert_int_equal(workers_drain(&sup, 0), ERR_CONFLICT);
	assert_int_equal(workers_drain(&sup, 1), ERR_OK); /* that one may go */
	assert_int_equal(workers_drain(&sup, 0), ERR_CONFLICT);
	tear_down();
}

static void test_one_that_is_born_stays(void **state)
{
	(void)state;
	set_up(2);
	make_ready(0);
	assert_int_equal(workers_drain(&sup, 0), ERR_OK); /* the other one starts */
	workers_look(&sup);
	fire(child_worker(&sup, 0)->leave_limit);
	fire(child_worker(&sup, 0)->leave_limit);
	assert_int_equal(await_signal(child_worker(&sup, 0)->pid), SIGKILL);
	child_worker(&sup, 0)->pid = -1;
	tear_down();
}

/* A run that never comes to a boundary: taken from it after its time, and run elsewhere.
 */
static void test_who_does_not_leave_in_time(void **state)
{
	struct lq_item it = {.tenant = 1,
			     .tenant_max_running = 9,
			     .tenant_max_queued = 9,
			     .run = {{1}},
			     .slot = 7,
			     .mode = MODE_FOLLOWUP,
			     .order_us = 1};
	(void)state;
	set_up(2);
	make_ready(0);
	make_ready(1);
	assert_int_equal(workers_pin(&sup, 7, 0), ERR_OK);
	sup_step(&sup, &(struct lq_event){.kind = LQ_LOADED, .item = &it});
	struct lq_run *r = lq_find(sup.lq, it.run);
	sup_step(&sup, &(struct lq_event){.kind = LQ_CLAIMED, .run = r});
	assert_int_equal(lq_run_worker(r), 0);

	assert_int_equal(workers_drain(&sup, 0), ERR_OK);
	struct child *c = child_worker(&sup, 0);
	int link;
	c->chan = (struct chan *)&link;
	workers_look(&sup);
	assert_non_null(c->chan); /* it works for a run still */
	assert_int_equal(c->leave_limit->delay_us, 60000000);
	assert_int_equal(lq_worker_running(sup.lq, 0), 1);

	fire(c->leave_limit);
	assert_null(c->chan);
	assert_int_equal(lq_run_state(r), LQ_S_CLAIMING);
	assert_int_equal(lq_run_worker(r), 1);
	assert_int_equal(lq_worker_running(sup.lq, 0), 0);
	assert_int_equal(signal_of(c->pid), 0); /* it has a moment to end by itself */
	fire(c->leave_limit);
	assert_int_equal(await_signal(c->pid), SIGKILL);
	c->pid = -1;
	tear_down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_stuck_quarantine_worker_is_ended),
		cmocka_unit_test(test_a_quarantine_worker_at_work_stays),
		cmocka_unit_test(test_the_last_of_use_is_not_drained),
		cmocka_unit_test(test_one_that_is_born_stays),
		cmocka_unit_test(test_who_does_not_leave_in_time),
	};
	log_init("test", LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
