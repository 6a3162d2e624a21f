/* SPDX-License-Identifier: Apache-2.0
 * Server-sent events: the text, the ids, and the arithmetic of cutting what a client has
 * already seen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "common/attr.h"
#include "common/json.h"
#include "edge/sse.h"

static struct slice str(const char *s)
{
	return slice_str(s);
}

static void test_text(void **state)
{
	(void)state;
	struct strbuf b = STRBUF_INIT;
	struct sse_item item = {.seq = 7,
				.durable = true,
				.type = "tool",
				.at_us = 1700000000123456,
				.body = SLICE("{\"toolName\":\"read\"}")};
	memset(item.run.b, 0x11, 16);
	sse_write(&b, &item);
	assert_string_equal(b.p,
			    "id: 7\nevent: tool\ndata: {\"type\":\"tool\",\"runId\":"
			    "\"11111111-1111-1111-1111-111111111111\",\"seq\":7,"
			    "\"at\":\"2023-11-14T22:13:20.123Z\",\"toolName\":\"read\"}"
			    "\n\n");
	strbuf_reset(&b);
	item.durable = false;
	item.offset = 120;
	item.body = SLICE("{}");
	sse_write(&b, &item);
	assert_non_null(strstr(b.p, "id: 7.120\n"));
	assert_non_null(strstr(b.p, "Z\"}\n\n"));
	strbuf_reset(&b);
	item.body = SLICE("{\n \"a\": 1,\r\n \"b\": 2\n}");
	sse_write(&b, &item);
	assert_non_null(strstr(b.p, ",\"a\": 1,   \"b\": 2}\n\n"));
	strbuf_fini(&b);
}

static void test_ids(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool good;
		struct sse_place place;
	} cases[] = {
		{"0", true, {0, 0, 0}},
		{"7", true, {7, 0, 0}},
		{"2.120", true, {1, 2, 120}},
		{"1.0", true, {0, 1, 0}},
		{"", false, {0}},
		{"-1", false, {0}},
		{"7.", false, {0}},
		{".5", false, {0}},
		{"0.5", false, {0}},
		{"7.5.3", false, {0}},
		{"x", false, {0}},
		{"4294967296", false, {0}},
		{"7 ", false, {0}},
		{"7.-1", false, {0}},
		{"+7", false, {0}},
		{"99999999999999999999", false, {0}},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct sse_place p;
		bool good = sse_parse_id(str(cases[i].text), &p);
		if (good != cases[i].good ||
		    (good && memcmp(&p, &cases[i].place, sizeof p) != 0))
			fail_msg("id '%s'", cases[i].text);
	}
}

static void test_content_bytes(void **state)
{
	(void)state;
	static const struct {
		const char *body;
		size_t bytes;
	} cases[] = {
		{"{\"content\":\"Hel\"}", 3},
		{"{\"content\":\"\"}", 0},
		{"{}", 0},
		{"{\"metadata\":{\"content\":\"no\"}}", 0},
		{"{\"metadata\":{\"content\":\"no\",\"x\":[\"}\"]},\"content\":\"yes\"}",
		 3},
		{"{ \"content\" : \"a b\" , \"x\" : 1 }", 3},
		{"{\"content\":5}", 0},
		{"{\"content\":\"\\n\\\"\\\\\\/\"}", 4},
		{"{\"content\":\"\\u0041\\u00e4\\u20ac\"}", 6},
		{"{\"content\":\"\\ud83d\\ude00\"}", 4},
		{"{\"content\":\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"}", 9},
		{"{\"a\":\"\\\"content\\\":\\\"x\",\"content\":\"ab\"}", 2},
		/* not JSON: must only not read beyond */
		{"{\"content\":\"ab", 0},
		{"{\"content\":\"\\", 0},
		{"{\"content\"", 0},
		{"{\"", 0},
		{"", 0},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		/* an exact copy on the heap: reading beyond it is seen by sanitizers */
		size_t n = strlen(cases[i].body);
		char *copy = malloc(n + (n == 0));
		memcpy(copy, cases[i].body, n);
		size_t got = sse_content_bytes(slice_of(copy, n));
		free(copy);
		if (got != cases[i].bytes)
			fail_msg("%s: %zu", cases[i].body, got);
	}
}

static void test_cut(void **state)
{
	(void)state;
	static const struct {
		const char *body;
		size_t skip;
		const char *want;
	} cases[] = {
		{"{\"content\":\"Hello\",\"m\":1}", 2, "{\"content\":\"llo\",\"m\":1}"},
		{"{\"content\":\"Hello\"}", 0, "{\"content\":\"Hello\"}"},
		{"{\"content\":\"Hello\"}", 5, "{\"content\":\"\"}"},
		{"{\"content\":\"Hello\"}", 50, "{\"content\":\"\"}"},
		{"{\"phase\":\"end\"}", 3, "{\"phase\":\"end\"}"},
		{"{\"content\":\"a\xe2\x82\xac"
		 "b\"}",
		 1,
		 "{\"content\":\"\xe2\x82\xac"
		 "b\"}"},
		{"{\"content\":\"a\xe2\x82\xac"
		 "b\"}",
		 2,
		 "{\"content\":\"\xe2\x82\xac"
		 "b\"}"},
		{"{\"content\":\"a\xe2\x82\xac"
		 "b\"}",
		 4, "{\"content\":\"b\"}"},
		{"{\"content\":\"\\n\\tx\"}", 1, "{\"content\":\"\\tx\"}"},
		{"{\"content\":\"\\ud83d\\ude00x\"}", 3,
		 "{\"content\":\"\\ud83d\\ude00x\"}"},
		{"{\"content\":\"\\ud83d\\ude00x\"}", 4, "{\"content\":\"x\"}"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(strbuf_fini) struct strbuf out = STRBUF_INIT;
		sse_cut_content(&out, str(cases[i].body), cases[i].skip);
		assert_string_equal(out.p, cases[i].want);
	}
}

/* A random text, written as JSON in random escapes: for every offset on a character's
 * boundary, what was cut and what is left are the text. */
static void test_random_cuts(void **state)
{
	(void)state;
	static const char *const units[][2] = {
		{"a", "a"},
		{"\"", "\\\""},
		{"\n", "\\n"},
		{"\xc3\xa4", "\xc3\xa4"},
		{"\xc3\xa4", "\\u00e4"},
		{"\xe2\x82\xac", "\xe2\x82\xac"},
		{"\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80"},
		{"\xf0\x9f\x98\x80", "\\ud83d\\ude00"},
		{"}", "}"},
	};
	unsigned seed = (unsigned)time(NULL);
	print_message("seed %u\n", seed);
	srand(seed);
	for (int round = 0; round < 500; round++) {
		AUTO(strbuf_fini) struct strbuf plain = STRBUF_INIT;
		AUTO(strbuf_fini) struct strbuf body = STRBUF_INIT;
		strbuf_add_str(&plain, "");
		strbuf_add_str(&body, "{\"x\":[1,{\"y\":\"]\"}],\"content\":\"");
		for (int n = rand() % 20; n > 0; n--) {
			size_t u = (size_t)rand() % ARRAY_LEN(units);
			strbuf_add_str(&plain, units[u][0]);
			strbuf_add_str(&body, units[u][1]);
		}
		strbuf_add_str(&body, "\"}");
		assert_int_equal(sse_content_bytes(strbuf_slice(&body)), plain.n);
		for (size_t skip = 0; skip <= plain.n + 2; skip++) {
			AUTO(strbuf_fini) struct strbuf cut = STRBUF_INIT;
			sse_cut_content(&cut, strbuf_slice(&body), skip);
			AUTO(auto_json_free)
			struct json_doc *d =
				json_parse(strbuf_slice(&cut), 1 << 20, NULL, 0);
			assert_non_null(d);
			struct slice rest = json_str(json_get(json_root(d), "content"));
			size_t from = skip > plain.n ? plain.n : skip;
			while (from > 0 && from < plain.n &&
			       ((unsigned char)plain.p[from] & 0xc0) == 0x80)
				from--;
			assert_true(
				slice_eq(rest, slice_of(plain.p + from, plain.n - from)));
		}
	}
}

static void test_reset(void **state)
{
	(void)state;
	assert_true(
		sse_is_reset(SLICE("{\"content\":\"\",\"metadata\":{\"reset\":true}}")));
	assert_true(sse_is_reset(SLICE("{\"metadata\": {\"reset\": true}}")));
	assert_false(sse_is_reset(SLICE("{\"content\":\"\\\"reset\\\":true\"}")));
	assert_false(sse_is_reset(SLICE("{\"metadata\":{\"reset\":false}}")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),          cmocka_unit_test(test_ids),
		cmocka_unit_test(test_content_bytes), cmocka_unit_test(test_cut),
		cmocka_unit_test(test_random_cuts),   cmocka_unit_test(test_reset),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
