/* SPDX-License-Identifier: Apache-2.0
 * Agents' configurations: every member, what is refused with which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "common/attr.h"
#include "proto/model/agent_config.h"
#include "proto/tools/catalog.h"

static bool read_config(struct agent_config *c, const char *text,
			struct settings_fault *fault)
{
	char why[100];
	struct json_doc *d = json_parse(slice_str(text), 10000, why, sizeof why);
	if (!d)
		fail_msg("%s: %s", text, why);
	agent_config_init(c);
	bool fine = agent_config_read(c, json_root(d), true, fault);
	json_free(d);
	return fine;
}

static void test_all_of_it(void **state)
{
	(void)state;
	struct agent_config c;
	struct settings_fault fault;
	if (!read_config(&c,
			 "{\"model\":\"openai/x\",\"fallbacks\":[\"gemini/y\"],"
			 "\"maxTokens\":9,\"systemPrompt\":\"be kind\","
			 "\"contextWindow\":32000,\"tools\":[\"read\",\"read\"],"
			 "\"workspace\":\"session\",\"workspaceBytes\":5,"
			 "\"workspaceFiles\":6,\"budgets\":{\"run\":{\"calls\":7},"
			 "\"session\":{\"tokens\":8}},\"queueMode\":\"collect\","
			 "\"queueCap\":10,\"skills\":[\"pdf\"],\"queueDrop\":\"old\","
			 "\"queueDebounceMs\":0,"
			 "\"onFailure\":\"block\",\"somebodyElses\":[1]}",
			 &fault))
		fail_msg("%s", fault.message);
	assert_string_equal(c.settings.model, "openai/x");
	assert_string_equal(c.settings.fallbacks[0], "gemini/y");
	assert_int_equal(c.settings.max_tokens, 9);
	assert_string_equal(c.system, "be kind");
	assert_int_equal(c.context_window, 32000);
	assert_int_equal(c.tool_set, 1ull << catalog_find(SLICE("read")));
	assert_true(c.by_session);
	assert_int_equal(json_len(json_root(c.skills)), 1);
	assert_int_equal(c.workspace_bytes, 5);
	assert_int_equal(c.workspace_files, 6);
	assert_int_equal(c.run_budget.calls, 7);
	assert_int_equal(c.session_budget.tokens, 8);
	agent_config_fini(&c);
}

static void test_nothing_said(void **state)
{
	(void)state;
	static const char *const texts[] = {
		"{}", "{\"systemPrompt\":null,\"tools\":null,\"queueMode\":null,"
		      "\"budgets\":null,\"model\":null}"};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct agent_config c;
		struct settings_fault fault;
		assert_true(read_config(&c, texts[i], &fault));
		assert_string_equal(c.system, "");
		assert_null(c.settings.model);
		assert_null(c.skills);
		assert_int_equal(c.tool_set, (1ull << catalog_count()) - 1);
		agent_config_fini(&c);
	}
}

static void test_refused(void **state)
{
	(void)state;
	static const struct {
		const char *text, *member, *says;
	} cases[] = {
		{"[]", "", "no object"},
		{"{\"systemPrompt\":7}", "systemPrompt", "a text of at most"},
		{"{\"contextWindow\":0}", "contextWindow", "from 1 to 100000000"},
		{"{\"contextWindow\":1.5}", "contextWindow", "integer"},
		{"{\"tools\":[\"no_such\"]}", "tools", "does not exist: no_such"},
		{"{\"tools\":\"read\"}", "tools", "a list"},
		{"{\"budgets\":{\"agent\":{}}}", "budgets", "'run' or 'session'"},
		{"{\"budgets\":[]}", "budgets", "'run' or 'session'"},
		{"{\"skills\":\"pdf\"}", "skills", "at most 150 skills' names"},
		{"{\"skills\":[\"pdf\",\"\"]}", "skills", "at most 150"},
		{"{\"workspace\":\"shared\"}", "workspace", "agent|session"},
		{"{\"workspaceBytes\":-1}", "workspaceBytes", "integer"},
		{"{\"queueMode\":\"collec\"}", "queueMode", "one of steer|followup"},
		{"{\"queueMode\":\"\"}", "queueMode", "one of"},
		{"{\"queueMode\":[\"collect\"]}", "queueMode", "one of"},
		{"{\"queueDebounceMs\":60001}", "queueDebounceMs", "0 to 60000"},
		{"{\"temperature\":3}", "temperature", "0 to 2"},
		/* the first of two, and what is right beside them is read */
		{"{\"queueCap\":0,\"contextWindow\":99,\"queueDrop\":1}", "queueCap",
		 "1 to"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct agent_config c;
		struct settings_fault fault = {.message = ""};
		if (read_config(&c, cases[i].text, &fault))
			fail_msg("%s was taken", cases[i].text);
		assert_string_equal(fault.member, cases[i].member);
		if (!strstr(fault.message, cases[i].says))
			fail_msg("%s: %s", cases[i].text, fault.message);
		if (strstr(cases[i].text, "99"))
			assert_int_equal(c.context_window, 99);
		agent_config_fini(&c);
	}
}

static void test_known(void **state)
{
	(void)state;
	assert_true(agent_config_knows(SLICE("contextWindow")));
	assert_true(agent_config_knows(SLICE("temperature")));
	assert_false(agent_config_knows(SLICE("contextWindo")));
	assert_false(agent_config_knows(SLICE("metadata"))); /* of a message alone */
}

static void test_names(void **state)
{
	(void)state;
	static const char *const good[] = {"a", "support", "Ünïcode name", "a.b-c_d",
					   "default"};
	static const char *const bad[] = {
		"",
		" a",
		"a ",
		"a/b",
		"a\nb",
		"a\xff",
		"0192f3a0-0000-7000-8000-0000000000aa",
		"123456789 123456789 123456789 123456789 123456789 123456789 1234"};
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_null(agent_name_problem(slice_str(good[i])));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_non_null(agent_name_problem(slice_str(bad[i])));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_of_it), cmocka_unit_test(test_nothing_said),
		cmocka_unit_test(test_refused), cmocka_unit_test(test_known),
		cmocka_unit_test(test_names)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
