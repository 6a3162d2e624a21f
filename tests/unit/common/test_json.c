/* SPDX-License-Identifier: Apache-2.0
 * Reading JSON strictly, writing it so that it reads back the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <float.h>
#include <math.h>
#include <cmocka.h>

#include "common/attr.h"
#include "common/json.h"
#include "tests/unit/common/rand.h"

#define ROOM (1u << 20)

static struct json_doc *parse(const char *text)
{
	return json_parse(slice_str(text), ROOM, NULL, 0);
}

static void test_refused(void **state)
{
	(void)state;
	static const char *const cases[] = {
		"",
		" ",
		"{",
		"}",
		"[1,]",
		"{\"a\":1,}",
		"{\"a\"}",
		"{a:1}",
		"{'a':1}",
		"[1 2]",
		"1 2",
		"01",
		"+1",
		"-",
		".5",
		"5.",
		"1e",
		"0x1",
		"NaN",
		"Infinity",
		"-Infinity",
		"nul",
		"True",
		"\"",
		"\"\\x\"",
		"\"\\u12\"",
		"\"\t\"",
		"\"a\nb\"",
		"/* c */1",
		"1 // c",
		"\xef\xbb\xbf"
		"1",
		"\"\xff\"",
		"\"\xc0\x80\"",
		"\"\xed\xa0\x80\"",
		"\"\\ud800\"",
		"\"\\udc00\\ud800\"",
		"\"\\u0000\"",
		"{\"a\\u0000b\":1}",
		"[[\"\\u0000\"]]",
		"1e999",
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char why[200] = "";
		struct json_doc *d =
			json_parse(slice_str(cases[i]), ROOM, why, sizeof why);
		if (d)
			fail_msg("taken: %s", cases[i]);
		if (!*why)
			fail_msg("no reason: %s", cases[i]);
	}
	assert_null(json_parse(slice_of("1\0", 2), ROOM, NULL, 0));
	assert_null(json_parse(slice_of("\"a\0b\"", 5), ROOM, NULL, 0));
	assert_null(json_parse(SLICE_NONE, ROOM, NULL, 0));
}

static void test_size(void **state)
{
	(void)state;
	char why[100];
	struct json_doc *d = json_parse(SLICE("[1,2]"), 5, why, sizeof why);
	assert_non_null(d);
	json_free(d);
	assert_null(json_parse(SLICE("[1,2]"), 4, why, sizeof why));
	assert_string_equal(why, "5 bytes of JSON, at most 4 are taken");
}

static bool takes_depth(int depth, char open, char close)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	for (int i = 0; i < depth; i++)
		strbuf_add_str(&b, open == '['     ? "["
				   : i + 1 < depth ? "{\"[{\\\"\":"
						   : "{");
	for (int i = 0; i < depth; i++)
		strbuf_add_char(&b, close);
	struct json_doc *d = json_parse(strbuf_slice(&b), ROOM, NULL, 0);
	json_free(d);
	return d != NULL;
}

static void test_depth(void **state)
{
	(void)state;
	assert_true(takes_depth(64, '[', ']'));
	assert_false(takes_depth(65, '[', ']'));
	assert_true(takes_depth(64, '{', '}'));
	assert_false(takes_depth(65, '{', '}'));
	assert_false(takes_depth(500000, '[', ']'));
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	strbuf_add_str(&b, "[\""); /* brackets inside a string do not count */
	for (int i = 0; i < 1000; i++)
		strbuf_add_str(&b, "[\\\"{");
	strbuf_add_str(&b, "\"");
	for (int i = 0; i < 1000; i++) /* nor those beside each other */
		strbuf_add_str(&b, ",[[]]");
	strbuf_add_str(&b, "]");
	struct json_doc *d = json_parse(strbuf_slice(&b), ROOM, NULL, 0);
	assert_int_equal(json_len(json_root(d)), 1001);
	json_free(d);
	/* where a string ends that has backslashes before its end */
	strbuf_reset(&b);
	strbuf_add_str(&b, "[\"\\\\\",\"a\\\\\\\"\",");
	for (int i = 0; i < 64; i++)
		strbuf_add_char(&b, '[');
	for (int i = 0; i < 65; i++)
		strbuf_add_char(&b, ']');
	char why[100];
	assert_null(json_parse(strbuf_slice(&b), ROOM, why, sizeof why));
	assert_string_equal(why, "nested deeper than 64 at byte 77");
}

static void test_unique(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool good;
	} cases[] = {
		{"{\"a\":1,\"b\":2}", true},
		{"{\"a\":1,\"a\":1}", false},
		{"{\"a\":1,\"\\u0061\":1}", false},
		{"{\"a\":1,\"b\":2,\"c\":{\"x\":1,\"y\":1,\"x\":1}}", false},
		{"[[{\"\":1,\"\":1}]]", false},
		{"{\"a\":{\"a\":{\"a\":1}}}", true},
		{"{\"a\":1,\"A\":1,\"aa\":1}", true},
		{"[{\"a\":1},{\"a\":1}]", true},
		{"{", false},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char why[100] = "";
		struct json_doc *d = json_parse_unique(slice_str(cases[i].text), ROOM,
						       why, sizeof why);
		if ((d != NULL) != cases[i].good)
			fail_msg("%s: %s", cases[i].text, why);
		assert_int_equal(*why == 0, cases[i].good);
		json_free(d);
	}
	struct json_doc *d = parse("{\"a\":1,\"a\":2}");
	assert_non_null(d);
	json_free(d);
}

static void test_numbers(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool fits;
		int64_t v;
	} cases[] = {
		{"0", true, 0},
		{"-0", true, 0},
		{"9223372036854775807", true, INT64_MAX},
		{"-9223372036854775808", true, INT64_MIN},
		{"9223372036854775808", false, 0},
		{"-9223372036854775809", false, 0},
		{"18446744073709551616", false, 0},
		{"1.5", false, 0},
		{"1.0", false, 0},
		{"1e3", false, 0},
		{"\"1\"", false, 0},
		{"true", false, 0},
		{"null", false, 0},
		{"[1]", false, 0},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct json_doc *d = parse(cases[i].text);
		int64_t v = 42;
		if (json_i64(json_root(d), &v) != cases[i].fits)
			fail_msg("%s", cases[i].text);
		assert_true(v == (cases[i].fits ? cases[i].v : 42));
		json_free(d);
	}
}

static void test_looking(void **state)
{
	(void)state;
	AUTO(auto_json_free)
	struct json_doc *d = parse("{\"s\":\"t\\u00e4\",\"n\":1.5,\"b\":true,\"z\":null,"
				   "\"a\":[1,[2],{\"k\":3}],\"o\":{\"x\":\"y\"}}");
	json_t r = json_root(d);
	assert_int_equal(json_kind(r), JSON_OBJECT);
	assert_int_equal(json_kind(json_get(r, "a")), JSON_ARRAY);
	assert_int_equal(json_kind(json_get(r, "z")), JSON_NULL);
	assert_int_equal(json_kind(json_get(r, "none")), JSON_ABSENT);
	assert_string_equal(json_cstr(json_get(r, "s"), "-"), "t\xc3\xa4");
	assert_true(slice_is(json_str(json_get(r, "s")), "t\xc3\xa4"));
	assert_true(json_double(json_get(r, "n"), 0) == 1.5);
	assert_true(json_bool(json_get(r, "b"), false));
	/* absent all the way down */
	json_t none = json_get(json_get(json_at(json_get(r, "none"), 3), "x"), "y");
	assert_null(none);
	assert_int_equal(json_len(none), 0);
	assert_string_equal(json_cstr(none, "else"), "else");
	assert_null(json_str(none).p);
	assert_true(json_bool(none, true));
	assert_true(json_double(json_get(r, "s"), 7) == 7);
	assert_null(json_get(json_get(r, "a"), "k"));
	assert_null(json_at(json_get(r, "a"), 3));
	assert_null(json_at(json_get(r, "o"), 1));
	assert_string_equal(json_cstr(json_at(json_get(r, "o"), 0), ""), "y");
	assert_null(json_root(NULL));
	/* in order, over nested values */
	static const char *const keys[] = {"s", "n", "b", "z", "a", "o"};
	struct json_iter it = json_iter(r);
	struct slice key;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		assert_ptr_equal(json_next(&it, &key), json_get(r, keys[i]));
		assert_true(slice_is(key, keys[i]));
	}
	assert_null(json_next(&it, &key));
	assert_null(json_next(&it, &key));
	it = json_iter(json_get(r, "a"));
	for (size_t i = 0; i < 3; i++)
		assert_ptr_equal(json_next(&it, NULL), json_at(json_get(r, "a"), i));
	assert_null(json_next(&it, NULL));
	it = json_iter(json_get(r, "s"));
	assert_null(json_next(&it, NULL));
}

/* ---- writing */

static void test_written(void **state)
{
	(void)state;
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	json_obj(&o);
	json_kv_i64(&o, "i", INT64_MIN);
	json_kv_cstr(&o, "n", NULL);
	json_kv_bool(&o, "b", false);
	json_kv_str(&o, "s", SLICE("\"\\/\n\r\t\x01\x7f\0x"));
	json_kv_raw(&o, "r", SLICE("[1]"));
	json_key(&o, "a\"");
	json_arr(&o);
	json_obj(&o);
	json_obj_end(&o);
	json_arr(&o);
	json_arr_end(&o);
	json_put_double(&o, 0.1);
	json_put_double(&o, INFINITY);
	json_put_str(&o, SLICE_NONE);
	json_arr_end(&o);
	json_obj_end(&o);
	assert_string_equal(b.p, "{\"i\":-9223372036854775808,\"n\":null,\"b\":false,"
				 "\"s\":\"\\\"\\\\/\\n\\r\\t\\u0001\x7fx\",\"r\":[1],"
				 "\"a\\\"\":[{},[],0.1,null,\"\"]}");
	assert_int_equal(o.depth, 0);
	struct json_doc *d = json_parse(strbuf_slice(&b), ROOM, NULL, 0);
	AUTO(strbuf_fini) struct strbuf again = STRBUF_INIT;
	struct json_out o2 = json_out(&again);
	json_arr(&o2);
	json_put_value(&o2, json_get(json_root(d), "r"));
	json_put_value(&o2, NULL);
	json_arr_end(&o2);
	assert_string_equal(again.p, "[[1],null]");
	json_free(d);
}

/* Whatever bytes a string has, its JSON reads back as what was valid of them. */
static void test_any_bytes(void **state)
{
	(void)state;
	static const char *const parts[] = {"a",
					    "more than a word of it",
					    "\x7f",
					    "\x01",
					    "\"",
					    "\\",
					    "\n",
					    "\x1f",
					    "\xc3\xa4",
					    "\xc3",
					    "\xa4",
					    "\xff",
					    "\xf0\x9f\x98\x80",
					    "\xf0\x9f\x98",
					    "\xed\xa0\x80",
					    "\xe2\x82\xac",
					    "/"};
	for (int round = 0; round < 20000; round++) {
		AUTO(strbuf_fini) struct strbuf in = STRBUF_INIT;
		AUTO(strbuf_fini) struct strbuf text = STRBUF_INIT;
		AUTO(strbuf_fini) struct strbuf pieces = STRBUF_INIT;
		for (uint32_t i = rand_below(12); i > 0; i--)
			strbuf_add_str(&in, parts[rand_below(ARRAY_LEN(parts))]);
		struct json_out o = json_out(&text);
		json_put_str(&o, strbuf_slice(&in));
		char why[100] = "";
		struct json_doc *d =
			json_parse(strbuf_slice(&text), ROOM, why, sizeof why);
		if (!d)
			fail_msg("%s: %s", text.p, why);
		struct slice back = json_str(json_root(d));
		assert_true(slice_is_utf8(back));
		if (slice_is_utf8(strbuf_slice(&in)))
			assert_true(slice_eq(back, strbuf_slice(&in)));
		else
			assert_true(slice_find(back, SLICE("\xef\xbf\xbd")) >= 0);
		json_free(d);
		strbuf_add_char(&pieces, '"');
		json_escape(&pieces, strbuf_slice(&in));
		strbuf_add_char(&pieces, '"');
		assert_true(slice_eq(strbuf_slice(&pieces), strbuf_slice(&text)));
	}
}

static void test_doubles(void **state)
{
	(void)state;
	static const double fixed[] = {0,      -0.0,    1,       -1,
				       0.1,    1.0 / 3, 1e21,    1e-7,
				       5e-324, DBL_MAX, DBL_MIN, 123456789012345678};
	for (size_t i = 0; i < 100000; i++) {
		AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
		struct json_out o = json_out(&b);
		uint64_t bits = rand_next();
		double v;
		memcpy(&v, &bits, sizeof v);
		if (i < ARRAY_LEN(fixed))
			v = fixed[i];
		if (!isfinite(v))
			continue;
		json_put_double(&o, v);
		struct json_doc *d = json_parse(strbuf_slice(&b), ROOM, NULL, 0);
		if (json_kind(json_root(d)) != JSON_NUMBER ||
		    json_double(json_root(d), 0) != v)
			fail_msg("%.17g was written as %s", v, b.p);
		json_free(d);
	}
}

int main(void)
{
	rand_begin();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused), cmocka_unit_test(test_size),
		cmocka_unit_test(test_depth),   cmocka_unit_test(test_unique),
		cmocka_unit_test(test_numbers), cmocka_unit_test(test_looking),
		cmocka_unit_test(test_written), cmocka_unit_test(test_any_bytes),
		cmocka_unit_test(test_doubles),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
