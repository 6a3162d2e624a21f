/* SPDX-License-Identifier: Apache-2.0
 * Reading OpenAI's responses event by event: what is left out, said twice or strange.
 * Whole streams are in test_splits. */
#include "tests/unit/worker/llm/talk.h"

#define ADDED(i, item)                                                                   \
	"{'type':'response.output_item.added','output_index':" #i ",'item':" item "}"
#define DONE(i, item)                                                                    \
	"{'type':'response.output_item.done','output_index':" #i ",'item':" item "}"
#define TEXT(i, delta)                                                                   \
	"{'type':'response.output_text.delta','output_index':" #i ",'delta':'" delta "'" \
	"}"
#define PIECE(i, delta)                                                                  \
	"{'type':'response.function_call_arguments.delta','output_index':" #i            \
	",'delta':'" delta "'}"
#define CALL(id, arguments)                                                              \
	"{'type':'function_call','call_id':'" id "','name':'f','arguments':'" arguments  \
	"'}"
#define MESSAGE(text)                                                                    \
	"{'type':'message','content':[{'type':'output_text','text':'" text "'}]}"
#define COMPLETED(members) "{'type':'response.completed','response':{" members "}}"

static void test_usage(void **state)
{
	(void)state;
	const struct llm_usage *u = &talk.a.usage;
	assert_int_equal(
		feed(COMPLETED("'usage':{'input_tokens':34,'input_tokens_details':{"
			       "'cached_tokens':30},'output_tokens':28,"
			       "'output_tokens_details':{'reasoning_tokens':20}}")),
		ERR_OK);
	assert_int_equal(u->in, 34);
	assert_int_equal(u->cached, 30);
	assert_int_equal(u->out, 28);
	assert_int_equal(u->reasoning, 20);
	assert_int_equal(talk.a.stop, LLM_STOP_END);
	/* what is no count is not taken for one */
	assert_int_equal(
		feed(COMPLETED("'usage':{'input_tokens':-1,'output_tokens':1e300,"
			       "'input_tokens_details':7,'output_tokens_details':{"
			       "'reasoning_tokens':'3'}}")),
		ERR_OK);
	assert_int_equal(u->in, 34);
	assert_int_equal(u->out, 28);
	assert_int_equal(u->reasoning, 20);
}

static void test_ends(void **state)
{
	(void)state;
	static const struct {
		const char *event;
		enum llm_stop stop;
	} cases[] = {
		{COMPLETED("'status':'completed'"), LLM_STOP_END},
		{"{'type':'response.completed'}", LLM_STOP_END},
		{"{'type':'response.incomplete','response':{'incomplete_details':{"
		 "'reason':'max_output_tokens'}}}",
		 LLM_STOP_LENGTH},
		{"{'type':'response.incomplete','response':{'incomplete_details':{"
		 "'reason':'content_filter'}}}",
		 LLM_STOP_FILTER},
		{"{'type':'response.in_progress','response':{}}", LLM_STOP_NONE},
		{"[DONE]", LLM_STOP_NONE},
		{DONE(0, MESSAGE("x")), LLM_STOP_NONE},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		llm_answer_reset(&talk.a);
		assert_int_equal(feed(cases[i].event), ERR_OK);
		if (talk.a.stop != cases[i].stop)
			fail_msg("%s: %d", cases[i].event, (int)talk.a.stop);
	}
	llm_answer_reset(&talk.a);
	assert_int_equal(feed(DONE(0, CALL("c", "{}"))), ERR_OK);
	assert_int_equal(feed(COMPLETED("'status':'completed'")), ERR_OK);
	assert_int_equal(talk.a.stop, LLM_STOP_TOOLS);
}

/* Whole at the end or in pieces, one or the other left out, said more than once. */
static void test_arguments(void **state)
{
	(void)state;
	static const char *const events[] = {
		ADDED(0, CALL("a", "")), PIECE(0, "{\\u0022x"), PIECE(0, "\\u0022:1}"),
		DONE(0, CALL("a", "{\\u0022x\\u0022:1}")),
		/* no pieces */
		ADDED(1, CALL("b", "")), DONE(1, CALL("b", "{}")),
		/* no beginning */
		PIECE(2, "{"), PIECE(2, "}"), DONE(2, CALL("c", "{}")),
		DONE(3, CALL("d", "{oops")), DONE(3, CALL("d", "{oops")),
		/* no end, but one of the arguments */
		ADDED(4, CALL("e", "")), PIECE(4, "lost"),
		"{'type':'response.function_call_arguments.done','output_index':4,"
		"'arguments':'{}'}",
		/* no place: by their ids */
		"{'type':'response.output_item.done','item':" CALL("f", "[1]") "}",
		"{'type':'response.output_item.done','item':" CALL("g", "[2]") "}",
		/* the same id in another place */
		DONE(9, CALL("a", "{}")), NULL};
	feed_all(events);
	assert_int_equal(talk.a.call_count, 8);
	expect_call(0, "a", "f", "{'x':1}");
	expect_call(1, "b", "f", "{}");
	expect_call(2, "c", "f", "{}");
	expect_call(3, "d", "f", "{oops");
	expect_call(4, "e", "f", "{}");
	expect_call(5, "f", "f", "[1]");
	expect_call(6, "g", "f", "[2]");
	expect_call(7, "a", "f", "{}");
}

static void test_texts(void **state)
{
	(void)state;
	static const char *const events[] = {
		TEXT(0, "al"), TEXT(0, "l"), DONE(0, MESSAGE("all")),
		/* the end has more than was streamed, or all of it, or another text */
		TEXT(1, "be"), DONE(1, MESSAGE("begin")), DONE(2, MESSAGE("whole")),
		DONE(2, MESSAGE("whole")), TEXT(3, "x"), DONE(3, MESSAGE("y")),
		/* several contents, and a refusal */
		DONE(4, "{'type':'message','phase':'final_answer','content':[{'type':"
			"'output_text','text':'a'},{'type':'refusal','refusal':'b'}]}"),
		"{'type':'response.refusal.delta','output_index':5,'delta':'no'}", NULL};
	feed_all(events);
	assert_true(text_is("all\n\nbegin\n\nwhole\n\nx\n\nab\n\nno"));
	assert_int_equal(talk.a.part_count, 6);
	expect_opaque(3, "");
	expect_opaque(4, "{'phase':'final_answer'}");
}

static void test_thoughts(void **state)
{
	(void)state;
	static const char *const events[] = {
		ADDED(0, "{'type':'reasoning','summary':[]}"),
		"{'type':'response.reasoning_summary_part.added','output_index':0}",
		"{'type':'response.reasoning_summary_text.delta','output_index':0,"
		"'delta':'Let '}",
		"{'type':'response.reasoning_summary_text.delta','output_index':0,"
		"'delta':'me'}",
		"{'type':'response.reasoning_summary_part.added','output_index':0}",
		"{'type':'response.reasoning_summary_text.delta','output_index':0,"
		"'delta':'again'}",
		DONE(0, "{'type':'reasoning','encrypted_content':'gA+/==','summary':[{"
			"'type':'summary_text','text':'Let me'},{'type':'summary_text',"
			"'text':'again'}]}"),
		/* only at the end; and what nobody can send back */
		DONE(1, "{'type':'reasoning','encrypted_content':'gB','summary':[]}"),
		DONE(1, "{'type':'reasoning','encrypted_content':'gB','summary':[]}"),
		DONE(2, "{'type':'reasoning','encrypted_content':null,'summary':[{"
			"'text':'bare'}]}"),
		NULL};
	feed_all(events);
	assert_int_equal(talk.a.part_count, 3);
	assert_true(slice_is(strbuf_slice(&talk.a.parts[0].thought), "Let me\n\nagain"));
	expect_opaque(0, "{'encrypted_content':'gA+/==','summary':['Let me','again']}");
	expect_opaque(1, "{'encrypted_content':'gB','summary':[]}");
	assert_true(slice_is(strbuf_slice(&talk.a.parts[2].thought), "bare"));
	expect_opaque(2, "");
}

/* A server that sends nothing but the end. */
static void test_only_the_end(void **state)
{
	(void)state;
	const char *end = COMPLETED("'output':[{'type':'reasoning','encrypted_content':"
				    "'g'}," MESSAGE("hi") "," CALL("a", "{}") "]");
	assert_int_equal(feed(end), ERR_OK);
	assert_int_equal(feed(end), ERR_OK); /* said twice */
	assert_int_equal(talk.a.part_count, 3);
	assert_true(text_is("hi"));
	expect_call(0, "a", "f", "{}");
	assert_int_equal(talk.a.stop, LLM_STOP_TOOLS);
}

static void test_strange_shapes(void **state)
{
	(void)state;
	static const char *const events[] = {
		"null",
		"[]",
		"7",
		"{}",
		"{'type':7}",
		"{'type':'of tomorrow'}",
		"{'error':null}",
		"{'type':'response.created','response':{'error':null}}",
		"{'type':'response.output_item.added'}",
		"{'type':'response.output_item.done','output_index':'0','item':7}",
		ADDED(0, "{'type':'web_search_call','id':'ws'}"),
		"{'type':'response.output_text.delta','output_index':-7,'delta':7}",
		"{'type':'response.output_text.delta','output_index':0,'delta':''}",
		"{'type':'response.reasoning_summary_part.added','output_index':5}",
		ADDED(0, "{'type':'message','content':[]}"),
		DONE(0, "{'type':'message','content':[7,{'text':8}]}"),
		NULL};
	feed_all(events);
	assert_int_equal(talk.a.part_count, 0);
	assert_int_equal(talk.a.stop, LLM_STOP_NONE);
}

static void test_errors(void **state)
{
	(void)state;
	static const struct {
		const char *event;
		enum err err;
		const char *says;
	} cases[] = {
		{"{'type':'error','error':{'type':'insufficient_quota','code':"
		 "'insufficient_quota','message':'pay'}}",
		 ERR_MODEL_BILLING, "pay"},
		/* the older form has no object */
		{"{'type':'error','code':'rate_limit_exceeded','message':'slow'}",
		 ERR_MODEL_RATE, "slow"},
		{"{'type':'error','code':null,'message':'broken'}", ERR_MODEL_OVERLOAD,
		 "broken"},
		{"{'type':'response.failed','response':{'error':{'code':'server_error',"
		 "'message':'oops'}}}",
		 ERR_MODEL_OVERLOAD, "oops"},
		{"{'type':'response.failed','response':{'error':{'code':"
		 "'context_length_exceeded','message':'long'}}}",
		 ERR_MODEL_CONTEXT, "long"},
		{"{'type':'response.failed','response':{'error':{'code':"
		 "'invalid_prompt','message':'flagged'}}}",
		 ERR_MODEL_FILTER, "flagged"},
		{"{'type':'response.failed','response':{'error':null}}",
		 ERR_MODEL_OVERLOAD, "nothing"},
		{"{'type':'response.cancelled'}", ERR_MODEL_OVERLOAD, "nothing"},
		{"{'error':{'message':'at once','code':429}}", ERR_MODEL_RATE, "at once"},
		{"{'type':'ping'", ERR_MODEL_BROKEN, "not JSON"},
		{"{'type':'ping','x':'\\ud83d x'", ERR_MODEL_BROKEN, "not JSON"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		llm_answer_reset(&talk.a);
		assert_int_equal(feed(cases[i].event), cases[i].err);
		if (!strstr(talk.a.error, cases[i].says))
			fail_msg("%s: %s", cases[i].event, talk.a.error);
	}
}

static void test_large(void **state)
{
	(void)state;
	struct strbuf event = STRBUF_INIT;
	strbuf_add_str(&event, json("{'type':'response.function_call_arguments.delta',"
				    "'output_index':0,'delta':'"));
	for (int i = 0; i < 1 << 20; i++)
		strbuf_add_char(&event, 'x');
	strbuf_add_str(&event, "\"}");
	for (int i = 0; i < 10; i++)
		assert_int_equal(feed_bytes(strbuf_slice(&event)), ERR_OK);
	assert_int_equal(llm_call_at(&talk.a, 0)->arguments.n, 10u << 20);
	strbuf_fini(&event);
	llm_answer_reset(&talk.a);
	for (int i = 0; i <= LLM_PARTS_MOST; i++) {
		char line[200];
		snprintf(line, sizeof line, ADDED(% d, CALL("%d", "")), i * 7, i);
		assert_int_equal(feed(line),
				 i < LLM_PARTS_MOST ? ERR_OK : ERR_MODEL_BROKEN);
		free(talk.texts[--talk.text_count]);
	}
	assert_true(talk.a.error[0]);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, talk_begin, talk_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_usage),          CASE(test_ends),     CASE(test_arguments),
		CASE(test_texts),          CASE(test_thoughts), CASE(test_only_the_end),
		CASE(test_strange_shapes), CASE(test_errors),   CASE(test_large),
	};
	talk.provider = &llm_responses;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
