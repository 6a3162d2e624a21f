/* SPDX-License-Identifier: Apache-2.0
 * Log lines as they reach descriptor 2: one line each, whatever the values hold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <stdbool.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/log.h"

static char got[20000];
static size_t got_n;

/* What is written to descriptor 2 until reading() lands in got. */
static int pipe_fd[2], saved;

static void capture(void)
{
	assert_int_equal(pipe(pipe_fd), 0);
	saved = dup(STDERR_FILENO);
	dup2(pipe_fd[1], STDERR_FILENO);
	close(pipe_fd[1]);
}

static const char *captured(void)
{
	ssize_t n;
	dup2(saved, STDERR_FILENO);
	close(saved);
	got_n = 0;
	while ((n = read(pipe_fd[0], got + got_n, sizeof got - 1 - got_n)) > 0)
		got_n += (size_t)n;
	got[got_n] = 0;
	close(pipe_fd[0]);
	return got;
}

static int lines(void)
{
	int n = 0;
	for (const char *p = got; *p; p++)
		n += *p == '\n';
	return n;
}

static void test_before_init(void **state)
{
	(void)state;
	capture();
	log_debug("hidden", " ");
	log_info("said", " ");
	captured();
	assert_int_equal(lines(), 1);
	assert_non_null(strstr(got, "Z level=info proc=- event=said\n"));
	assert_memory_equal(got, "ts=2", 4);
}

static void test_levels(void **state)
{
	(void)state;
	log_init("worker.2", LOG_WARN);
	capture();
	log_info("no", "a=%d", 1);
	log_warn("warned", "a=%d b=%s", 1, "x");
	log_error("broke", "a=%d", 2);
	captured();
	assert_int_equal(lines(), 2);
	assert_non_null(strstr(got, " level=warn proc=worker.2 event=warned a=1 b=x\n"));
	assert_non_null(strstr(got, " level=error proc=worker.2 event=broke a=2\n"));
	assert_int_equal(log_level_parse("debug"), LOG_DEBUG);
	assert_int_equal(log_level_parse("error"), LOG_ERROR);
	assert_int_equal(log_level_parse("Error"), -1);
	assert_int_equal(log_level_parse(""), -1);
}

/* A value cannot begin a line, nor move a terminal's cursor. */
static void test_control_bytes(void **state)
{
	(void)state;
	capture();
	log_error("bad-value", "message=\"%s\"",
		  "a\nts=2020 level=info\r\x1b[2J\x7f\t\x01z\xc3\xa4");
	captured();
	assert_int_equal(lines(), 1);
	for (size_t i = 0; i + 1 < got_n; i++)
		assert_false((unsigned char)got[i] < 0x20 || got[i] == 0x7f);
	assert_non_null(strstr(got, "z\xc3\xa4\"\n"));
}

/* Nor can it end itself and forge a further key. */
static void test_quotes(void **state)
{
	(void)state;
	capture();
	log_error("sql", "a=\"%s\" b=%d c=\"%.*s\"", "relation \"x\" level=info y=\"", 7,
		  4, "\x01\x02\"z and more");
	log_error("plain", "a=%s", "\"q\"");
	captured();
	assert_int_equal(lines(), 2);
	assert_non_null(strstr(
		got, " event=sql a=\"relation 'x' level=info y='\" b=7 c=\"  'z\"\n"));
	assert_non_null(strstr(got, " event=plain a='q'\n"));
}

static void test_long_lines_are_cut(void **state)
{
	(void)state;
	static char value[9000];
	for (size_t n = 3900; n < 4200; n++) {
		memset(value, 'v', n);
		value[n] = 0;
		capture();
		log_error("long", "a=%s", value);
		captured();
		assert_int_equal(lines(), 1);
		assert_true(got_n <= 4096);
		assert_int_equal(got[got_n - 1], '\n');
		bool whole = strstr(got, value) != NULL;
		assert_int_equal(strstr(got, " cut=yes\n") == NULL, whole);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_before_init), cmocka_unit_test(test_levels),
		cmocka_unit_test(test_control_bytes), cmocka_unit_test(test_quotes),
		cmocka_unit_test(test_long_lines_are_cut)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
