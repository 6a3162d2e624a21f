/* SPDX-License-Identifier: Apache-2.0
 * Estimates by script, by block, and what reports make of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "common/attr.h"
#include "worker/context/tokens.h"

/* Bounds: what current tokenizers of large providers make of the text (o200k, cl100k,
 * Gemini's), the estimate not below the most of them by more than a tenth, nor above it
 * twice. */
static void test_scripts(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int64_t least, most;
	} cases[] = {
		{"", 0, 0},
		{"a", 1, 1},
		{"The quick brown fox jumps over the lazy dog near the river bank.", 13,
		 26},
		{"Быстрая коричневая лиса перепрыгивает через ленивую собаку.", 18, 40},
		{"敏捷的棕色狐狸跳过了懒狗。", 13, 26},
		{"速い茶色の狐がのろまな犬を飛び越えます。", 17, 34},
		{"{\"id\":17,\"path\":\"/srv/data/x.csv\",\"ok\":true}", 17, 36},
		{"🙂🙂🙂🙂", 8, 16},
		{"3.14159265358979", 6, 16},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int64_t n = tokens_of_text(slice_str(cases[i].text));
		if (n < cases[i].least || n > cases[i].most)
			fail_msg("%s: %lld", cases[i].text, (long long)n);
	}
}

static int64_t of_block(const char *json)
{
	struct json_doc *d = json_parse(slice_str(json), 1u << 20, NULL, 0);
	assert_non_null(d);
	int64_t n = tokens_of_block(json_root(d));
	json_free(d);
	return n;
}

static void test_blocks(void **state)
{
	(void)state;
	int64_t text = of_block("{\"type\":\"text\",\"text\":\"hello there\"}");
	assert_int_equal(text, tokens_of_text(SLICE("hello there")));
	assert_int_equal(of_block("{\"type\":\"image\",\"mediaType\":\"image/png\","
				  "\"data\":\"AAAAAAAAAAAAAAAA\"}"),
			 TOKENS_IMAGE);
	assert_true(of_block("{\"type\":\"tool_call\",\"callId\":\"c\",\"name\":\"read\","
			     "\"arguments\":{\"path\":\"a\"}}") > TOKENS_CALL);
	assert_int_equal(of_block("{\"type\":\"tool_result\",\"callId\":\"c\",\"name\":"
				  "\"read\",\"text\":\"hello there\"}"),
			 text + TOKENS_CALL);
	assert_true(of_block("{\"type\":\"reasoning\",\"text\":\"\",\"provider\":\"x\","
			     "\"opaque\":\"c2lnbmF0dXJl\"}") > 0);
	assert_int_equal(of_block("{\"type\":\"novelty\",\"text\":\"x\"}"), 0);
}

static void test_ratios(void **state)
{
	(void)state;
	assert_int_equal(tokens_scaled(1000, 1500), 1500);
	assert_int_equal(tokens_scaled(1, 1500), 2);
	assert_int_equal(tokens_unscaled(1500, 1500), 1000);
	/* up at once, down by a quarter, inside the bounds, not by what is small */
	assert_int_equal(tokens_learn(1000, 1000, 1400), 1400);
	assert_int_equal(tokens_learn(1400, 1000, 1000), 1300);
	assert_int_equal(tokens_learn(1000, 1000, 90000), TOKENS_RATIO_MOST);
	assert_int_equal(tokens_learn(1000, 1000, INT64_MAX), TOKENS_RATIO_MOST);
	assert_int_equal(tokens_learn(1000, 100, 900), 1000);
	assert_int_equal(tokens_learn(1000, 1000, 0), 1000);
	assert_int_equal(tokens_learn(1000, 1000, -5), 1000);
	int ratio = 3000;
	for (int i = 0; i < 100; i++)
		ratio = tokens_learn(ratio, 1000, 1);
	assert_in_range(ratio, TOKENS_RATIO_LEAST, TOKENS_RATIO_LEAST + 5);
}

static void test_models(void **state)
{
	(void)state;
	static struct tokens_models t;
	struct tokens_model *a = tokens_model(&t, 7);
	assert_int_equal(a->ratio, TOKENS_RATIO_NONE);
	a->ratio = 1200;
	assert_ptr_equal(tokens_model(&t, 7), a);
	assert_int_equal(tokens_model(&t, 8)->ratio, TOKENS_RATIO_NONE);
	assert_int_equal(tokens_model(&t, 7)->ratio, 1200);
	assert_int_equal(tokens_model(&t, 7 + TOKENS_MODELS)->ratio, TOKENS_RATIO_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scripts),
		cmocka_unit_test(test_blocks),
		cmocka_unit_test(test_ratios),
		cmocka_unit_test(test_models),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
