/* SPDX-License-Identifier: Apache-2.0
 * The request text of a chat completion, to the byte, and that a message's wire form is
 * made once. */
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

#define HEAD                                                                             \
	"{\"model\":\"m1\",\"stream\":true,\"stream_options\":{\"include_usage\":true},"

static struct strbuf out;

static int teardown(void **state)
{
	(void)state;
	strbuf_fini(&out);
	return 0;
}

static void expect(const struct llm_question *q, const char *want)
{
	strbuf_reset(&out);
	llm_openai.write_request(&out, q);
	AUTO(auto_json_free)
	struct json_doc *d = json_parse(strbuf_slice(&out), out.n, NULL, 0);
	assert_non_null(d);
	assert_string_equal(out.p, want);
}

/* One message's form. */
static void expect_message(enum llm_role role, const char *content, const char *want)
{
	strbuf_reset(&out);
	strbuf_add_str(&out, "");
	AUTO(auto_json_free)
	struct json_doc *d = json_parse(slice_str(content), strlen(content), NULL, 0);
	llm_openai.write_message(&out, role, json_get(json_root(d), "blocks"));
	assert_string_equal(out.p, want);
}

static void test_nothing_but_a_question(void **state)
{
	(void)state;
	struct llm_message m = {LLM_USER,
				SLICE("{\"blocks\":[{\"type\":\"text\",\"text\":"
				      "\"h\\u00e9 \\\"q\\\"\"}]}"),
				STRBUF_INIT, NULL};
	struct llm_message *list[] = {&m};
	struct llm_question q = {
		.model = SLICE("m1"), .messages = list, .message_count = 1};
	expect(&q, HEAD "\"messages\":[{\"role\":\"user\",\"content\":\"h\xC3\xA9 "
			"\\\"q\\\"\"}]}");
	strbuf_fini(&m.wire);
}

static void test_system_and_tools(void **state)
{
	(void)state;
	static const struct llm_tool t1 = {"f", "does \"f\"", "{\"type\":\"object\"}"},
				     t2 = {"g", "does g", "{}"};
	const struct llm_tool *tools[] = {&t1, &t2};
	struct llm_question q = {.model = SLICE("m1"),
				 .system = SLICE("be\nkind"),
				 .tools = tools,
				 .tool_count = 2};
	expect(&q,
	       HEAD "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\","
		    "\"description\":\"does \\\"f\\\"\",\"parameters\":{\"type\":"
		    "\"object\"}}},{\"type\":\"function\",\"function\":{\"name\":\"g\","
		    "\"description\":\"does g\",\"parameters\":{}}}],\"messages\":[{"
		    "\"role\":\"system\",\"content\":\"be\\nkind\"}]}");
}

/* A client's may have no description; which one is to be called. */
static void test_choices(void **state)
{
	(void)state;
	static const struct llm_tool t1 = {"f", NULL, "{\"type\":\"object\"}"};
	static const struct {
		struct llm_choice choice;
		const char *want;
	} cases[] = {
		{{.kind = LLM_CHOICE_FREE}, ""},
		{{.kind = LLM_CHOICE_NONE}, "\"tool_choice\":\"none\","},
		{{.kind = LLM_CHOICE_REQUIRED}, "\"tool_choice\":\"required\","},
		{{LLM_CHOICE_NAMED, {"f", 1}},
		 "\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"f\"}}"
		 ","},
	};
	const struct llm_tool *tools[] = {&t1};
	struct llm_question q = {.model = SLICE("m1"), .tools = tools, .tool_count = 1};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char want[400];
		q.choice = cases[i].choice;
		snprintf(want, sizeof want,
			 HEAD "\"tools\":[{\"type\":\"function\",\"function\":{"
			      "\"name\":\"f\",\"parameters\":{\"type\":\"object\"}}}],%s"
			      "\"messages\":[]}",
			 cases[i].want);
		expect(&q, want);
	}
	q.tool_count = 0; /* none to choose of */
	expect(&q, HEAD "\"messages\":[]}");
}

/* A whole transcript: text, calls, both results in one stored message, the answer. */
static void test_a_transcript(void **state)
{
	(void)state;
	struct llm_message m[] = {
		{LLM_SUMMARY,
		 SLICE("{\"blocks\":[{\"type\":\"text\",\"text\":\"before\"}]}"),
		 STRBUF_INIT, NULL},
		{LLM_ASSISTANT,
		 SLICE("{\"blocks\":[{\"type\":\"text\",\"text\":\"look\"},{\"type\":"
		       "\"tool_call\",\"callId\":\"c1\",\"name\":\"f\",\"arguments\":{"
		       "\"x\""
		       ":\"\\\"\"}},{\"type\":\"tool_call\",\"callId\":\"c2\",\"name\":"
		       "\"g\",\"arguments\":{}}]}"),
		 STRBUF_INIT, NULL},
		{LLM_TOOL,
		 SLICE("{\"blocks\":[{\"type\":\"tool_result\",\"callId\":\"c1\","
		       "\"text\":"
		       "\"{\\\"a\\\":1}\"},{\"type\":\"tool_result\",\"callId\":\"c2\","
		       "\"isError\":true,\"text\":\"no\"}]}"),
		 STRBUF_INIT, NULL},
		{LLM_ASSISTANT,
		 SLICE("{\"blocks\":[{\"type\":\"text\",\"text\":\"ok\"}]}"), STRBUF_INIT,
		 NULL},
	};
	struct llm_message *list[] = {&m[0], &m[1], &m[2], &m[3]};
	struct llm_question q = {
		.model = SLICE("m1"), .messages = list, .message_count = 4};
	expect(&q,
	       HEAD "\"messages\":[{\"role\":\"user\",\"content\":\"before\"},{\"role\":"
		    "\"assistant\",\"content\":\"look\",\"tool_calls\":[{\"id\":\"c1\","
		    "\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":"
		    "\"{\\\"x\\\":\\\"\\\\\\\"\\\"}\"}},{\"id\":\"c2\",\"type\":"
		    "\"function\",\"function\":{\"name\":\"g\",\"arguments\":\"{}\"}}]},{"
		    "\"role\":\"tool\",\"tool_call_id\":\"c1\",\"content\":"
		    "\"{\\\"a\\\":1}\"},{\"role\":\"tool\",\"tool_call_id\":\"c2\","
		    "\"content\":\"no\"},{\"role\":\"assistant\",\"content\":\"ok\"}]}");
	for (size_t i = 0; i < ARRAY_LEN(m); i++)
		strbuf_fini(&m[i].wire);
}

static void test_messages(void **state)
{
	(void)state;
	expect_message(LLM_USER,
		       "{\"blocks\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":"
		       "\"image\"},{\"type\":\"text\",\"text\":\"b\"}]}",
		       "{\"role\":\"user\",\"content\":\"a\\nb\"}");
	expect_message(LLM_ASSISTANT,
		       "{\"blocks\":[{\"type\":\"tool_call\",\"callId\":\"c\",\"name\":"
		       "\"f\",\"arguments\":{\"_raw\":\"{oops\"}}]}",
		       "{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{\"id\":"
		       "\"c\",\"type\":\"function\",\"function\":{\"name\":\"f\","
		       "\"arguments\":\"{\\\"_raw\\\":\\\"{oops\\\"}\"}}]}");
	/* only an assistant calls; only a tool answers */
	expect_message(LLM_USER,
		       "{\"blocks\":[{\"type\":\"tool_call\",\"callId\":\"c\",\"name\":"
		       "\"f\",\"arguments\":{}}]}",
		       "{\"role\":\"user\",\"content\":\"\"}");
	expect_message(LLM_TOOL, "{\"blocks\":[]}", "");
	expect_message(LLM_USER,
		       "{\"blocks\":[{\"type\":\"text\",\"text\":\"see\"},{\"type\":"
		       "\"image\",\"mediaType\":\"image/gif\",\"data\":\"R0lG\"},{"
		       "\"type\":\"image\",\"url\":\"https://x/y.png\"}]}",
		       "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":"
		       "\"see\"},{\"type\":\"image_url\",\"image_url\":{\"url\":"
		       "\"data:image/gif;base64,R0lG\"}},{\"type\":\"image_url\","
		       "\"image_url\":{\"url\":\"https://x/y.png\"}}]}");
	/* thoughts stay here */
	expect_message(LLM_ASSISTANT,
		       "{\"blocks\":[{\"type\":\"reasoning\",\"text\":\"hm\"},{\"type\":"
		       "\"text\",\"text\":\"yes\"}]}",
		       "{\"role\":\"assistant\",\"content\":\"yes\"}");
	expect_message(LLM_USER, "{}", "{\"role\":\"user\",\"content\":\"\"}");
	expect_message(LLM_USER, "broken", "{\"role\":\"user\",\"content\":\"\"}");
}

/* Images that tools returned come behind all results of the step; to models that take
 * none, not at all. */
static void test_images_of_tools(void **state)
{
	(void)state;
	struct llm_message m[] = {
		{LLM_TOOL,
		 SLICE("{\"blocks\":[{\"type\":\"tool_result\",\"callId\":\"c1\","
		       "\"text\":"
		       "\"one {\\\"type\\\":\\\"image_url\\\",\"},{\"type\":\"image\","
		       "\"mediaType\":\"image/png\",\"data\":\"iVBO\"},{\"type\":"
		       "\"image\",\"url\":\"https://x/y\"}]}"),
		 STRBUF_INIT, NULL},
		{LLM_TOOL,
		 SLICE("{\"blocks\":[{\"type\":\"tool_result\",\"callId\":\"c2\","
		       "\"text\":"
		       "\"two\"},{\"type\":\"image\",\"mediaType\":\"image/gif\","
		       "\"data\":\"R0lG\"}]}"),
		 STRBUF_INIT, NULL},
		{LLM_ASSISTANT,
		 SLICE("{\"blocks\":[{\"type\":\"text\",\"text\":\"ok\"}]}"), STRBUF_INIT,
		 NULL},
	};
	static const char results[] =
		"{\"role\":\"tool\",\"tool_call_id\":\"c1\",\"content\":\"one "
		"{\\\"type\\\":\\\"image_url\\\",\"},{\"role\":\"tool\","
		"\"tool_call_id\":\"c2\",\"content\":\"two\"},",
			  images[] = "{\"role\":\"user\",\"content\":[{\"type\":\"text\","
				     "\"text\":\"What the tools returned as images:\"},{"
				     "\"type\":\"image_url\",\"image_url\":{\"url\":"
				     "\"data:image/png;base64,iVBO\"}},{\"type\":"
				     "\"image_url\",\"image_url\":{\"url\":"
				     "\"data:image/gif;base64,R0lG\"}}]},",
			  last[] = "{\"role\":\"assistant\",\"content\":\"ok\"}]}";
	struct llm_message *list[] = {&m[0], &m[1], &m[2]};
	static const struct {
		const struct llm_provider *provider;
		const char *model;
		bool sees;
	} cases[] = {{&llm_openai, "gpt-4o-mini", true},
		     {&llm_openai, "gpt-3.5-turbo", false},
		     {&llm_ollama, "llama3.1", false},
		     {&llm_vllm, "Qwen/Qwen2.5-VL-7B", true}};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(strbuf_fini) struct strbuf text = STRBUF_INIT, want = STRBUF_INIT;
		struct llm_question q = {.model = slice_str(cases[i].model),
					 .messages = list,
					 .message_count = ARRAY_LEN(list)};
		cases[i].provider->write_request(&text, &q);
		strbuf_printf(&want, "\"messages\":[%s%s%s", results,
			      cases[i].sees ? images : "", last);
		if (!strstr(text.p, want.p))
			fail_msg("%s: no %s in %s", cases[i].model, want.p, text.p);
	}
	for (size_t i = 0; i < ARRAY_LEN(m); i++)
		strbuf_fini(&m[i].wire);
}

/* An empty form leaves no comma behind. */
static void test_parameters(void **state)
{
	(void)state;
	struct llm_question q = {.model = SLICE("m1"),
				 .params = {.has_temperature = true,
					    .temperature = 0.5,
					    .top_p = 0.25,
					    .max_tokens = 99,
					    .effort = SLICE("low"),
					    .stop = SLICE("[\"END\"]"),
					    .schema = SLICE("{\"type\":\"object\"}")}};
	expect(&q, HEAD "\"temperature\":0.5,\"top_p\":0.25,\"max_completion_tokens\":99,"
			"\"reasoning_effort\":\"low\",\"stop\":[\"END\"],"
			"\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{"
			"\"name\":\"answer\",\"strict\":true,\"schema\":{\"type\":"
			"\"object\"}}},\"messages\":[]}");
	strbuf_reset(&out);
	llm_vllm.write_request(&out, &q);
	assert_non_null(strstr(out.p, "\"max_tokens\":99,"));
}

static void test_an_empty_tool_message(void **state)
{
	(void)state;
	struct llm_message none = {LLM_TOOL, SLICE("{\"blocks\":[]}"), STRBUF_INIT, NULL};
	struct llm_message user = {
		LLM_USER, SLICE("{\"blocks\":[{\"type\":\"text\",\"text\":\"u\"}]}"),
		STRBUF_INIT, NULL};
	struct llm_message *list[] = {&none, &user, &none};
	struct llm_question q = {
		.model = SLICE("m1"), .messages = list, .message_count = 3};
	expect(&q, HEAD "\"messages\":[{\"role\":\"user\",\"content\":\"u\"}]}");
	strbuf_fini(&user.wire);
}

static void test_the_wire_form_is_kept(void **state)
{
	(void)state;
	struct llm_message m = {
		LLM_USER, SLICE("{\"blocks\":[{\"type\":\"text\",\"text\":\"u\"}]}"),
		STRBUF_INIT, NULL};
	struct llm_message *list[] = {&m};
	struct llm_question q = {
		.model = SLICE("m1"), .messages = list, .message_count = 1};
	expect(&q, HEAD "\"messages\":[{\"role\":\"user\",\"content\":\"u\"}]}");
	assert_ptr_equal(m.wire_of, &llm_openai);
	m.content = SLICE("not read again");
	expect(&q, HEAD "\"messages\":[{\"role\":\"user\",\"content\":\"u\"}]}");
	/* another provider's form is replaced */
	m.content = SLICE("{\"blocks\":[{\"type\":\"text\",\"text\":\"v\"}]}");
	m.wire_of = &llm_offline;
	expect(&q, HEAD "\"messages\":[{\"role\":\"user\",\"content\":\"v\"}]}");
	assert_ptr_equal(m.wire_of, &llm_openai);
	strbuf_fini(&m.wire);
}

static void test_names(void **state)
{
	(void)state;
	static const struct {
		const char *full, *model;
		const struct llm_provider *provider;
	} cases[] = {
		{"openai/gpt-4o", "gpt-4o", &llm_openai},
		{"openai/org/model:7b", "org/model:7b", &llm_openai},
		{"offline/rules", "rules", &llm_offline},
		{"openai/", NULL, NULL},
		{"openai", NULL, NULL},
		{"/x", NULL, NULL},
		{"OpenAI/x", NULL, NULL},
		{"nobody/x", NULL, NULL},
		{"", NULL, NULL},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct slice model = SLICE_NONE;
		const struct llm_provider *p =
			llm_provider_of(slice_str(cases[i].full), &model);
		if (p != cases[i].provider || (p && !slice_is(model, cases[i].model)))
			fail_msg("%s", cases[i].full);
	}
	assert_null(llm_provider_of(SLICE_NONE, &(struct slice){NULL, 0}));
}

#define CASE(fn) cmocka_unit_test_teardown(fn, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_nothing_but_a_question),
		CASE(test_choices),
		CASE(test_system_and_tools),
		CASE(test_a_transcript),
		CASE(test_messages),
		CASE(test_images_of_tools),
		CASE(test_parameters),
		CASE(test_an_empty_tool_message),
		CASE(test_the_wire_form_is_kept),
		CASE(test_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
