/* SPDX-License-Identifier: Apache-2.0
 * The order of a turn, timers, descriptors, and freeing what is under way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/alloc.h"
#include "common/attr.h"
#include "common/clock.h"
#include "common/loop.h"

static struct loop *loop;
static char said[512];

static void say(const char *word)
{
	size_t n = strlen(said);
	snprintf(said + n, sizeof said - n, "%s ", word);
}

static void say_arg(void *arg)
{
	say(arg);
}

static int begin(void **state)
{
	(void)state;
	loop = loop_new();
	said[0] = 0;
	return 0;
}

static int finish(void **state)
{
	(void)state;
	loop_turn(loop, 0);
	loop_free(loop);
	return 0;
}

static char steps[] = "steps", database[] = "database", links[] = "links",
	    connections[] = "connections", task[] = "task", reaped[] = "reaped",
	    a[] = "a", b[] = "b", c[] = "c";

static void reap_in_task(void *arg)
{
	say_arg(arg);
	loop_reap(loop, say_arg, reaped);
}

static void test_order_of_a_turn(void **state)
{
	(void)state;
	struct loop_task t;
	loop_hook(loop, LOOP_CONNECTIONS, say_arg, connections);
	loop_hook(loop, LOOP_LINKS, say_arg, links);
	loop_hook(loop, LOOP_STEPS, say_arg, steps);
	loop_hook(loop, LOOP_DATABASE, say_arg, database);
	loop_task_init(&t, reap_in_task, task);
	loop_wake(loop, &t);
	loop_wake(loop, &t); /* any number of times, run once */
	loop_turn(loop, 0);
	assert_string_equal(said, "task steps database links connections reaped ");
	said[0] = 0;
	loop_turn(loop, 0);
	assert_string_equal(said, "steps database links connections ");
}

static struct loop_task other;

static void wake_other(void *arg)
{
	say_arg(arg);
	loop_wake(loop, &other);
}

static void test_tasks(void **state)
{
	(void)state;
	struct loop_task x, y, z;
	loop_task_init(&x, wake_other, a);
	loop_task_init(&y, say_arg, b);
	loop_task_init(&z, say_arg, c);
	loop_task_init(&other, say_arg, task);
	loop_wake(loop, &x);
	loop_wake(loop, &y);
	loop_wake(loop, &z);
	loop_unwake(loop, &y);
	loop_unwake(loop, &y);
	loop_turn(loop, 0);
	assert_string_equal(said,
			    "a c task "); /* the one woken by a task, in this turn */
	said[0] = 0;
	loop_wake(loop, &x);
	loop_wake(loop, &y);
	loop_unwake(loop, &y); /* the last one: the end of the queue moves back */
	loop_wake(loop, &z);
	loop_turn(loop, 0);
	assert_string_equal(said, "a c task ");
}

static void unhook_b(void *arg)
{
	say_arg(arg);
	loop_unhook(loop, say_arg, b);
}

static void unhook_self(void *arg)
{
	say_arg(arg);
	loop_unhook(loop, unhook_self, arg);
}

static void hook_more(void *arg)
{
	static char extra[] = "extra";
	say_arg(arg);
	for (int i = 0; i < 8; i++) /* the table of hooks moves meanwhile */
		loop_hook(loop, LOOP_STEPS, say_arg, extra);
	loop_unhook(loop, hook_more, arg);
	loop_unhook(loop, say_arg, extra);
}

static void test_unhook_inside_a_hook(void **state)
{
	(void)state;
	loop_hook(loop, LOOP_STEPS, unhook_b, a);
	loop_hook(loop, LOOP_STEPS, say_arg, b);
	loop_hook(loop, LOOP_STEPS, unhook_self, c);
	loop_hook(loop, LOOP_LINKS, say_arg, links);
	loop_turn(loop, 0);
	assert_string_equal(said, "a c links ");
	said[0] = 0;
	loop_turn(loop, 0);
	assert_string_equal(said, "a links ");
	said[0] = 0;
	loop_unhook(loop, unhook_b, a);
	loop_hook(loop, LOOP_STEPS, hook_more, task);
	loop_turn(loop, 0);
	loop_turn(loop, 0);
	assert_string_equal(said, "task links links ");
}

static int turns;
static void again_thrice(void *arg)
{
	(void)arg;
	if (++turns < 4)
		loop_again(loop);
}

/* loop_again makes the next turn not sleep; without it a turn waits for its event. */
static void test_again(void **state)
{
	(void)state;
	turns = 0;
	loop_hook(loop, LOOP_LINKS, again_thrice, NULL);
	int64_t start_us = clock_mono_us();
	for (int i = 0; i < 4; i++)
		loop_turn(loop, i == 0 ? 0 : 60000);
	assert_true(clock_mono_us() - start_us < 30000000);
	assert_int_equal(turns, 4);
	struct loop_task t; /* nor does a task that a hook woke have to wait */
	loop_task_init(&t, say_arg, a);
	loop_wake(loop, &t);
	loop_turn(loop, 60000);
	assert_string_equal(said, "a ");
	assert_true(clock_mono_us() - start_us < 30000000);
}

static struct loop_timer *timer, *second;

static void stop_second(void *arg)
{
	say_arg(arg);
	loop_timer_stop(second);
}

static void turn_until_said(size_t n)
{
	int64_t end_us = clock_mono_us() + 10000000;
	while (strlen(said) < n && clock_mono_us() < end_us)
		loop_turn(loop, 50);
}

static void test_timers(void **state)
{
	(void)state;
	timer = loop_timer_new(loop, say_arg, a);
	second = loop_timer_new(loop, say_arg, b);
	assert_false(loop_timer_is_running(timer));
	loop_timer_start(timer, 1000);
	loop_timer_start(second, 3600000000);
	assert_true(loop_timer_is_running(timer));
	turn_until_said(2);
	assert_string_equal(said, "a ");
	assert_false(loop_timer_is_running(timer)); /* one-shot */
	loop_timer_start(second, -5);               /* moved: at once */
	turn_until_said(4);
	assert_string_equal(said, "a b ");
	loop_timer_start(timer, 0);
	loop_timer_stop(timer);
	loop_timer_stop(timer);
	loop_turn(loop, 3);
	assert_string_equal(said, "a b ");
	/* earlier ones first, whatever the order of starting */
	loop_timer_start(second, 3000);
	loop_timer_start(timer, 1000);
	turn_until_said(8);
	assert_string_equal(said, "a b a b ");
	loop_timer_free(timer);
	loop_timer_start(second, 0);
	loop_timer_free(second);
	loop_timer_free(NULL);
	loop_turn(loop, 3);
	assert_string_equal(said, "a b a b ");
}

/* Two that are due together: the first stops, or frees, the second. */
static void test_timer_stopped_by_another(void **state)
{
	(void)state;
	timer = loop_timer_new(loop, stop_second, a);
	second = loop_timer_new(loop, say_arg, b);
	loop_timer_start(timer, 0);
	loop_timer_start(second, 0);
	turn_until_said(2);
	loop_turn(loop, 3);
	assert_string_equal(said, "a ");
	loop_timer_free(timer);
	loop_timer_free(second);
}

static struct loop_fd *watch[2];
static int ends[2][2];

static void on_fd(void *arg, int what)
{
	char byte;
	int i = (int)(intptr_t)arg;
	assert_int_equal(what, LOOP_READ);
	assert_int_equal(read(ends[i][0], &byte, 1), 1);
	say(i ? "fd1" : "fd0");
	loop_fd_free(watch[!i]); /* its callback was collected already */
	watch[!i] = NULL;
	close(ends[!i][0]);
}

static void test_fd_freed_by_another(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pipe(ends[i]), 0);
		watch[i] = loop_fd_new(loop, ends[i][0], LOOP_READ, on_fd,
				       (void *)(intptr_t)i);
		assert_int_equal(write(ends[i][1], "xx", 2), 2);
	}
	loop_turn(loop, 1000);
	assert_int_equal(strlen(said), 4); /* one of the two, once */
	int left = said[2] - '0';
	loop_fd_free(watch[left]);
	close(ends[left][0]);
	close(ends[0][1]);
	close(ends[1][1]);
}

static int whats;
static void note_what(void *arg, int what)
{
	(void)arg;
	whats |= what;
}

static void test_fd_interest(void **state)
{
	(void)state;
	int p[2];
	assert_int_equal(pipe(p), 0);
	struct loop_fd *r = loop_fd_new(loop, p[0], 0, note_what, NULL);
	struct loop_fd *w = loop_fd_new(loop, p[1], LOOP_WRITE, note_what, NULL);
	assert_int_equal(write(p[1], "x", 1), 1);
	loop_turn(loop, 100);
	assert_int_equal(whats, LOOP_WRITE); /* nothing is watched of the reader */
	loop_fd_set(w, 0);
	loop_fd_set(r, LOOP_READ);
	whats = 0;
	loop_turn(loop, 1000);
	assert_int_equal(whats, LOOP_READ);
	whats = 0;
	loop_turn(loop, 1000); /* level-triggered */
	assert_int_equal(whats, LOOP_READ);
	loop_fd_free(r);
	loop_fd_free(w);
	loop_fd_free(NULL);
	close(p[0]);
	close(p[1]);
}

static void on_signal(void *arg, int signo)
{
	say_arg(arg);
	assert_int_equal(signo, SIGUSR1);
	loop_stop(loop);
}

static void test_signal_and_stop(void **state)
{
	(void)state;
	loop_signal(loop, SIGUSR1, on_signal, a);
	raise(SIGUSR1);
	loop_run(loop);
	assert_string_equal(said, "a ");
	assert_true(loop_now_us(loop) <= clock_mono_us());
	assert_true(clock_mono_us() - loop_now_us(loop) < 60000000);
	loop_worst_us(loop);
	assert_int_equal(loop_worst_us(loop), 0);
}

static void reap_more(void *p)
{
	say("outer");
	loop_reap(loop, say_arg, p);
}

static void test_reap(void **state)
{
	(void)state;
	loop_reap(loop, reap_more, a);
	assert_string_equal(said, "");
	loop_turn(loop, 0);
	assert_string_equal(said, "outer a "); /* what is reaped by a reaper goes too */
	loop_turn(loop, 0);
	assert_string_equal(said, "outer a ");
	loop_reap(loop, free, xmalloc(10)); /* one left at the loop's end is no leak */
}

static int finish_at_once(void **state)
{
	(void)state;
	loop_free(loop);
	return 0;
}

#define STORY(fn) cmocka_unit_test_setup_teardown(fn, begin, finish)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORY(test_order_of_a_turn),
		STORY(test_tasks),
		STORY(test_unhook_inside_a_hook),
		STORY(test_again),
		STORY(test_timers),
		STORY(test_timer_stopped_by_another),
		STORY(test_fd_freed_by_another),
		STORY(test_fd_interest),
		STORY(test_signal_and_stop),
		cmocka_unit_test_setup_teardown(test_reap, begin, finish_at_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
