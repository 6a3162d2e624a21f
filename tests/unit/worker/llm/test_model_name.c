/* SPDX-License-Identifier: Apache-2.0
 * Versions in the names of models. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/attr.h"
#include "worker/llm/model_name.h"

static void test_versions(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		int version;
	} cases[] = {
		{"claude-3-7-sonnet-20250219", 307},
		{"claude-3-opus-20240229", 300},
		{"claude-opus-4-20250514", 400},
		{"claude-opus-4-1-20250805", 401},
		{"claude-sonnet-4-5", 405},
		{"claude-fable-5-1", 501},
		{"claude-opus-10-12", 1012},
		{"anthropic.claude-opus-4-6-v1:0", 406},
		{"gemini-2.5-flash-preview-04-17", 205},
		{"gemini-3-pro-preview", 300},
		{"models/gemini-3.1-pro", 301},
		{"gemini-flash-latest", 0},
		{"gpt-4o", 0},
		{"x-20250101", 0},
		{"5", 500},
		{"-", 0},
		{"", 0},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (model_version(slice_str(cases[i].name)) != cases[i].version)
			fail_msg("%s: %d", cases[i].name,
				 model_version(slice_str(cases[i].name)));
	assert_int_equal(model_version(SLICE_NONE), 0);
}

static void test_sight(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		bool of_openai, of_others;
	} cases[] = {
		{"gpt-4o-mini", true, true},  {"gpt-5.2", true, true},
		{"gpt-4-turbo", true, false}, {"gpt-4", false, false},
		{"gpt-4-0613", false, false}, {"gpt-3.5-turbo", false, false},
		{"o3-mini", false, false},    {"o4-mini", true, false},
		{"Pixtral-12B", true, true},  {"llama3.2-vision:11b", true, true},
		{"llama3.1", true, false},    {"", true, false},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct slice name = slice_str(cases[i].name);
		if (model_of_openai_sees(name) != cases[i].of_openai ||
		    model_sees(name) != cases[i].of_others)
			fail_msg("%s", cases[i].name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_versions),
					   cmocka_unit_test(test_sight)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
