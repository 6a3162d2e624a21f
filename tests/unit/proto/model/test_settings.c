/* SPDX-License-Identifier: Apache-2.0
 * What may be said of how a model is asked: taken, refused with the member's name, and
 * never half. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "common/attr.h"
#include "proto/model/settings.h"
#include "proto/tools/policy_words.h"

static struct model_settings s;
static struct settings_fault fault;

static int setup(void **state)
{
	(void)state;
	model_settings_init(&s);
	memset(&fault, 0, sizeof fault);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	model_settings_fini(&s);
	return 0;
}

static bool read_all(const char *json, enum settings_of who)
{
	AUTO(auto_json_free)
	struct json_doc *d = json_parse(slice_str(json), strlen(json), NULL, 0);
	assert_non_null(d);
	return model_settings_read_all(&s, json_root(d), who, &fault);
}

static void test_all_of_an_agent(void **state)
{
	(void)state;
	assert_true(read_all(
		"{\"model\":\"a/b/c\",\"fallbacks\":[\"d/e\",\"f/g\"],"
		"\"temperature\":0,\"topP\":0.5,\"maxTokens\":5,\"stop\":[\"x\",\"y\"],"
		"\"reasoningEffort\":\"high\",\"responseSchema\":{\"type\":"
		"\"object\"},\"queueMode\":\"steer\",\"tools\":[\"read\"],"
		"\"system\":\"no\"}",
		SETTINGS_AGENT));
	assert_string_equal(s.model, "a/b/c");
	assert_int_equal(s.fallback_count, 2);
	assert_string_equal(s.fallbacks[1], "f/g");
	assert_true(s.has_temperature && s.temperature == 0);
	assert_true(s.top_p > 0.4 && s.top_p < 0.6);
	assert_int_equal(s.max_tokens, 5);
	assert_string_equal(s.stop, "[\"x\",\"y\"]");
	assert_string_equal(s.effort, "high");
	assert_string_equal(s.schema, "{\"type\":\"object\"}");
	/* of these it has other members */
	assert_null(s.system);
	assert_false(s.has_tools);
}

static void test_what_only_a_run_says(void **state)
{
	(void)state;
	uint64_t read, memory;
	assert_true(policy_word(SLICE("read"), &read) &&
		    policy_word(SLICE("group:memory"), &memory));
	assert_true(read_all("{\"system\":\"be brief\",\"tools\":[\"read\","
			     "\"group:memory\"],\"metadata\":{},\"fallbacks\":[]}",
			     SETTINGS_RUN));
	assert_string_equal(s.system, "be brief");
	assert_true(s.has_tools && s.tools == (read | memory));
	assert_true(s.has_fallbacks && s.fallback_count == 0);
	assert_true(model_setting_exists(SLICE("tools"), SETTINGS_RUN));
	assert_false(model_setting_exists(SLICE("tools"), SETTINGS_AGENT));
	assert_false(model_setting_exists(SLICE("Model"), SETTINGS_RUN));
}

static void test_null_says_nothing(void **state)
{
	(void)state;
	assert_true(read_all("{\"model\":null,\"temperature\":null,\"stop\":null,"
			     "\"tools\":null,\"fallbacks\":null}",
			     SETTINGS_RUN));
	assert_null(s.model);
	assert_false(s.has_temperature || s.has_tools || s.has_fallbacks);
	assert_null(s.stop);
}

static void test_refusals(void **state)
{
	(void)state;
	static const struct {
		const char *json, *member, *says;
	} cases[] = {
		{"{\"model\":\"gpt\"}", "model", "provider/name"},
		{"{\"model\":\"/x\"}", "model", "provider/name"},
		{"{\"model\":\"x/\"}", "model", "provider/name"},
		{"{\"model\":\"a/\\n\"}", "model", "provider/name"},
		{"{\"model\":7}", "model", "provider/name"},
		{"{\"fallbacks\":\"a/b\"}", "fallbacks", "list"},
		{"{\"fallbacks\":[1]}", "fallbacks", "provider/name"},
		{"{\"fallbacks\":[\"a/b\",\"a/b\",\"a/b\",\"a/b\",\"a/b\",\"a/b\",\"a/"
		 "b\","
		 "\"a/b\",\"a/b\"]}",
		 "fallbacks", "at most 8"},
		{"{\"temperature\":-0.1}", "temperature", "0 to 2"},
		{"{\"temperature\":\"1\"}", "temperature", "0 to 2"},
		{"{\"topP\":0}", "topP", "above 0"},
		{"{\"topP\":1.5}", "topP", "at most 1"},
		{"{\"maxTokens\":1.5}", "maxTokens", "integer"},
		{"{\"maxTokens\":1000001}", "maxTokens", "integer"},
		{"{\"stop\":\"x\"}", "stop", "list"},
		{"{\"stop\":[\"a\",\"b\",\"c\",\"d\",\"e\"]}", "stop", "1 to 4"},
		{"{\"reasoningEffort\":\"HIGH\"}", "reasoningEffort", "low"},
		{"{\"responseSchema\":true}", "responseSchema", "object"},
		{"{\"tools\":\"read\"}", "tools", "list"},
		{"{\"tools\":[7]}", "tools", "no tool"},
		{"{\"tools\":[\"group:\"]}", "tools", "no tool: \"group:\""},
		{"{\"metadata\":[]}", "metadata", "object"},
		{"{\"budget\":{\"tokens\":0}}", "budget", "tokens, costMicros"},
		{"{\"budget\":{\"dollars\":1}}", "budget", "tokens, costMicros"},
		{"{\"budget\":5}", "budget", "tokens, costMicros"},
		{"{\"system\":[]}", "system", "text"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		memset(&fault, 0, sizeof fault);
		if (read_all(cases[i].json, SETTINGS_RUN) ||
		    strcmp(fault.member, cases[i].member) ||
		    !strstr(fault.message, cases[i].says) ||
		    !strstr(fault.message, cases[i].member))
			fail_msg("%s: [%s] %s", cases[i].json, fault.member,
				 fault.message);
	}
	assert_null(s.model);
	assert_int_equal(s.fallback_count, 0);
}

/* A later value replaces, a refused one leaves what was. */
static void test_again(void **state)
{
	(void)state;
	assert_true(
		read_all("{\"model\":\"a/1\",\"fallbacks\":[\"a/2\"]}", SETTINGS_RUN));
	assert_true(read_all("{\"model\":\"b/1\",\"fallbacks\":[\"b/2\",\"b/3\"]}",
			     SETTINGS_RUN));
	assert_string_equal(s.model, "b/1");
	assert_int_equal(s.fallback_count, 2);
	assert_false(read_all("{\"fallbacks\":[\"c/2\",\"c\"]}", SETTINGS_RUN));
	assert_string_equal(s.fallbacks[1], "b/3");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_all_of_an_agent), CASE(test_what_only_a_run_says),
		CASE(test_null_says_nothing), CASE(test_refusals), CASE(test_again)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
