/* SPDX-License-Identifier: Apache-2.0
 * Reading chat completions as servers really send them (shortened recordings among them),
 * and what refusals mean. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/attr.h"
#include "worker/llm/llm.h"

static struct llm_answer a;

static int setup(void **state)
{
	(void)state;
	llm_answer_init(&a);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	llm_answer_fini(&a);
	return 0;
}

/* An exact copy on the heap: reading beyond it is seen by sanitizers. */
static enum err feed(const char *data)
{
	size_t n = strlen(data);
	char *copy = malloc(n + (n == 0));
	memcpy(copy, data, n);
	enum err e = llm_openai.read_event(&a, SLICE_NONE, slice_of(copy, n));
	free(copy);
	return e;
}

static void feed_all(const char *const *lines)
{
	for (; *lines; lines++)
		if (feed(*lines))
			fail_msg("%s: %s", *lines, a.error);
}

/* The delta of a first choice. */
static enum err feed_delta(const char *delta)
{
	char line[2048];
	snprintf(line, sizeof line,
		 "{\"id\":\"x\",\"object\":\"chat.completion.chunk\",\"choices\":[{"
		 "\"index\":0,\"delta\":%s,\"finish_reason\":null}],\"usage\":null}",
		 delta);
	return feed(line);
}

static bool text_is(const char *want)
{
	return slice_is(strbuf_slice(&a.text), want);
}

static void expect_call(size_t i, const char *id, const char *name, const char *arguments)
{
	assert_true(i < a.call_count);
	if (!slice_is(strbuf_slice(&llm_call_at(&a, i)->id), id) ||
	    !slice_is(strbuf_slice(&llm_call_at(&a, i)->name), name) ||
	    !slice_is(strbuf_slice(&llm_call_at(&a, i)->arguments), arguments))
		fail_msg("call %zu is %.*s %.*s %.*s", i,
			 SLICE_ARG(strbuf_slice(&llm_call_at(&a, i)->id)),
			 SLICE_ARG(strbuf_slice(&llm_call_at(&a, i)->name)),
			 SLICE_ARG(strbuf_slice(&llm_call_at(&a, i)->arguments)));
}

/* ---- text */

/* The router of a cloud: filter results first, empty strings and nulls, usage last. */
static void test_text(void **state)
{
	(void)state;
	static const char *const lines[] = {
		"{\"choices\":[],\"created\":0,\"id\":\"\",\"model\":\"\",\"object\":"
		"\"\","
		"\"prompt_filter_results\":[{\"prompt_index\":0}]}",
		"{\"choices\":[{\"content_filter_results\":{},\"delta\":{\"content\":"
		"\"\","
		"\"refusal\":null,\"role\":\"assistant\"},\"finish_reason\":null,"
		"\"index\":0,\"logprobs\":null}],\"usage\":null}",
		"{\"choices\":[{\"delta\":{\"content\":\"Capital\"},\"finish_reason\":"
		"null,\"index\":0}],\"usage\":null}",
		"{\"choices\":[{\"delta\":{\"content\":\" of \\u00c5land\\n\"},"
		"\"finish_reason\":null,\"index\":0}],\"usage\":null}",
		"{\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\",\"index\":0}],"
		"\"usage\":null}",
		"{\"choices\":[],\"usage\":{\"completion_tokens\":78,\"prompt_tokens\":"
		"15,"
		"\"prompt_tokens_details\":{\"cached_tokens\":4},\"total_tokens\":93}}",
		"[DONE]",
		NULL,
	};
	feed_all(lines);
	assert_true(text_is("Capital of \xC3\x85land\n"));
	assert_int_equal(a.stop, LLM_STOP_END);
	assert_int_equal(a.call_count, 0);
	assert_int_equal(a.usage.in, 15);
	assert_int_equal(a.usage.out, 78);
	assert_int_equal(a.usage.cached, 4);
}

/* Thoughts are no answer. */
static void test_reasoning_is_not_text(void **state)
{
	(void)state;
	assert_int_equal(feed_delta("{\"reasoning_content\":\"First\"}"), ERR_OK);
	assert_int_equal(feed_delta("{\"reasoning\":\"then\",\"content\":null}"), ERR_OK);
	assert_int_equal(feed_delta("{\"content\":\"yes\"}"), ERR_OK);
	assert_true(text_is("yes"));
}

static void test_usage_with_the_last_content(void **state)
{
	(void)state;
	static const char *const lines[] = {
		"{\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":"
		"\"length\""
		"}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1}}",
		NULL,
	};
	feed_all(lines);
	assert_true(text_is("a"));
	assert_int_equal(a.stop, LLM_STOP_LENGTH);
	assert_int_equal(a.usage.in, 3);
	assert_int_equal(a.usage.cached, 0);
}

static void test_stop_words(void **state)
{
	(void)state;
	static const struct {
		const char *word;
		enum llm_stop stop;
	} cases[] = {
		{"\"stop\"", LLM_STOP_END},
		{"\"length\"", LLM_STOP_LENGTH},
		{"\"content_filter\"", LLM_STOP_FILTER},
		{"\"tool_calls\"", LLM_STOP_TOOLS},
		{"\"function_call\"", LLM_STOP_TOOLS},
		{"\"eos\"", LLM_STOP_END},
		{"null", LLM_STOP_NONE},
		{"\"\"", LLM_STOP_NONE},
		{"7", LLM_STOP_NONE},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char line[128];
		llm_answer_reset(&a);
		snprintf(line, sizeof line,
			 "{\"choices\":[{\"delta\":{},\"finish_reason\":%s}]}",
			 cases[i].word);
		assert_int_equal(feed(line), ERR_OK);
		if (a.stop != cases[i].stop)
			fail_msg("%s: %d", cases[i].word, (int)a.stop);
	}
	/* the end mark alone is no finish reason: such a stream was cut */
	llm_answer_reset(&a);
	assert_int_equal(feed("[DONE]"), ERR_OK);
	assert_int_equal(a.stop, LLM_STOP_NONE);
}

/* ---- tool calls */

static void test_a_call_in_pieces(void **state)
{
	(void)state;
	static const char *const deltas[] = {
		"{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"index\":0,"
		"\"id\":\"call_1\",\"type\":\"function\",\"function\":{\"name\":"
		"\"memory_get\",\"arguments\":\"\"}}]}",
		"{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{\\\"pa\"}}]"
		"}",
		"{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"th\\\":\"}}]"
		"}",
		"{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":"
		"\"\\\"x\\\"}\"}}]}",
	};
	for (size_t i = 0; i < ARRAY_LEN(deltas); i++)
		assert_int_equal(feed_delta(deltas[i]), ERR_OK);
	assert_int_equal(
		feed("{\"choices\":[{\"delta\":{},\"finish_reason\":\"tool_calls\"}]}"),
		ERR_OK);
	assert_int_equal(a.call_count, 1);
	expect_call(0, "call_1", "memory_get", "{\"path\":\"x\"}");
	assert_int_equal(a.stop, LLM_STOP_TOOLS);
}

static void test_parallel_calls(void **state)
{
	(void)state;
	static const char *const deltas[] = {
		"{\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"f\"}"
		"},"
		"{\"index\":1,\"id\":\"b\",\"function\":{\"name\":\"g\"}}]}",
		"{\"tool_calls\":[{\"index\":1,\"function\":{\"arguments\":\"{"
		"\\\"y\\\"\"}}"
		"]}",
		"{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{}\"}},"
		"{\"index\":1,\"function\":{\"arguments\":\":1}\"}}]}",
	};
	for (size_t i = 0; i < ARRAY_LEN(deltas); i++)
		assert_int_equal(feed_delta(deltas[i]), ERR_OK);
	assert_int_equal(a.call_count, 2);
	expect_call(0, "a", "f", "{}");
	expect_call(1, "b", "g", "{\"y\":1}");
}

/* A recording: behind a text, the first call's index is 1. */
static void test_indices_need_not_begin_at_0(void **state)
{
	(void)state;
	static const char *const deltas[] = {
		"{\"role\":\"assistant\"}",
		"{\"content\":\"Reading\"}",
		"{\"content\":\" it.\"}",
		"{\"tool_calls\":[{\"index\":1,\"id\":\"toolu\",\"type\":\"function\","
		"\"function\":{\"name\":\"read_file\",\"arguments\":\"\"}}]}",
		"{\"tool_calls\":[{\"index\":1,\"function\":{\"arguments\":\"{\\\"pa\"}}]"
		"}",
		"{\"tool_calls\":[{\"index\":1,\"function\":{\"arguments\":"
		"\"th\\\":1}\"}}]}",
		"{\"tool_calls\":[{\"index\":4,\"id\":\"second\",\"function\":{\"name\":"
		"\"g\",\"arguments\":\"{}\"}}]}",
	};
	for (size_t i = 0; i < ARRAY_LEN(deltas); i++)
		if (feed_delta(deltas[i]))
			fail_msg("%s: %s", deltas[i], a.error);
	assert_true(text_is("Reading it."));
	assert_int_equal(a.call_count, 2);
	expect_call(0, "toolu", "read_file", "{\"path\":1}");
	expect_call(1, "second", "g", "{}");
}

/* Clones that send whole calls, all of them with index 0, or one each event. */
static void test_whole_calls_of_one_index(void **state)
{
	(void)state;
	assert_int_equal(feed_delta("{\"tool_calls\":[{\"index\":0,\"id\":\"a\","
				    "\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]"
				    "}"),
			 ERR_OK);
	assert_int_equal(feed_delta("{\"tool_calls\":[{\"index\":0,\"id\":\"b\","
				    "\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]"
				    "}"),
			 ERR_OK);
	assert_int_equal(a.call_count, 2);
	expect_call(0, "a", "f", "{}");
	expect_call(1, "b", "f", "{}");
}

/* Servers that repeat id and name, or make a new id for each piece. */
static void test_repeated_and_changing_ids(void **state)
{
	(void)state;
	static const char *const deltas[] = {
		"{\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"f\","
		"\"arguments\":\"{\"}}]}",
		"{\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"f\","
		"\"arguments\":\"\\\"x\\\"\"}}]}",
		"{\"tool_calls\":[{\"index\":0,\"id\":\"z\",\"function\":{\"arguments\":"
		"\":1}\"}}]}",
	};
	for (size_t i = 0; i < ARRAY_LEN(deltas); i++)
		assert_int_equal(feed_delta(deltas[i]), ERR_OK);
	assert_int_equal(a.call_count, 1);
	expect_call(0, "a", "f", "{\"x\":1}");
}

static void test_missing_index_and_id(void **state)
{
	(void)state;
	static const char *const deltas[] = {
		"{\"tool_calls\":[{\"id\":\"a\",\"function\":{\"name\":\"f\"}}]}",
		"{\"tool_calls\":[{\"function\":{\"arguments\":\"{\"}}]}",
		"{\"tool_calls\":[{\"function\":{\"arguments\":\"}\"}}]}",
		"{\"tool_calls\":[{\"id\":\"b\",\"function\":{\"name\":\"g\","
		"\"arguments\":\"{}\"}}]}",
	};
	for (size_t i = 0; i < ARRAY_LEN(deltas); i++)
		assert_int_equal(feed_delta(deltas[i]), ERR_OK);
	assert_int_equal(a.call_count, 2);
	expect_call(0, "a", "f", "{}");
	expect_call(1, "b", "g", "{}");
	llm_answer_reset(&a); /* nothing at all but a name */
	assert_int_equal(feed_delta("{\"tool_calls\":[{\"function\":{\"name\":\"f\"}}]}"),
			 ERR_OK);
	assert_int_equal(a.call_count, 1);
	expect_call(0, "", "f", "");
}

static void test_stop_with_calls_means_tools(void **state)
{
	(void)state;
	assert_int_equal(feed("{\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,"
			      "\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":"
			      "\"{}\"}}]},\"finish_reason\":\"stop\"}]}"),
			 ERR_OK);
	assert_int_equal(a.stop, LLM_STOP_TOOLS);
}

/* The stream's say in how much memory it takes ends at LLM_PARTS_MOST. */
static void test_too_many_calls(void **state)
{
	(void)state;
	enum err e = ERR_OK;
	for (int i = 0; i < LLM_PARTS_MOST; i++) {
		char delta[128];
		snprintf(delta, sizeof delta,
			 "{\"tool_calls\":[{\"index\":%d,\"id\":\"c%d\"}]}", i * 7 - 3,
			 i);
		assert_int_equal(feed_delta(delta), ERR_OK);
	}
	assert_int_equal(a.call_count, LLM_PARTS_MOST);
	e = feed_delta("{\"tool_calls\":[{\"index\":5000000000,\"id\":\"more\"}]}");
	assert_int_equal(e, ERR_MODEL_BROKEN);
	assert_true(a.error[0]);
}

/* ---- what goes wrong */

static void test_errors_in_the_stream(void **state)
{
	(void)state;
	static const struct {
		const char *line;
		enum err err;
		const char *says;
	} cases[] = {
		{"{\"error\":{\"message\":\"Overloaded\",\"code\":529}}",
		 ERR_MODEL_OVERLOAD, "Overloaded"},
		{"{\"error\":\"out of memory\"}", ERR_MODEL_OVERLOAD, "out of memory"},
		{"{\"error\":{}}", ERR_MODEL_OVERLOAD, "nothing"},
		{"{\"this is\": not JSON", ERR_MODEL_BROKEN, "not JSON"},
		{"", ERR_MODEL_BROKEN, "not JSON"},
		{"{\"choices\":[]} x", ERR_MODEL_BROKEN, "not JSON"},
		{"{\"choices\":[{\"delta\":{\"content\":\"\xFF\"}}]", ERR_MODEL_BROKEN,
		 "not JSON"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		llm_answer_reset(&a);
		assert_int_equal(feed(cases[i].line), cases[i].err);
		if (!strstr(a.error, cases[i].says))
			fail_msg("%s: %s", cases[i].line, a.error);
	}
}

/* Other shapes than the expected ones are passed over, not died of. */
static void test_strange_shapes(void **state)
{
	(void)state;
	static const char *const lines[] = {
		"null",
		"[]",
		"7",
		"\"x\"",
		"{}",
		"{\"error\":null,\"choices\":null}",
		"{\"choices\":{}}",
		"{\"choices\":[7]}",
		"{\"choices\":[{\"delta\":[]}]}",
		"{\"choices\":[{\"delta\":{\"content\":7}}]}",
		"{\"choices\":[{\"delta\":{\"content\":[\"x\"]}}]}",
		"{\"choices\":[{\"delta\":{\"tool_calls\":7}}]}",
		"{\"choices\":[{\"delta\":{\"tool_calls\":[]}}]}",
		"{\"choices\":[],\"usage\":[]}",
		"{\"choices\":[],\"usage\":{\"prompt_tokens\":\"7\"}}",
		"{\"choices\":[{\"message\":{\"content\":\"whole\"}}]}",
		NULL,
	};
	feed_all(lines);
	assert_int_equal(a.text.n, 0);
	assert_int_equal(a.call_count, 0);
	assert_int_equal(a.stop, LLM_STOP_NONE);
}

/* A long message is cut where a character begins: the journal takes UTF-8 only. */
static void test_a_long_error_stays_utf8(void **state)
{
	(void)state;
	for (size_t shift = 0; shift < 4; shift++) {
		struct strbuf line = STRBUF_INIT;
		llm_answer_reset(&a);
		strbuf_add_str(&line, "{\"error\":{\"message\":\"");
		strbuf_add(&line, "xxxx", shift);
		for (int i = 0; i < 200; i++)
			strbuf_add_str(&line, "\xE2\x82\xAC");
		strbuf_add_str(&line, "\"}}");
		assert_int_equal(feed(line.p), ERR_MODEL_OVERLOAD);
		assert_true(strlen(a.error) > 200);
		assert_true(slice_is_utf8(slice_str(a.error)));
		strbuf_fini(&line);
	}
}

static void test_refusals(void **state)
{
	(void)state;
	static const struct {
		int status;
		const char *body;
		enum err err;
		const char *says;
	} cases[] = {
		{400, "{\"error\":{\"message\":\"bad field\"}}", ERR_MODEL_REQUEST,
		 "bad field"},
		{401, "{\"error\":{\"message\":\"bad key\"}}", ERR_MODEL_AUTH, "bad key"},
		{403, "", ERR_MODEL_AUTH, "403"},
		{404, "<html>", ERR_MODEL_REQUEST, "404"},
		{408, "{}", ERR_MODEL_TIMEOUT, "408"},
		{409, "{}", ERR_MODEL_TIMEOUT, "409"},
		{413, "{}", ERR_MODEL_CONTEXT, "413"},
		{422, "{\"detail\":[]}", ERR_MODEL_REQUEST, "422"},
		{429,
		 "{\"error\":{\"message\":\"slow\",\"code\":\"rate_limit_exceeded\"}"
		 "}",
		 ERR_MODEL_RATE, "slow"},
		{429,
		 "{\"error\":{\"message\":\"quota\",\"type\":\"x\",\"code\":"
		 "\"insufficient_quota\"}}",
		 ERR_MODEL_BILLING, "quota"},
		{429, "", ERR_MODEL_RATE, "429"},
		{500, "{\"error\":\"oops\"}", ERR_MODEL_OVERLOAD, "oops"},
		{502, "\xFF\xFE", ERR_MODEL_OVERLOAD, "502"},
		{503, "{\"error\":null}", ERR_MODEL_OVERLOAD, "503"},
		{529, "[]", ERR_MODEL_OVERLOAD, "529"},
		{302, "", ERR_MODEL_REQUEST, "302"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		llm_answer_reset(&a);
		enum err e = llm_openai.read_refusal(&a, cases[i].status,
						     slice_str(cases[i].body));
		if (e != cases[i].err || !strstr(a.error, cases[i].says))
			fail_msg("%d %s: %s, %s", cases[i].status, cases[i].body,
				 err_code(e), a.error);
	}
	llm_answer_reset(&a);
	assert_int_equal(llm_openai.read_refusal(&a, 500, SLICE_NONE),
			 ERR_MODEL_OVERLOAD);
}

/* An answer used again starts empty and keeps nothing of the last one. */
static void test_reset(void **state)
{
	(void)state;
	for (int round = 0; round < 3; round++) {
		assert_int_equal(feed_delta("{\"content\":\"x\",\"tool_calls\":[{"
					    "\"index\":2,\"id\":\"a\",\"function\":{"
					    "\"name\":\"f\",\"arguments\":\"{}\"}}]}"),
				 ERR_OK);
		assert_int_equal(a.call_count, 1);
		expect_call(0, "a", "f", "{}");
		assert_true(text_is("x"));
		llm_answer_reset(&a);
		assert_int_equal(a.call_count, 0);
		assert_int_equal(a.text.n, 0);
	}
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_text),
		CASE(test_reasoning_is_not_text),
		CASE(test_usage_with_the_last_content),
		CASE(test_stop_words),
		CASE(test_a_call_in_pieces),
		CASE(test_parallel_calls),
		CASE(test_indices_need_not_begin_at_0),
		CASE(test_whole_calls_of_one_index),
		CASE(test_repeated_and_changing_ids),
		CASE(test_missing_index_and_id),
		CASE(test_stop_with_calls_means_tools),
		CASE(test_too_many_calls),
		CASE(test_errors_in_the_stream),
		CASE(test_strange_shapes),
		CASE(test_a_long_error_stays_utf8),
		CASE(test_refusals),
		CASE(test_reset),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
