/* SPDX-License-Identifier: Apache-2.0
 * What a model's call costs, to the micro: parts, rounding, bounds; whose price counts;
 * and that what nobody knows is not 0. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "common/attr.h"
#include "worker/llm/prices.h"

static int64_t cost(struct price p, struct llm_usage u)
{
	return price_cost(&p, &u);
}

static void test_parts(void **state)
{
	(void)state;
	struct price p = {
		.in = 3000000, .out = 15000000, .cached = 300000, .cache_write = 3750000};
	assert_int_equal(cost(p, (struct llm_usage){.in = 1000000}), 3000000);
	assert_int_equal(cost(p, (struct llm_usage){.out = 1000000}), 15000000);
	/* 1000 of it new, 600 from the cache, 400 into it */
	assert_int_equal(cost(p, (struct llm_usage){.in = 2000,
						    .cached = 600,
						    .cache_write = 400,
						    .out = 10}),
			 3000 + 180 + 1500 + 150);
	/* thoughts are part of the answer */
	assert_int_equal(cost(p, (struct llm_usage){.out = 100, .reasoning = 90}), 1500);
}

static void test_rounding_is_up(void **state)
{
	(void)state;
	struct price p = {.in = 1};
	assert_int_equal(cost(p, (struct llm_usage){.in = 0}), 0);
	assert_int_equal(cost(p, (struct llm_usage){.in = 1}), 1);
	assert_int_equal(cost(p, (struct llm_usage){.in = 1000000}), 1);
	assert_int_equal(cost(p, (struct llm_usage){.in = 1000001}), 2);
	/* once, not a part */
	p = (struct price){.in = 1, .out = 1, .cached = 1};
	assert_int_equal(cost(p, (struct llm_usage){.in = 2, .cached = 1, .out = 1}), 1);
}

static void test_nonsense(void **state)
{
	(void)state;
	struct price p = {.in = 1000000, .out = 1000000, .cached = 1000000};
	/* more from the cache than there was: what is reported counts */
	assert_int_equal(cost(p, (struct llm_usage){.in = 5, .cached = 9}), 9);
	assert_int_equal(cost(p, (struct llm_usage){.in = -5, .out = -7}), 0);
	assert_true(cost((struct price){.in = INT64_MAX, .out = INT64_MAX},
			 (struct llm_usage){.in = INT64_MAX, .out = INT64_MAX}) ==
		    INT64_MAX);
}

static bool find(const struct price_list *l, const char *provider, const char *model,
		 struct price *p)
{
	return price_find(l, slice_str(provider), slice_str(model), p);
}

static void test_the_build_knows(void **state)
{
	(void)state;
	struct price p;
	assert_true(find(NULL, "openai", "gpt-4o", &p));
	assert_int_equal(p.in, 2500000);
	assert_true(find(NULL, "openai", "gpt-4o-mini-2024-07-18", &p));
	assert_int_equal(p.in, 150000);
	assert_true(find(NULL, "anthropic", "claude-sonnet-4-5-20250929", &p));
	assert_int_equal(p.cache_write, 3750000);
	assert_true(find(NULL, "offline", "anything", &p));
	assert_int_equal(p.in, 0);
	assert_false(find(NULL, "openai", "gpt-unheard-of", &p));
	assert_false(find(NULL, "openai", "gpt-4o-audio-preview", &p));
	assert_false(find(NULL, "anthropic", "gpt-4o", &p));
}

static void test_whose_price_counts(void **state)
{
	(void)state;
	struct price p;
	struct price_list *l = price_list_new(SLICE(
		"[{\"of\":\"platform\",\"provider\":\"openai\",\"model\":\"gpt-4o\","
		"\"input\":1,\"output\":2,\"cached\":3,\"cacheWrite\":4},"
		"{\"of\":\"tenant\",\"provider\":\"openai\",\"model\":\"gpt-4*\","
		"\"input\":5,\"output\":6,\"cached\":7,\"cacheWrite\":8},"
		"{\"of\":\"tenant\",\"provider\":\"openai\",\"model\":\"gpt-4.1*\","
		"\"input\":9,\"output\":6,\"cached\":7,\"cacheWrite\":8},"
		"{\"of\":\"platform\",\"provider\":\"openai\",\"model\":\"o3\","
		"\"input\":10,\"output\":0,\"cached\":0,\"cacheWrite\":0},"
		"{\"of\":\"tenant\",\"provider\":\"openai\",\"model\":\"o1\","
		"\"input\":-1,\"output\":0,\"cached\":0,\"cacheWrite\":0},"
		"{\"of\":\"tenant\",\"provider\":\"openai\"}]"));
	assert_non_null(l);
	assert_true(find(l, "openai", "gpt-4o", &p)); /* the tenant's, though shorter */
	assert_int_equal(p.in, 5);
	assert_int_equal(p.cache_write, 8);
	assert_true(find(l, "openai", "gpt-4.1-mini", &p)); /* the longer one */
	assert_int_equal(p.in, 9);
	assert_true(find(l, "openai", "o3", &p));
	assert_int_equal(p.in, 10);
	assert_true(find(l, "openai", "o1", &p)); /* a broken row is none */
	assert_int_equal(p.in, 15000000);
	price_list_free(l);
	assert_null(price_list_new(SLICE("[]")));
	assert_null(price_list_new(SLICE("nonsense")));
	assert_null(price_list_new(SLICE_NONE));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_rounding_is_up),
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_the_build_knows),
		cmocka_unit_test(test_whose_price_counts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
