/* SPDX-License-Identifier: Apache-2.0
 * The event-stream reader: the cases of WHATWG HTML 9.2.6, and that the pieces in which a
 * stream comes do not matter. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/alloc.h"
#include "common/attr.h"
#include "common/http/sse.h"
#include "tests/unit/common/rand.h"

#define MOST 4096

struct seen {
	struct strbuf text; /* event|data|id; of each event */
	int events;
	enum err answer; /* what the consumer returns */
};

static enum err on_event(void *arg, const struct sse_event *e)
{
	struct seen *s = arg;
	strbuf_add_slice(&s->text, e->event);
	strbuf_add_char(&s->text, '|');
	strbuf_add_slice(&s->text, e->data);
	strbuf_add_char(&s->text, '|');
	strbuf_add_slice(&s->text, e->id);
	strbuf_add_char(&s->text, ';');
	s->events++;
	return s->answer;
}

/* An exact copy on the heap: reading beyond it is seen by sanitizers. */
static enum err feed(struct sse_reader *r, struct slice s)
{
	char *copy = malloc(s.n + (s.n == 0));
	if (s.n)
		memcpy(copy, s.p, s.n);
	enum err e = sse_reader_feed(r, slice_of(copy, s.n));
	free(copy);
	return e;
}

static const struct {
	const char *what;
	struct slice in;
	const char *want;
} cases[] = {
	{"one event", SLICE("data: a\n\n"), "|a|;"},
	{"CR", SLICE("data: a\r\rdata: b\r\r"), "|a|;|b|;"},
	{"CRLF", SLICE("data: a\r\n\r\ndata: b\r\n\r\n"), "|a|;|b|;"},
	{"mixed ends", SLICE("data: a\r\n\ndata: b\n\r\ndata: c\r\r\n"), "|a|;|b|;|c|;"},
	{"CR LF is one end", SLICE("data: a\r\ndata: b\r\n\r\n"), "|a\nb|;"},
	{"LF CR is two", SLICE("data: a\n\rdata: b\n\r"), "|a|;|b|;"},
	{"byte-order mark",
	 SLICE("\xEF\xBB\xBF"
	       "data: a\n\n"),
	 "|a|;"},
	{"one mark only",
	 SLICE("\xEF\xBB\xBF\xEF\xBB\xBF"
	       "data: a\n\ndata: b\n\n"),
	 "|b|;"},
	{"half a mark",
	 SLICE("\xEF\xBB"
	       "data: a\n\ndata: b\n\n"),
	 "|b|;"},
	{"a mark later is text",
	 SLICE("data: a\n\n\xEF\xBB\xBF"
	       "data: b\n\n"),
	 "|a|;"},
	{"comments", SLICE(": ping\n\n:\ndata: a\n: data: b\n\n"), "|a|;"},
	{"several lines", SLICE("data: a\ndata: b\ndata: c\n\n"), "|a\nb\nc|;"},
	{"data without colon", SLICE("data\n\n"), "||;"},
	{"two of them", SLICE("data\ndata\n\ndata:\n"), "|\n|;"},
	{"one space goes", SLICE("data:a\n\ndata: a\n\ndata:  a\n\ndata: a \n\n"),
	 "|a|;|a|;| a|;|a |;"},
	{"a tab stays", SLICE("data:\ta\n\n"), "|\ta|;"},
	{"value with colons", SLICE("data: a: b:c\n\n"), "|a: b:c|;"},
	{"name", SLICE("event: x\ndata: a\n\ndata: b\n\n"), "x|a|;|b|;"},
	{"last name counts", SLICE("event: x\nevent: y\ndata: a\n\n"), "y|a|;"},
	{"a name ends with its event", SLICE("event: x\n\ndata: a\n\n"), "|a|;"},
	{"no data, no event", SLICE("event: x\nid: 1\n\n\n\n"), ""},
	{"id stays", SLICE("id: 1\ndata: a\n\ndata: b\n\nid\ndata: c\n\n"),
	 "|a|1;|b|1;|c|;"},
	{"id without data", SLICE("id: 7\n\ndata: a\n\n"), "|a|7;"},
	{"id with NUL",
	 SLICE("id: 1\ndata: a\n\nid: 2\0"
	       "3\ndata: b\n\n"),
	 "|a|1;|b|1;"},
	{"unknown fields",
	 SLICE("retry: 10\nfoo: bar\ndat: x\nDATA: y\ndata : z\n"
	       " data: w\ndata: a\n\n"),
	 "|a|;"},
	{"an unended event is no event", SLICE("data: a\n\ndata: b\n"), "|a|;"},
	{"an unended line neither", SLICE("data: a\n\ndata: b"), "|a|;"},
	{"the spec's stocks", SLICE("data: YHOO\ndata: +2\ndata: 10\n\n"),
	 "|YHOO\n+2\n10|;"},
	{"the spec's four blocks",
	 SLICE(": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\n"
	       "data:  third event\n\n"),
	 "|first event|1;|second event|;| third event|;"},
	{"nothing", SLICE(""), ""},
};

static void read_whole(struct seen *s, struct slice in, const size_t *cuts, size_t count)
{
	struct sse_reader r;
	size_t at = 0;
	sse_reader_init(&r, MOST, on_event, s);
	for (size_t i = 0; i <= count; i++) {
		size_t to = i < count ? cuts[i] : in.n;
		assert_int_equal(feed(&r, slice_of(in.p + at, to - at)), ERR_OK);
		at = to;
	}
	sse_reader_fini(&r);
}

static void expect(size_t i, const size_t *cuts, size_t count, const char *how)
{
	struct seen s = {0};
	read_whole(&s, cases[i].in, cuts, count);
	if (!slice_is(strbuf_slice(&s.text), cases[i].want))
		fail_msg("%s, %s: '%.*s'", cases[i].what, how,
			 SLICE_ARG(strbuf_slice(&s.text)));
	strbuf_fini(&s.text);
}

static void test_cases(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		expect(i, NULL, 0, "whole");
}

static void test_every_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		for (size_t a = 0; a <= cases[i].in.n; a++)
			for (size_t b = a; b <= cases[i].in.n; b++) {
				size_t cuts[] = {a, b};
				expect(i, cuts, 2, "in three pieces");
			}
}

static void test_single_bytes(void **state)
{
	(void)state;
	size_t cuts[256];
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		for (size_t n = 0; n < cases[i].in.n; n++)
			cuts[n] = n + 1;
		expect(i, cuts, cases[i].in.n, "byte by byte");
	}
}

/* Random streams of the bytes that matter: random pieces say what one piece says. */
static void test_random_pieces(void **state)
{
	(void)state;
	static const char *const units[] = {"data:", "data", " ",    "event: x", "id: 7",
					    "\n",    "\r",   ":",    "\r\n",     "ab",
					    "\n\n",  "\xEF", "\xBB", "\xBF",     "retry"};
	rand_begin();
	for (int round = 0; round < 3000; round++) {
		struct seen whole = {0}, pieces = {0};
		struct strbuf in = STRBUF_INIT;
		size_t cuts[64], count = 0;
		strbuf_add_str(&in, "");
		for (uint32_t n = rand_below(40); n > 0; n--)
			strbuf_add_str(&in, units[rand_below(ARRAY_LEN(units))]);
		for (size_t at = 0; count < 64 && at < in.n; count++)
			cuts[count] = at += rand_below((uint32_t)(in.n - at + 1));
		read_whole(&whole, strbuf_slice(&in), NULL, 0);
		read_whole(&pieces, strbuf_slice(&in), cuts, count);
		assert_int_equal(whole.events, pieces.events);
		assert_true(
			slice_eq(strbuf_slice(&whole.text), strbuf_slice(&pieces.text)));
		strbuf_fini(&whole.text);
		strbuf_fini(&pieces.text);
		strbuf_fini(&in);
	}
}

static enum err try_limit(const char *in, size_t limit, size_t piece)
{
	struct seen s = {0};
	struct sse_reader r;
	struct slice rest = slice_str(in);
	enum err e = ERR_OK;
	sse_reader_init(&r, limit, on_event, &s);
	while (!e && rest.n) {
		size_t n = piece < rest.n ? piece : rest.n;
		e = feed(&r, slice_of(rest.p, n));
		rest = slice_of(rest.p + n, rest.n - n);
	}
	assert_true(e != ERR_OK || s.events > 0);
	sse_reader_fini(&r);
	strbuf_fini(&s.text);
	return e;
}

/* A line, and the data of an event, may be as large as the limit; their memory is not
 * taken before that is known. */
static void test_limit(void **state)
{
	(void)state;
	for (size_t piece = 1; piece < 40; piece += 3) {
		assert_int_equal(try_limit("data: 0123\n\n", 10, piece), ERR_OK);
		assert_int_equal(try_limit("data: 01234\n\n", 10, piece), ERR_TOO_LARGE);
		assert_int_equal(try_limit("data:12\ndata:45\ndata:78\n\n", 9, piece),
				 ERR_OK);
		assert_int_equal(try_limit("data:12\ndata:45\ndata:789\n\n", 9, piece),
				 ERR_TOO_LARGE);
		assert_int_equal(try_limit(": a long comment", 10, piece), ERR_TOO_LARGE);
	}
}

/* An event's size says nothing about the next one's. */
static void test_limit_is_per_event(void **state)
{
	(void)state;
	struct seen s = {0};
	struct sse_reader r;
	sse_reader_init(&r, 16, on_event, &s);
	for (int i = 0; i < 100; i++)
		assert_int_equal(feed(&r, SLICE("data: 0123456\n\n")), ERR_OK);
	assert_int_equal(s.events, 100);
	sse_reader_fini(&r);
	strbuf_fini(&s.text);
}

static void test_the_consumer_stops_it(void **state)
{
	(void)state;
	struct seen s = {.answer = ERR_MODEL_BROKEN};
	struct sse_reader r;
	sse_reader_init(&r, MOST, on_event, &s);
	assert_int_equal(feed(&r, SLICE("data: a\n\ndata: b\n\n")), ERR_MODEL_BROKEN);
	assert_int_equal(s.events, 1);
	sse_reader_fini(&r);
	strbuf_fini(&s.text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_every_cut),
		cmocka_unit_test(test_single_bytes),
		cmocka_unit_test(test_random_pieces),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_limit_is_per_event),
		cmocka_unit_test(test_the_consumer_stops_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
