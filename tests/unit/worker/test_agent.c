/* SPDX-License-Identifier: Apache-2.0
 * Agents' configurations: what is read, what is refused with which words, and the cache
 * of the result. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "common/attr.h"
#include "worker/agent.h"
#include "worker/tools/registry.h"

static struct agents *agents;
static int revision;

static int setup(void **state)
{
	(void)state;
	agents = agents_new();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	agents_free(agents);
	return 0;
}

static uint64_t set_of(const char *name)
{
	return 1ull << tool_index(tool_find(slice_str(name)));
}

static struct agent *read_config(const char *config)
{
	struct uuid id = {{1}};
	return agent_put(agents, 1, id, ++revision, slice_str(config));
}

static void test_all_of_it(void **state)
{
	(void)state;
	struct agent *a = read_config("{\"model\":\"openai/x\",\"systemPrompt\":\"be "
				      "\\\"kind\\\"\",\"tools\":[\"memory_get\"],"
				      "\"other\":{\"tools\":7}}");
	assert_null(a->problem);
	assert_string_equal(a->config.settings.model, "openai/x");
	assert_string_equal(a->config.system, "be \"kind\"");
	assert_int_equal(a->config.tool_set, set_of("memory_get"));
	const struct tool_spec *t = tool_find(SLICE("memory_get"));
	assert_string_equal(agent_tool(a, tool_index(t))->name, "memory_get");
	assert_ptr_equal(agent_tool(a, tool_index(t))->schema, t->schema);
	agent_give_back(a);
}

static void test_defaults(void **state)
{
	(void)state;
	static const char *const configs[] = {
		"{}", "{\"queueCap\":0}",
		"{\"model\":null,\"systemPrompt\":null,\"tools\":null}"};
	for (size_t i = 0; i < ARRAY_LEN(configs); i++) {
		struct agent *a = read_config(configs[i]);
		assert_null(a->problem);
		assert_null(a->config.settings.model);
		assert_string_equal(a->config.system, "");
		assert_int_equal(a->config.tool_set, (1ull << tool_count()) - 1);
		agent_give_back(a);
	}
	struct agent *none = read_config("{\"tools\":[]}");
	assert_null(none->problem);
	assert_int_equal(none->config.tool_set, 0);
	agent_give_back(none);
}

static void test_refusals(void **state)
{
	(void)state;
	static const struct {
		const char *config, *says;
	} cases[] = {
		{"{\"tools\":[\"memory_get\",\"no_such\"]}", "does not exist: no_such"},
		{"{\"tools\":[7]}", "does not exist"},
		{"{\"tools\":\"memory_get\"}", "tools must be a list"},
		{"{\"tools\":{}}", "tools must be a list"},
		{"{\"model\":7}", "model must be a model as"},
		{"{\"systemPrompt\":[]}", "systemPrompt must be a text"},
		{"{\"model\":\"a\",\"model\":\"b\"}", "cannot be read"},
		{"{\"model\":\"a\"", "cannot be read"},
		{"", "cannot be read"},
		{"[]", "no object"},
		{"7", "no object"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct agent *a = read_config(cases[i].config);
		if (!a->problem || !strstr(a->problem, cases[i].says))
			fail_msg("%s: %s", cases[i].config,
				 a->problem ? a->problem : "taken");
		assert_non_null(a->config.system);
		agent_give_back(a);
	}
}

/* A tool that is named twice is granted once: providers refuse doubles. */
static void test_doubles(void **state)
{
	(void)state;
	struct agent *a = read_config("{\"tools\":[\"memory_get\",\"memory_get\","
				      "\"memory_store\",\"memory_get\"]}");
	assert_null(a->problem);
	assert_int_equal(a->config.tool_set,
			 set_of("memory_get") | set_of("memory_store"));
	agent_give_back(a);
}

static void test_the_cache(void **state)
{
	(void)state;
	struct uuid id = {{9}}, other = {{8}};
	assert_null(agent_take(agents, 1, id, 1));
	struct agent *a = agent_put(agents, 1, id, 1, SLICE("{\"model\":\"a/a\"}"));
	assert_ptr_equal(agent_take(agents, 1, id, 1), a);
	assert_int_equal(a->users, 2);
	assert_null(agent_take(agents, 2, id, 1));
	assert_null(agent_take(agents, 1, id, 2));
	assert_null(agent_take(agents, 1, other, 1));
	/* two runs read it at once: the first one's stays */
	assert_ptr_equal(agent_put(agents, 1, id, 1, SLICE("{\"model\":\"b/b\"}")), a);
	assert_string_equal(a->config.settings.model, "a/a");
	for (int i = 0; i < 3; i++)
		agent_give_back(a);
}

/* Unused ones go, oldest first; what is used stays. */
static void test_eviction(void **state)
{
	(void)state;
	struct uuid id = {{9}};
	struct agent *held =
		agent_put(agents, 1, id, 1, SLICE("{\"model\":\"held/one\"}"));
	for (int i = 2; i < 1500; i++)
		agent_give_back(agent_put(agents, 1, id, i, SLICE("{}")));
	assert_ptr_equal(agent_take(agents, 1, id, 1), held);
	assert_string_equal(held->config.settings.model, "held/one");
	assert_null(agent_take(agents, 1, id, 2));
	struct agent *recent = agent_take(agents, 1, id, 1499);
	assert_non_null(recent);
	agent_give_back(recent);
	agent_give_back(held);
	agent_give_back(held);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

static void test_budgets(void **state)
{
	(void)state;
	struct agent *a =
		read_config("{\"budgets\":{\"run\":{\"tokens\":5000,\"seconds\":60},"
			    "\"session\":{\"costMicros\":7,\"calls\":null}}}");
	assert_null(a->problem);
	assert_int_equal(a->config.run_budget.tokens, 5000);
	assert_int_equal(a->config.run_budget.seconds, 60);
	assert_int_equal(a->config.run_budget.calls, 0);
	assert_int_equal(a->config.session_budget.cost_micros, 7);
	agent_give_back(a);
	static const char *const wrong[] = {
		"{\"budgets\":5}",
		"{\"budgets\":{\"agent\":{\"tokens\":5}}}",
		"{\"budgets\":{\"run\":{\"tokens\":0}}}",
		"{\"budgets\":{\"run\":{\"tokens\":1.5}}}",
		"{\"budgets\":{\"run\":{\"token\":5}}}",
		"{\"budgets\":{\"session\":[1]}}",
	};
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		a = read_config(wrong[i]);
		assert_non_null(a->problem);
		assert_non_null(strstr(a->problem, "budgets"));
		agent_give_back(a);
	}
}

static void test_the_tighter_limit(void **state)
{
	(void)state;
	struct budget_limits a = {.tokens = 5, .calls = 9},
			     b = {.tokens = 7, .cost_micros = 3, .calls = 2};
	struct budget_limits c = budget_limits_of(&a, &b);
	assert_int_equal(c.tokens, 5);
	assert_int_equal(c.cost_micros, 3);
	assert_int_equal(c.calls, 2);
	assert_int_equal(c.seconds, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_all_of_it), CASE(test_defaults),          CASE(test_refusals),
		CASE(test_doubles),   CASE(test_the_cache),         CASE(test_eviction),
		CASE(test_budgets),   CASE(test_the_tighter_limit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
