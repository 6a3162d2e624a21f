/* SPDX-License-Identifier: Apache-2.0
 * A run's events as chunks and as a response: golden, event by event. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/attr.h"
#include "common/clock.h"
#include "edge/openai/answer.h"
#include "edge/openai/names.h"

#define RUN "01234567-89ab-7def-8123-456789abcdef"

static struct arena *arena;
static struct openai_answer a;
static uint32_t seq;

static void begin(const struct answer_form *form, bool streams)
{
	arena = arena_new(1 << 20);
	answer_init(&a, form, arena);
	assert_true(uuid_parse(SLICE(RUN), &a.run));
	a.created_us = 7000000;
	a.model = SLICE("m");
	a.streams = streams;
	seq = 1;
	answer_begin(&a);
}

static int end(void **state)
{
	(void)state;
	answer_fini(&a);
	arena_free(arena);
	return 0;
}

static void event(const char *type, bool durable, const char *body)
{
	struct sse_item item = {.run = a.run,
				.seq = seq,
				.durable = durable,
				.type = type,
				.body = slice_str(body)};
	seq += durable;
	answer_event(&a, &item);
}

static void says(const char *text)
{
	char body[256];
	snprintf(body, sizeof body, "{\"content\":\"%s\"}", text);
	event("assistant", false, body);
}

static void ends(const char *rest, const char *meta)
{
	char body[256];
	snprintf(body, sizeof body, "{\"content\":\"%s\",\"metadata\":{%s}}", rest, meta);
	event("assistant", true, body);
}

static void restarts(void)
{
	event("assistant", true, "{\"metadata\":{\"reset\":true}}");
}

static void over(const char *meta)
{
	char body[256];
	snprintf(body, sizeof body, "{\"phase\":\"end\",\"metadata\":{%s}}", meta);
	event("lifecycle", true, body);
}

static void fails(const char *code, const char *text)
{
	char body[256];
	snprintf(body, sizeof body, "{\"error\":\"%s\",\"metadata\":{\"code\":\"%s\"}}",
		 text, code);
	event("error", true, body);
	snprintf(body, sizeof body,
		 "{\"phase\":\"error\",\"metadata\":{\"result\":\"failed\",\"code\":\"%"
		 "s\","
		 "\"tokensIn\":3,\"tokensOut\":4}}",
		 code);
	event("lifecycle", true, body);
}

static void calls(const char *id, const char *name, const char *input)
{
	char body[256];
	snprintf(body, sizeof body,
		 "{\"toolName\":\"%s\",\"toolState\":\"pending\",\"toolInput\":%s,"
		 "\"metadata\":{\"callId\":\"%s\",\"clientSide\":true}}",
		 name, input, id);
	event("tool", true, body);
}

/* What stands in `out`, without what all chunks have. */
static void expect(const char *want)
{
	AUTO(strbuf_fini) struct strbuf got = STRBUF_INIT;
	static const char head[] =
		"\"id\":\"chatcmpl-" RUN
		"\",\"object\":\"chat.completion.chunk\",\"created\":7,"
		"\"model\":\"m\",";
	const char *at = a.out.n ? a.out.p : "", *next;
	while ((next = strstr(at, head))) {
		strbuf_add(&got, at, (size_t)(next - at));
		at = next + sizeof head - 1;
	}
	strbuf_add_str(&got, at);
	assert_string_equal(got.p ? got.p : "", want);
	strbuf_reset(&a.out);
}

#define PIECE(text)                                                                      \
	"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" text                \
	"\"},\"finish_reason\":null}]}\n\n"
#define FINISH(reason)                                                                   \
	"data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"" reason      \
	"\"}]}\n\n"
#define FIRST                                                                            \
	"data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\","            \
	"\"content\":\"\"},\"finish_reason\":null}]}\n\n"
#define DONE "data: [DONE]\n\n"

/* ---- chat */

static void test_chunks(void **state)
{
	(void)state;
	begin(&answer_chat, true);
	expect(FIRST);
	event("lifecycle", true, "{\"phase\":\"start\"}");
	says("Hel");
	expect(PIECE("Hel"));
	says("lo \\\"x\\\"");
	ends("!", "\"step\":1");
	expect(PIECE("lo \\\"x\\\"") PIECE("!"));
	event("tool", true,
	      "{\"toolName\":\"read\",\"toolState\":\"pending\",\"toolInput\":{},"
	      "\"metadata\":{\"callId\":\"c\"}}");
	says("Next");
	ends("", "\"step\":2");
	expect(PIECE("\\n\\n") PIECE("Next"));
	over("\"result\":\"completed\"");
	assert_int_equal(a.end, ANSWER_DONE);
	answer_finish(&a);
	expect(FINISH("stop") DONE);
}

static void test_chunks_with_usage(void **state)
{
	(void)state;
	begin(&answer_chat, true);
	strbuf_reset(&a.out);
	a.wants_usage = true;
	ends("x", "");
	expect("data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"},"
	       "\"finish_reason\":null}],\"usage\":null}\n\n");
	over("\"tokensIn\":3,\"tokensOut\":4");
	a.usage.cached = 2;
	answer_finish(&a);
	expect("data: "
	       "{\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],"
	       "\"usage\":null}\n\n"
	       "data: "
	       "{\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":"
	       "4,\"total_tokens\":7,\"prompt_tokens_details\":{\"cached_tokens\":2},"
	       "\"completion_tokens_details\":{\"reasoning_tokens\":0}}}"
	       "\n\n" DONE);
}

static void test_calls_in_chunks(void **state)
{
	(void)state;
	begin(&answer_chat, true);
	strbuf_reset(&a.out);
	calls("c1", "add", "{\"a\":1}");
	calls("c2", "sub", "{}");
	over("\"stop\":\"client_tools\"");
	assert_int_equal(a.end, ANSWER_CALLS);
	answer_finish(&a);
#define CALL(delta)                                                                      \
	"data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{" delta            \
	"}]},\"finish_reason\":null}]}\n\n"
	expect(CALL("\"index\":0,\"id\":\"c1\",\"type\":\"function\",\"function\":{"
		    "\"name\":\"add\",\"arguments\":\"\"}")
		       CALL("\"index\":0,\"function\":{\"arguments\":\"{\\\"a\\\":1}\"}")
			       CALL("\"index\":1,\"id\":\"c2\",\"type\":\"function\","
				    "\"function\":{\"name\":\"sub\",\"arguments\":\"\"}")
				       CALL("\"index\":1,\"function\":{\"arguments\":\"{}"
					    "\"}") FINISH("tool_calls") DONE);
}

static void test_reasons(void **state)
{
	static const struct {
		const char *meta, *reason;
	} cases[] = {{"\"stop\":\"length\"", FINISH("length") DONE},
		     {"\"stop\":\"filter\"", FINISH("content_filter") DONE}};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		begin(&answer_chat, true);
		ends("x", cases[i].meta);
		strbuf_reset(&a.out);
		over("");
		answer_finish(&a);
		expect(cases[i].reason);
		if (i + 1 < ARRAY_LEN(cases))
			end(state);
	}
}

static void test_a_failure_is_an_error(void **state)
{
	(void)state;
	begin(&answer_chat, true);
	says("x");
	strbuf_reset(&a.out);
	fails("model_overloaded", "too much");
	answer_finish(&a);
	expect("data: {\"error\":{\"message\":\"too much\",\"type\":\"server_error\","
	       "\"code\":\"model_overloaded\",\"param\":null}}\n\n");
	unsigned after;
	assert_int_equal(answer_status(&a, &after), 503);
	assert_int_equal(after, 5);
}

/* A budget that is used up amid an answer cuts it; before it there is nothing to cut. */
static void test_budgets(void **state)
{
	begin(&answer_chat, true);
	says("x");
	strbuf_reset(&a.out);
	fails("budget_tokens", "used up");
	assert_int_equal(a.end, ANSWER_LENGTH);
	answer_finish(&a);
	expect(FINISH("length") DONE);
	end(state);
	begin(&answer_chat, true);
	fails("budget_tokens", "used up");
	assert_int_equal(a.end, ANSWER_FAILED);
	unsigned after;
	assert_int_equal(answer_status(&a, &after), 429);
	assert_int_equal(after, 60);
}

/* ---- a message that is begun anew */

static void test_the_same_words_again(void **state)
{
	(void)state;
	begin(&answer_chat, true);
	says("Hello wo");
	strbuf_reset(&a.out);
	restarts();
	says("Hel");
	says("lo w");
	expect("");
	says("orld");
	expect(PIECE("rld"));
	restarts();
	ends("Hello world!", "");
	expect(PIECE("!"));
	assert_string_equal(a.messages[0].p, "Hello world!");
}

static void test_other_words(void **state)
{
	(void)state;
	begin(&answer_chat, true);
	says("Hello");
	strbuf_reset(&a.out);
	restarts();
	says("He");
	says("y");
	assert_int_equal(a.end, ANSWER_BROKEN);
	assert_non_null(strstr(a.out.p, "\"code\":\"stream_restarted\""));
	assert_non_null(strstr(a.out.p, "/v1/runs/" RUN));
	strbuf_reset(&a.out);
	says("more");
	over("");
	answer_finish(&a);
	expect("");
}

static void test_fewer_words(void **state)
{
	(void)state;
	begin(&answer_chat, true);
	says("Hello");
	restarts();
	ends("Hell", "");
	assert_int_equal(a.end, ANSWER_BROKEN);
}

/* Nothing was sent of it: nothing has to come again. */
static void test_anew_within_a_whole_answer(void **state)
{
	(void)state;
	begin(&answer_chat, false);
	says("Hello");
	restarts();
	says("Good ");
	ends("day", "");
	over("\"tokensIn\":1,\"tokensOut\":2");
	answer_finish(&a);
	assert_string_equal(
		a.out.p,
		"{\"id\":\"chatcmpl-" RUN
		"\",\"object\":\"chat.completion\",\"created\":7,"
		"\"model\":\"m\",\"choices\":[{\"index\":0,\"message\":{\"role\":"
		"\"assistant\",\"content\":\"Good "
		"day\",\"refusal\":null},\"logprobs\":null,"
		"\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":1,"
		"\"completion_tokens\":2,\"total_tokens\":3,\"prompt_tokens_details\":{"
		"\"cached_tokens\":0},\"completion_tokens_details\":{\"reasoning_"
		"tokens\":0}}}\n");
}

static void test_whole_with_calls(void **state)
{
	(void)state;
	begin(&answer_chat, false);
	calls("c1", "add", "{\"a\":1}");
	over("");
	answer_finish(&a);
	assert_non_null(strstr(a.out.p,
			       "\"content\":null,\"refusal\":null,\"tool_calls\":[{"
			       "\"id\":\"c1\",\"type\":\"function\",\"function\":{"
			       "\"name\":\"add\",\"arguments\":\"{\\\"a\\\":1}\"}}]"));
	assert_non_null(strstr(a.out.p, "\"finish_reason\":\"tool_calls\""));
}

/* Arguments that are too long for an event are read from the run. */
static void test_calls_that_were_cut(void **state)
{
	(void)state;
	begin(&answer_chat, false);
	calls("c1", "add", "{\"truncated\":true,\"bytes\":20000}");
	calls("c2", "add", "{\"truncated\":true}");
	assert_true(answer_has_cut(&a) && a.calls[0].cut && !a.calls[1].cut);
	assert_false(answer_take_calls(&a, SLICE("[{\"id\":\"c2\",\"arguments\":{}}]")));
	assert_false(answer_take_calls(&a, SLICE_NONE));
	assert_true(answer_take_calls(
		&a, SLICE("[{\"id\":\"c1\",\"name\":\"add\",\"arguments\":{\"a\":1}}]")));
	assert_false(answer_has_cut(&a));
	assert_string_equal(a.calls[0].arguments.p, "{\"a\":1}");
}

static void test_merged(void **state)
{
	(void)state;
	begin(&answer_chat, false);
	over("\"result\":\"superseded\",\"mergedInto\":\"" RUN "\"");
	assert_int_equal(a.end, ANSWER_MERGED);
	assert_true(uuid_eq(a.merged, a.run));
}

/* ---- responses */

/* Names and numbers of the events in `out`, one behind the other. */
static void expect_events(const char *want)
{
	AUTO(strbuf_fini) struct strbuf got = STRBUF_INIT;
	for (const char *at = a.out.p; at && (at = strstr(at, "event: "));) {
		const char *line = strchr(at, '\n');
		const char *number = strstr(line, "\"sequence_number\":");
		strbuf_add(&got, at + 7, (size_t)(line - at - 7));
		strbuf_printf(&got, "#%d ", atoi(number + 18));
		at = line;
	}
	assert_string_equal(got.p ? got.p : "", want);
}

static void test_events_of_a_response(void **state)
{
	(void)state;
	begin(&answer_responses, true);
	says("Hel");
	ends("lo", "");
	says("Next");
	ends("", "");
	calls("c1", "add", "{\"a\":1}");
	over("\"tokensIn\":3,\"tokensOut\":4");
	answer_finish(&a);
	expect_events(
		"response.created#0 response.in_progress#1 response.output_item.added#2 "
		"response.content_part.added#3 response.output_text.delta#4 "
		"response.output_text.delta#5 response.output_text.done#6 "
		"response.content_part.done#7 response.output_item.done#8 "
		"response.output_item.added#9 response.content_part.added#10 "
		"response.output_text.delta#11 response.output_text.done#12 "
		"response.content_part.done#13 response.output_item.done#14 "
		"response.output_item.added#15 response.function_call_arguments.delta#16 "
		"response.function_call_arguments.done#17 response.output_item.done#18 "
		"response.completed#19 ");
	assert_non_null(strstr(
		a.out.p,
		"data: {\"type\":\"response.output_text.delta\",\"sequence_number\":4,"
		"\"item_id\":\"msg_" RUN "_0\",\"output_index\":0,\"content_index\":0,"
		"\"delta\":\"Hel\",\"logprobs\":[]}\n\n"));
	assert_non_null(strstr(
		a.out.p,
		"data: {\"type\":\"response.output_item.done\",\"sequence_number\":14,"
		"\"output_index\":1,\"item\":{\"id\":\"msg_" RUN
		"_1\",\"type\":\"message\","
		"\"role\":\"assistant\",\"status\":\"completed\",\"content\":[{\"type\":"
		"\"output_text\",\"text\":\"Next\",\"annotations\":[],\"logprobs\":[]}]}"
		"}"));
	assert_non_null(strstr(
		a.out.p, "\"output_index\":2,\"item\":{\"id\":\"fc_" RUN "_0\",\"type\":"
			 "\"function_call\",\"status\":\"completed\",\"call_id\":\"c1\","
			 "\"name\":\"add\",\"arguments\":\"{\\\"a\\\":1}\"}}"));
	assert_non_null(strstr(a.out.p, "\"input_tokens\":3,\"output_tokens\":4,"
					"\"total_tokens\":7"));
}

static void test_incomplete_responses(void **state)
{
	begin(&answer_responses, true);
	ends("x", "\"stop\":\"length\"");
	over("");
	answer_finish(&a);
	assert_non_null(strstr(a.out.p, "event: response.incomplete\n"));
	assert_non_null(strstr(a.out.p, "\"incomplete_details\":{\"reason\":"
					"\"max_output_tokens\"}"));
	end(state);
	begin(&answer_responses, true);
	says("x");
	fails("budget_cost", "used up");
	answer_finish(&a);
	assert_non_null(strstr(a.out.p, "event: response.output_item.done\n"));
	assert_non_null(strstr(a.out.p, "event: response.incomplete\n"));
	end(state);
	begin(&answer_responses, true);
	says("x");
	fails("model_timeout", "too late");
	answer_finish(&a);
	assert_non_null(strstr(a.out.p, "event: response.failed\n"));
	assert_non_null(strstr(a.out.p, "\"error\":{\"message\":\"too late\",\"type\":"
					"\"server_error\",\"code\":\"model_timeout\""));
	assert_non_null(strstr(a.out.p,
			       "\"status\":\"incomplete\",\"content\":[{\"type\":"
			       "\"output_text\",\"text\":\"x\""));
	end(state);
	begin(&answer_responses, true);
	fails("model_filter", "withheld");
	answer_finish(&a);
	assert_non_null(strstr(a.out.p, "\"reason\":\"content_filter\""));
}

static void test_a_response_begun_anew(void **state)
{
	(void)state;
	begin(&answer_responses, true);
	says("Hello");
	restarts();
	says("Hi");
	assert_non_null(strstr(a.out.p, "event: error\ndata: {\"type\":\"error\","
					"\"sequence_number\":5,\"code\":"
					"\"stream_restarted\""));
}

/* ---- names */

static void test_names(void **state)
{
	(void)state;
	char name[NAME_BYTES];
	struct uuid run, back;
	begin(&answer_chat, false);
	run = a.run;
	name_format(NAME_MESSAGE, run, 12, name);
	assert_string_equal(name, "msg_" RUN "_12");
	assert_true(name_run(slice_str(name), NAME_ITEM, &back) && uuid_eq(back, run));
	assert_true(name_run(SLICE("fc_" RUN "_0"), NAME_ITEM, &back));
	assert_true(name_run(SLICE("resp_" RUN), NAME_RESPONSE, &back));
	static const char *const others[] = {
		"", "resp_", "resp_x", RUN, "msg_" RUN, "chatcmpl-" RUN, "resp_" RUN "0"};
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		assert_false(name_run(slice_str(others[i]), NAME_RESPONSE, &back));
	assert_false(name_run(SLICE("rs_" RUN), NAME_ITEM, &back));
}

#define CASE(name) cmocka_unit_test_teardown(name, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_chunks),
		CASE(test_chunks_with_usage),
		CASE(test_calls_in_chunks),
		CASE(test_reasons),
		CASE(test_a_failure_is_an_error),
		CASE(test_budgets),
		CASE(test_the_same_words_again),
		CASE(test_other_words),
		CASE(test_fewer_words),
		CASE(test_anew_within_a_whole_answer),
		CASE(test_whole_with_calls),
		CASE(test_calls_that_were_cut),
		CASE(test_merged),
		CASE(test_events_of_a_response),
		CASE(test_incomplete_responses),
		CASE(test_a_response_begun_anew),
		CASE(test_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
