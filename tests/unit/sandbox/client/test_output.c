/* SPDX-License-Identifier: Apache-2.0
 * What is kept and what is told of a program's output: every offset of a text, held
 * against the text itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/attr.h"
#include "common/json.h"
#include "sandbox/client/output.h"

static char said[300000];

/* What is told, in said; returns the next offset. */
static uint64_t put(const struct output *o, uint64_t from, size_t most, bool open)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out out = json_out(&b);
	json_obj(&out);
	uint64_t next = output_put_from(o, &out, "t", from, most, open);
	json_obj_end(&out);
	AUTO(auto_json_free)
	struct json_doc *d = json_parse(strbuf_slice(&b), 1 << 20, NULL, 0);
	assert_non_null(d);
	snprintf(said, sizeof said, "%s", json_cstr(json_get(json_root(d), "t"), "?"));
	return next;
}

static void fill(struct output *o, size_t most, const char *text, size_t n)
{
	output_init(o, most);
	for (size_t at = 0; at < n; at += 7)
		output_add(o, slice_of(text + at, n - at < 7 ? n - at : 7));
}

static void test_every_offset(void **state)
{
	(void)state;
	char text[200];
	for (size_t i = 0; i < sizeof text; i++)
		text[i] = (char)('a' + i % 26);
	for (size_t n = 0; n <= sizeof text; n++) {
		struct output o;
		fill(&o, 100, text, n);
		for (uint64_t from = 0; from <= n; from++) {
			size_t tail_at = n > 100 ? n - 50 : 50, left = 0;
			char want[400];
			if (n > 100 && from < tail_at)
				left = from < 50 ? tail_at - 50 : tail_at - from;
			assert_int_equal(put(&o, from, 100, false), n);
			if (left)
				snprintf(want, sizeof want,
					 "%.*s\n[... %zu bytes left out ...]\n%.*s",
					 from < 50 ? (int)(50 - from) : 0, text + from,
					 left, (int)(n - tail_at), text + tail_at);
			else
				snprintf(want, sizeof want, "%.*s", (int)(n - from),
					 text + from);
			assert_string_equal(said, want);
			assert_int_equal(output_is_cut(&o, from, 100), left > 0);
		}
		output_fini(&o);
	}
}

static void test_less_than_is_kept(void **state)
{
	(void)state;
	struct output o;
	fill(&o, 100, "0123456789abcdefghij", 20);
	put(&o, 0, 10, false);
	assert_string_equal(said, "01234\n[... 10 bytes left out ...]\nfghij");
	put(&o, 12, 10, false);
	assert_string_equal(said, "cdefghij");
	output_fini(&o);
}

static void test_characters_stay_whole(void **state)
{
	(void)state;
	struct output o;
	char text[90];
	for (size_t i = 0; i < sizeof text; i += 3)
		memcpy(text + i, "\xE2\x82\xAC", 3);
	fill(&o, 40, text, sizeof text);
	put(&o, 0, 40, false);
	assert_null(strstr(said, "\xEF\xBF\xBD"));
	assert_non_null(strstr(said, "[... 54 bytes left out ...]"));
	output_fini(&o);
	fill(&o, 100, "ab\xE2\x82", 4);
	assert_int_equal(put(&o, 0, 100, true), 2); /* the rest of it will come */
	assert_string_equal(said, "ab");
	assert_int_equal(put(&o, 0, 100, false), 4); /* it did not */
	assert_string_equal(said, "ab\xEF\xBF\xBD\xEF\xBF\xBD");
	output_add(&o, SLICE("\xAC!"));
	assert_int_equal(put(&o, 2, 100, true), 6);
	assert_string_equal(said, "\xE2\x82\xAC!");
	output_fini(&o);
}

static void test_binary(void **state)
{
	(void)state;
	struct output o;
	static char zeros[100000];
	uint8_t sum[32];
	char hex[65], want[128];
	memset(zeros, 'x', 10);
	output_init(&o, 20000);
	for (size_t at = 0; at < sizeof zeros; at += 1000)
		output_add(&o, slice_of(zeros + at, 1000));
	crypto_sha256(slice_of(zeros, sizeof zeros), sum);
	crypto_hex(sum, 32, hex);
	snprintf(want, sizeof want, "[binary 100000 bytes, sha256 %s]", hex);
	put(&o, 0, 20000, false);
	assert_string_equal(said, want);
	put(&o, 50, 20000, true); /* the sum can be told again */
	assert_string_equal(said, want);
	output_fini(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_offset),
		cmocka_unit_test(test_less_than_is_kept),
		cmocka_unit_test(test_characters_stay_whole),
		cmocka_unit_test(test_binary),
	};
	crypto_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
