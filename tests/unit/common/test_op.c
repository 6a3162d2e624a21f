/* SPDX-License-Identifier: Apache-2.0
 * Operations: one completion each, by result, cancellation or deadline. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <sys/resource.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/loop.h"
#include "common/op.h"

static struct loop *loop;
static int done_n, cancel_n;
static enum err done_as;
static bool late; /* the provider ends a cancelled operation later */
static enum err late_why;

static void on_done(struct op *op, enum err result, void *arg)
{
	assert_ptr_equal(arg, &done_n);
	assert_false(op_is_active(op));
	done_n++;
	done_as = result;
}

static void on_cancel(struct op *op, enum err why, void *provider)
{
	assert_ptr_equal(provider, &cancel_n);
	cancel_n++;
	late_why = why;
	if (!late)
		op_finish(op, why);
}

static int begin(void **state)
{
	(void)state;
	loop = loop_new();
	done_n = cancel_n = 0;
	late = false;
	return 0;
}

static int finish(void **state)
{
	(void)state;
	loop_turn(loop, 0);
	loop_free(loop);
	return 0;
}

static void test_finish(void **state)
{
	(void)state;
	struct op op;
	op_init(&op, loop, on_done, &done_n);
	assert_false(op_is_active(&op));
	op_cancel(&op, ERR_CANCELLED); /* nothing is active */
	assert_int_equal(cancel_n + done_n, 0);
	op_start(&op, on_cancel, &cancel_n, 0);
	assert_true(op_is_active(&op));
	op_finish(&op, ERR_NETWORK);
	assert_int_equal(done_n, 1);
	assert_int_equal(done_as, ERR_NETWORK);
	op_cancel(&op, ERR_CANCELLED); /* too late */
	assert_int_equal(cancel_n, 0);
	assert_int_equal(done_n, 1);
	op_start(&op, on_cancel, &cancel_n, 0); /* and it may be used again */
	op_finish(&op, ERR_OK);
	assert_int_equal(done_n, 2);
}

static void test_cancel(void **state)
{
	(void)state;
	struct op op;
	op_init(&op, loop, on_done, &done_n);
	op_start(&op, on_cancel, &cancel_n, 3600000000);
	op_cancel(&op, ERR_CANCELLED);
	assert_int_equal(done_n, 1);
	assert_int_equal(done_as, ERR_CANCELLED);
	op_cancel(&op, ERR_CANCELLED);
	assert_int_equal(cancel_n, 1);
}

static void test_cancel_that_takes_time(void **state)
{
	(void)state;
	struct op op;
	late = true;
	op_init(&op, loop, on_done, &done_n);
	op_start(&op, on_cancel, &cancel_n, 0);
	op_cancel(&op, ERR_BUDGET);
	assert_int_equal(done_n, 0);
	assert_true(op_is_active(&op));
	op_finish(&op, late_why);
	assert_int_equal(done_as, ERR_BUDGET);
	assert_int_equal(done_n, 1);
}

static void test_deadline(void **state)
{
	(void)state;
	struct op op;
	op_init(&op, loop, on_done, &done_n);
	op_start(&op, on_cancel, &cancel_n, 2000);
	for (int i = 0; i < 100 && !done_n; i++)
		loop_turn(loop, 100);
	assert_int_equal(done_n, 1);
	assert_int_equal(done_as, ERR_TIMEOUT);
	assert_int_equal(cancel_n, 1);
}

static void test_no_deadline_after_the_end(void **state)
{
	(void)state;
	struct op op;
	op_init(&op, loop, on_done, &done_n);
	op_start(&op, on_cancel, &cancel_n, 1000);
	op_finish(&op, ERR_OK);
	memset(&op, 0xee, sizeof op); /* its memory is the owner's again */
	for (int i = 0; i < 3; i++)
		loop_turn(loop, 2);
	assert_int_equal(done_n, 1);
	assert_int_equal(cancel_n, 0);
}

/* Two completions are a bug, and end the process. */
static void test_twice_is_a_bug(void **state)
{
	(void)state;
	int status;
	pid_t pid = fork();
	if (pid == 0) {
		struct op op;
		struct rlimit none = {0, 0};
		setrlimit(RLIMIT_CORE, &none);
		close(STDERR_FILENO);
		op_init(&op, loop, on_done, &done_n);
		op_start(&op, on_cancel, &cancel_n, 0);
		op_finish(&op, ERR_OK);
		op_finish(&op, ERR_OK);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) != 0);
}

#define STORY(fn) cmocka_unit_test_setup_teardown(fn, begin, finish)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORY(test_finish),
		STORY(test_cancel),
		STORY(test_cancel_that_takes_time),
		STORY(test_deadline),
		STORY(test_no_deadline_after_the_end),
		STORY(test_twice_is_a_bug),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
