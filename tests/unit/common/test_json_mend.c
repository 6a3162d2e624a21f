/* SPDX-License-Identifier: Apache-2.0
 * What is no Unicode is replaced, what is stays; pairs that were cut are whole again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "common/attr.h"
#include "common/json.h"
#include "common/json_mend.h"
#include "tests/unit/common/rand.h"

#define FFFD "\xef\xbf\xbd"

static struct json_mending m;

/* "" for a text that stays. */
static const char *mended(struct slice text)
{
	static char out[4096];
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	bool changed = json_mend(&m, text, &b);
	if (changed == slice_eq(text, strbuf_slice(&b)))
		fail_msg("%.*s: changed=%d", SLICE_ARG(text), changed);
	assert_true(b.n < sizeof out);
	memcpy(out, changed ? b.p : "", changed ? b.n : 0);
	out[changed ? b.n : 0] = 0;
	return out;
}

static int setup(void **state)
{
	(void)state;
	memset(&m, 0, sizeof m);
	return 0;
}

static void test_one_text(void **state)
{
	(void)state;
	static const struct {
		const char *text, *want;
		size_t replaced;
	} cases[] = {
		{"{\"a\":\"x\"}", "", 0},
		{"{\"a\":\"\\ud83d\\ude00\"}", "", 0},
		{"{\"a\":\"\\\\ud83d \\\\u0000\"}", "", 0},
		{"{\"a\":\"\\\"\\ud83dx\"}", "{\"a\":\"\\\"\\ufffdx\"}", 1},
		{"{\"a\":\"\\ude00\\ud83d\\ude00\"}", "{\"a\":\"\\ufffd\\ud83d\\ude00\"}",
		 1},
		{"{\"a\":\"\\uD83D\\uD83D\\uDE00\"}", "{\"a\":\"\\ufffd\\uD83D\\uDE00\"}",
		 1},
		{"{\"a\":\"x\\u0000y\\u0000\"}", "{\"a\":\"x\\ufffdy\\ufffd\"}", 2},
		{"{\"a\xff\":\"\xf0\x9f\x98\x80\xf0\x9f\"}",
		 "{\"a\\ufffd\":\"\xf0\x9f\x98\x80\\ufffd\\ufffd\"}", 3},
		{"{\"a\":\"\xed\xa0\xbd\"}", "{\"a\":\"\\ufffd\\ufffd\\ufffd\"}", 3},
		{"{\"\\ud83d\":1}", "{\"\\ufffd\":1}", 1},
		{"[\"\\ud83d\"]", "[\"\\ufffd\"]", 1}, /* of no member */
		{"{\"a\":\"\\u12", "", 0},
		{"{\"a\":\"\\", "", 0},
		{"\"", "", 0},
		{"", "", 0},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		setup(NULL);
		assert_string_equal(mended(slice_str(cases[i].text)), cases[i].want);
		assert_int_equal(m.replaced, cases[i].replaced);
		assert_string_equal(m.half, "");
	}
	setup(NULL);
	assert_string_equal(mended(slice_of("\"a\0b\"", 5)), "\"a\\ufffdb\"");
}

static void test_a_pair_in_two_texts(void **state)
{
	(void)state;
	assert_string_equal(mended(SLICE("{\"a\":\"x\\ud83d\",\"b\":\"\"}")),
			    "{\"a\":\"x\",\"b\":\"\"}");
	assert_string_equal(m.half, "\\ud83d");
	assert_string_equal(mended(SLICE("{\"b\":\"y\",\"a\":\"\"}")), ""); /* others */
	assert_string_equal(
		mended(SLICE("{ \"b\" : \"y\", \"a\" : \"\\ude00z\\ud83e\"}")),
		"{ \"b\" : \"y\", \"a\" : \"\\ud83d\\ude00z\"}");
	assert_int_equal(m.replaced, 0);
	assert_string_equal(mended(SLICE("{\"a\":\"\\ud83f\"}")),
			    "{\"a\":\"\\ufffd\"}"); /* and this one is kept back */
	assert_int_equal(m.replaced, 1);
	assert_string_equal(m.half, "\\ud83f");
	assert_string_equal(mended(SLICE("{\"a\":\"no\"}")), "{\"a\":\"\\ufffdno\"}");
	assert_string_equal(m.half, "");
	assert_int_equal(m.replaced, 2);
}

/* Whatever stands in the strings of what else is JSON, it can be read then. */
static void test_anything(void **state)
{
	(void)state;
	static const char *const pieces[] = {
		"\\ud83d", "\\ude00", "\\u0000", "\\uDBFF",  "\\udc00",
		"\\\\",    "\\\"",    "\\n",     "x",        "\xf0",
		"\x9f",    "\x98",    "\x80",    "\xc3\xa9", "\xed\xa0\x80",
		"\\u00e9", "\\/",     "\xff",    " "};
	rand_begin();
	for (int i = 0; i < 20000; i++) {
		AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT, out = STRBUF_INIT;
		char why[100];
		strbuf_add_str(&b, "{\"t\":\"");
		for (uint32_t n = rand_below(8); n; n--)
			strbuf_add_str(&b, pieces[rand_below(ARRAY_LEN(pieces))]);
		strbuf_add_str(&b, "\",\"u\":[\"");
		for (uint32_t n = rand_below(4); n; n--)
			strbuf_add_str(&b, pieces[rand_below(ARRAY_LEN(pieces))]);
		strbuf_add_str(&b, "\"]}");
		bool changed = json_mend(&m, strbuf_slice(&b), &out);
		struct json_doc *d =
			json_parse(strbuf_slice(&out), 10000, why, sizeof why);
		if (!d)
			fail_msg("%s gives %s: %s", b.p, out.p, why);
		json_free(d);
		/* What can be read as it is stays, but for a half that it completes. */
		d = json_parse(strbuf_slice(&b), 10000, NULL, 0);
		if (d && changed)
			assert_non_null(strstr(out.p, "\\ufffd"));
		json_free(d);
	}
}

#define CASE(fn) cmocka_unit_test_setup(fn, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_one_text),
		CASE(test_a_pair_in_two_texts),
		CASE(test_anything),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
