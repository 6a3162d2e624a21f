/* SPDX-License-Identifier: Apache-2.0
 * Pieces of what a program prints: when, how long, and never half a character. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/loop.h"
#include "worker/tools/show.h"

static struct loop *loop;
static struct tool_env env;
static struct tool_call call;
static struct show show;
static struct {
	int stream;
	uint64_t offset;
	size_t n;
	char text[SHOW_PIECE + 1];
} told[200];
static int told_n;
static bool room;

static bool on_show(struct tool_call *c, int stream, struct slice text, uint64_t offset)
{
	assert_ptr_equal(c, &call);
	if (!room)
		return false;
	assert_true(told_n < 200 && text.n <= SHOW_PIECE);
	told[told_n].stream = stream;
	told[told_n].offset = offset;
	told[told_n].n = text.n;
	memcpy(told[told_n].text, text.p, text.n);
	told[told_n++].text[text.n] = 0;
	return true;
}

static int begin(void **state)
{
	(void)state;
	loop = loop_new();
	env = (struct tool_env){.loop = loop};
	call = (struct tool_call){.env = &env, .show = on_show};
	told_n = 0;
	room = true;
	show_init(&show, &call);
	return 0;
}

static int finish(void **state)
{
	(void)state;
	show_fini(&show);
	loop_turn(loop, 0);
	loop_free(loop);
	return 0;
}

/* Until n pieces were told. */
static void await(int n)
{
	while (told_n < n)
		loop_turn(loop, 1000);
	assert_int_equal(told_n, n);
}

static void test_what_ends_at_once_is_not_shown(void **state)
{
	(void)state;
	show_add(&show, 1, SLICE("its result says it"));
	show_end(&show);
	assert_int_equal(told_n, 0);
}

static void test_pieces(void **state)
{
	(void)state;
	int64_t began_us = loop_now_us(loop);
	show_add(&show, 1, SLICE("one "));
	show_add(&show, 1, SLICE("two\xE2\x82"));
	show_add(&show, 2, SLICE("err"));
	assert_int_equal(told_n, 0);
	await(2);
	assert_true(loop_now_us(loop) - began_us >= 2 * SHOW_PAUSE_US);
	assert_string_equal(told[0].text, "one two");
	assert_int_equal(told[0].offset, 0);
	assert_string_equal(told[1].text, "err");
	assert_int_equal(told[1].stream, 2);
	show_add(&show, 1, SLICE("\xAC"));
	await(3);
	assert_string_equal(told[2].text, "\xE2\x82\xAC");
	assert_int_equal(told[2].offset, 7);
	show_add(&show, 1, SLICE("end\xC3"));
	show_end(&show); /* nothing will make it whole */
	assert_int_equal(told_n, 4);
	assert_string_equal(told[3].text, "end\xC3");
	assert_int_equal(told[3].offset, 10);
	show_end(&show);
	show_add(&show, 1, SLICE("late"));
	assert_int_equal(told_n, 4);
}

static void test_what_is_not_text_is_named_once(void **state)
{
	(void)state;
	show_add(&show, 1, slice_of("a\0b", 3));
	show_add(&show, 1, SLICE("more"));
	await(1);
	assert_string_equal(told[0].text, "[binary]");
	show_end(&show);
	assert_int_equal(told_n, 1);
}

static void test_what_comes_too_fast_is_passed_over(void **state)
{
	(void)state;
	static char much[40000];
	memset(much, 'x', sizeof much);
	room = false;
	show_add(&show, 1, slice_of(much, sizeof much));
	show_add(&show, 1, SLICE("passed over"));
	room = true;
	await(8); /* 16 KiB waited */
	for (int i = 0; i < 8; i++)
		assert_int_equal(told[i].offset, i * SHOW_PIECE);
	show_add(&show, 1, SLICE("seen"));
	await(9);
	assert_string_equal(told[8].text, "seen");
	assert_int_equal(told[8].offset, sizeof much + 11);
}

static void test_a_call_shows_so_much(void **state)
{
	(void)state;
	static char much[16384];
	memset(much, 'x', sizeof much);
	size_t all = 0;
	show_add(&show, 1, SLICE("x"));
	await(1);
	for (int i = 0; i < 20; i++)
		show_add(&show, 1 + i % 2, slice_of(much, sizeof much));
	show_end(&show);
	for (int i = 0; i < told_n; i++)
		all += told[i].n;
	assert_in_range(all, 2 * sizeof much, SHOW_MOST + SHOW_PIECE);
	finish(NULL);
	begin(NULL);
	show.told = SHOW_MOST - 1;
	show_add(&show, 1, SLICE("last"));
	await(2);
	assert_string_equal(told[0].text, "last");
	assert_non_null(strstr(told[1].text, "not shown"));
	show_add(&show, 2, SLICE("never"));
	show_end(&show);
	assert_int_equal(told_n, 2);
}

static void test_nobody_follows(void **state)
{
	(void)state;
	show_fini(&show);
	call.show = NULL;
	show_init(&show, &call);
	show_add(&show, 1, SLICE("x"));
	show_end(&show);
	assert_int_equal(told_n, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, finish)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_what_ends_at_once_is_not_shown),
		TEST(test_pieces),
		TEST(test_what_is_not_text_is_named_once),
		TEST(test_what_comes_too_fast_is_passed_over),
		TEST(test_a_call_shows_so_much),
		TEST(test_nobody_follows),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
