/* SPDX-License-Identifier: Apache-2.0
 * The offline model: each row of its table is met by its own example, with the tool and
 * without it, and answers depend on the transcript alone. */
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
#include "worker/llm/llm.h"
#include "worker/tools/args.h"
#include "worker/tools/registry.h"

static const struct row {
	const char *name, *phrase, *tool, *arguments, *example;
} rows[] = {
#define RULE(NAME, phrase, tool, arguments, example)                                     \
	{#NAME, phrase, tool, arguments, example},
#include "worker/llm/offline_rules.tbl"
#undef RULE
};

#define MESSAGES_MOST 8

/* A transcript and the tools that are granted. */
struct talk {
	struct llm_message messages[MESSAGES_MOST], *list[MESSAGES_MOST];
	struct strbuf content[MESSAGES_MOST];
	struct llm_tool tool;
	const struct llm_tool *tools[1];
	struct llm_question q;
	struct llm_answer a;
};

static struct talk t;

static int setup(void **state)
{
	(void)state;
	memset(&t, 0, sizeof t);
	llm_answer_init(&t.a);
	t.q = (struct llm_question){
		.model = SLICE("rules"), .messages = t.list, .tools = t.tools};
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	llm_answer_fini(&t.a);
	for (size_t i = 0; i < MESSAGES_MOST; i++)
		strbuf_fini(&t.content[i]);
	return 0;
}

static void restart(void)
{
	teardown(NULL);
	setup(NULL);
}

static void grant(const char *tool)
{
	t.tool = (struct llm_tool){tool, "", "{}"};
	t.tools[0] = &t.tool;
	t.q.tool_count = 1;
}

static void say(enum llm_role role, const char *type, const char *text, bool is_error)
{
	size_t i = t.q.message_count++;
	struct json_out o = json_out(&t.content[i]);
	assert_true(i < MESSAGES_MOST);
	json_obj(&o);
	json_key(&o, "blocks");
	json_arr(&o);
	json_obj(&o);
	json_kv_cstr(&o, "type", type);
	json_kv_cstr(&o, "text", text);
	if (is_error)
		json_kv_bool(&o, "isError", true);
	json_obj_end(&o);
	json_arr_end(&o);
	json_obj_end(&o);
	t.messages[i] = (struct llm_message){role, strbuf_slice(&t.content[i]),
					     STRBUF_INIT, NULL};
	t.list[i] = &t.messages[i];
}

static void user(const char *text)
{
	say(LLM_USER, "text", text, false);
}

static void result(const char *text)
{
	say(LLM_TOOL, "tool_result", text, false);
}

static void failure(const char *text)
{
	say(LLM_TOOL, "tool_result", text, true);
}

static const char *ask(void)
{
	llm_answer_reset(&t.a);
	assert_int_equal(llm_offline.answer(&t.a, &t.q), ERR_OK);
	assert_true(t.a.usage.in > 0 && t.a.usage.out > 0);
	return t.a.text.n ? t.a.text.p : "";
}

static void expect_says(const char *want)
{
	const char *said = ask();
	assert_int_equal(t.a.call_count, 0);
	assert_int_equal(t.a.stop, LLM_STOP_END);
	assert_string_equal(said, want);
}

static void expect_calls(const char *tool, const char *arguments)
{
	ask();
	assert_int_equal(t.a.stop, LLM_STOP_TOOLS);
	assert_int_equal(t.a.call_count, 1);
	assert_int_equal(t.a.text.n, 0);
	assert_true(llm_call_at(&t.a, 0)->id.n > 0);
	assert_string_equal(llm_call_at(&t.a, 0)->name.p, tool);
	assert_string_equal(llm_call_at(&t.a, 0)->arguments.p, arguments);
}

/* The arguments which the row's own example must give. */
static void expand(struct strbuf *out, const struct row *r)
{
	struct slice phrase = slice_str(r->phrase), first, second = SLICE_NONE;
	bool split = phrase.p[phrase.n - 1] == ':';
	first = slice_str(r->example + phrase.n - split);
	if (split) {
		struct slice rest = first;
		first = slice_cut(&rest, ':');
		second = slice_trim(rest);
	}
	first = slice_trim(first);
	for (const char *p = r->arguments; *p; p++) {
		if (*p == '%' && (p[1] == '1' || p[1] == '2'))
			json_escape(out, *++p == '1' ? first : second);
		else
			strbuf_add_char(out, *p);
	}
}

static void test_each_row_meets_its_example(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct strbuf want = STRBUF_INIT;
		const struct tool_spec *tool = tool_find(slice_str(rows[i].tool));
		char why[200];
		expand(&want, &rows[i]);
		restart();
		grant(rows[i].tool);
		user(rows[i].example);
		expect_calls(rows[i].tool, want.p);
		AUTO(auto_json_free)
		struct json_doc *args = json_parse(strbuf_slice(&want), want.n, NULL, 0);
		assert_int_equal(json_kind(json_root(args)), JSON_OBJECT);
		if (tool) { /* one that this build has: it takes them */
			AUTO(auto_json_free)
			struct json_doc *schema =
				json_parse(slice_str(tool->schema), 1 << 20, NULL, 0);
			assert_int_equal(args_check(json_root(schema), json_root(args),
						    why, sizeof why),
					 ERR_OK);
		}
		strbuf_fini(&want);
	}
}

static void test_without_the_tool_it_says_so(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		restart();
		grant("another");
		user(rows[i].example);
		const char *said = ask();
		assert_int_equal(t.a.call_count, 0);
		assert_int_equal(t.a.stop, LLM_STOP_END);
		if (!strstr(said, rows[i].tool) || !strstr(said, "would need the tool"))
			fail_msg("%s: %s", rows[i].name, said);
	}
}

/* Whatever the row: behind a tool's result there is an answer, and no second call. */
static void test_after_a_result_it_answers(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		for (int failed = 0; failed < 2; failed++) {
			restart();
			grant(rows[i].tool);
			user(rows[i].example);
			say(LLM_ASSISTANT, "tool_call", "", false);
			say(LLM_TOOL, "tool_result", "some words", failed);
			const char *said = ask();
			assert_int_equal(t.a.call_count, 0);
			assert_int_equal(t.a.stop, LLM_STOP_END);
			if (!*said)
				fail_msg("%s says nothing", rows[i].name);
		}
}

static void test_phrases(void **state)
{
	(void)state;
	grant("memory_store");
	user("  ReMeMbEr THAT  a \"quote\" \\ and\ttab ");
	expect_calls("memory_store", "{\"text\":\"- a \\\"quote\\\" \\\\ and\\ttab\"}");
	restart();
	grant("write");
	user("write a.md: x: y");
	expect_calls("write", "{\"path\":\"a.md\",\"content\":\"x: y\"}");
	restart();
	grant("write");
	user("write : x"); /* no path */
	assert_non_null(strstr(ask(), "I am the offline model"));
	restart();
	grant("write");
	user("write a.md"); /* no content */
	assert_non_null(strstr(ask(), "I am the offline model"));
}

static void test_help_names_what_works(void **state)
{
	(void)state;
	grant("memory_get");
	user("good morning");
	const char *said = ask();
	assert_non_null(strstr(said, "I am the offline model"));
	assert_non_null(strstr(said, "what do you know about"));
	assert_null(strstr(said, "remember that"));
	restart();
	assert_non_null(strstr(ask(), "OPENAI_API_KEY")); /* an empty transcript */
}

static void test_the_last_user_message_counts(void **state)
{
	(void)state;
	grant("memory_store");
	user("remember that A");
	say(LLM_ASSISTANT, "tool_call", "", false);
	result("{}");
	say(LLM_ASSISTANT, "text", "I will remember: A.", false);
	user("remember that B");
	expect_calls("memory_store", "{\"text\":\"- B\"}");
	result("{\"path\":\"MEMORY.md\",\"version\":2}");
	expect_says("I will remember: B.");
}

static void test_memory_answers(void **state)
{
	(void)state;
	static const char stored[] = "{\"path\":\"MEMORY.md\",\"text\":\"- The Deploy is "
				     "on Tuesday\\n\\n- Ada is "
				     "away\\n- deploys need two people\\n\"}";
	grant("memory_get");
	user("what do you know about the deploy?");
	result(stored);
	expect_says(
		"This is what I remember:\n- The Deploy is on Tuesday\n- deploys need "
		"two people");
	restart();
	grant("memory_get");
	user("What do you know?");
	result(stored);
	expect_says("This is what I remember:\n- The Deploy is on Tuesday\n- Ada is "
		    "away\n- deploys need two people");
	restart();
	grant("memory_get");
	user("what do you know about bananas?");
	result(stored);
	expect_says("I remember nothing about that yet.");
	restart();
	grant("memory_get");
	user("what do you remember about Ada?");
	failure("{\"error\":\"there is no document\"}");
	expect_says("I remember nothing yet.");
	restart();
	grant("memory_get");
	user("what do you know?");
	result("not JSON at all");
	expect_says("I remember nothing about that yet.");
}

static void test_errors_are_told(void **state)
{
	(void)state;
	grant("memory_store");
	user("remember that x");
	failure("{\"error\":\"the memory is full\"}");
	expect_says("That did not work: {\"error\":\"the memory is full\"}");
}

/* The same transcript, the same answer, call id included. */
static void test_determinism(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char id[64], arguments[512];
		restart();
		grant(rows[i].tool);
		user(rows[i].example);
		ask();
		snprintf(id, sizeof id, "%s", llm_call_at(&t.a, 0)->id.p);
		snprintf(arguments, sizeof arguments, "%s",
			 llm_call_at(&t.a, 0)->arguments.p);
		ask();
		assert_string_equal(llm_call_at(&t.a, 0)->id.p, id);
		assert_string_equal(llm_call_at(&t.a, 0)->arguments.p, arguments);
	}
}

/* Two calls of one session have two ids. */
static void test_ids_differ(void **state)
{
	(void)state;
	char id[64];
	grant("memory_store");
	user("remember that x");
	ask();
	snprintf(id, sizeof id, "%s", llm_call_at(&t.a, 0)->id.p);
	result("{}");
	user("remember that y");
	ask();
	assert_string_not_equal(llm_call_at(&t.a, 0)->id.p, id);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_each_row_meets_its_example),
		CASE(test_without_the_tool_it_says_so),
		CASE(test_after_a_result_it_answers),
		CASE(test_phrases),
		CASE(test_help_names_what_works),
		CASE(test_the_last_user_message_counts),
		CASE(test_memory_answers),
		CASE(test_errors_are_told),
		CASE(test_determinism),
		CASE(test_ids_differ),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
