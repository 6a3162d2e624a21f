/* SPDX-License-Identifier: Apache-2.0
 * Reading Anthropic's messages event by event: what is left out, said twice or strange.
 * Whole streams are in test_splits. */
#include "tests/unit/worker/llm/talk.h"

#define START(usage) "{'type':'message_start','message':{'usage':" usage "}}"
#define OPEN(i, block)                                                                   \
	"{'type':'content_block_start','index':" #i ",'content_block':" block "}"
#define DELTA(i, delta) "{'type':'content_block_delta','index':" #i ",'delta':" delta "}"
#define CALL(id) "{'type':'tool_use','id':'" id "','name':'f','input':{}}"
#define PIECE(text) "{'type':'input_json_delta','partial_json':'" text "'}"
#define END(reason) "{'type':'message_delta','delta':{'stop_reason':'" reason "'}}"

static void test_usage(void **state)
{
	(void)state;
	const struct llm_usage *u = &talk.a.usage;
	assert_int_equal(feed(START("{'input_tokens':10,'cache_creation_input_tokens':20,"
				    "'cache_read_input_tokens':30,'output_tokens':1}")),
			 ERR_OK);
	assert_int_equal(u->in, 60);
	assert_int_equal(u->cached, 30);
	assert_int_equal(u->cache_write, 20);
	/* cumulative; what is left out holds on */
	assert_int_equal(feed("{'type':'message_delta','delta':{},'usage':{"
			      "'input_tokens':15,'output_tokens':7}}"),
			 ERR_OK);
	assert_int_equal(u->in, 65);
	assert_int_equal(u->out, 7);
	assert_int_equal(feed("{'type':'message_delta','delta':{},'usage':{"
			      "'cache_read_input_tokens':0,'output_tokens':9}}"),
			 ERR_OK);
	assert_int_equal(u->in, 35);
	assert_int_equal(u->cached, 0);
	assert_int_equal(u->out, 9);
	/* what is no count is not taken for one */
	assert_int_equal(feed("{'type':'message_delta','delta':{},'usage':{"
			      "'input_tokens':-5,'output_tokens':1e30,"
			      "'cache_read_input_tokens':'7',"
			      "'cache_creation_input_tokens':9223372036854775807}}"),
			 ERR_OK);
	assert_int_equal(u->in, 35);
	assert_int_equal(u->out, 9);
	assert_int_equal(talk.a.stop, LLM_STOP_NONE);
}

static void test_stop_words(void **state)
{
	(void)state;
	static const struct {
		const char *word;
		enum llm_stop stop;
	} cases[] = {
		{"end_turn", LLM_STOP_END},
		{"stop_sequence", LLM_STOP_END},
		{"pause_turn", LLM_STOP_END},
		{"tool_use", LLM_STOP_TOOLS},
		{"max_tokens", LLM_STOP_LENGTH},
		{"model_context_window_exceeded", LLM_STOP_LENGTH},
		{"refusal", LLM_STOP_FILTER},
		{"a word to come", LLM_STOP_END},
		{"", LLM_STOP_NONE},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char line[128];
		llm_answer_reset(&talk.a);
		snprintf(line, sizeof line, END("%s"), cases[i].word);
		assert_int_equal(feed(line), ERR_OK);
		if (talk.a.stop != cases[i].stop)
			fail_msg("%s: %d", cases[i].word, (int)talk.a.stop);
	}
	/* what the last event would tell is not told: the stream was cut */
	llm_answer_reset(&talk.a);
	assert_int_equal(feed("{'type':'message_stop'}"), ERR_OK);
	assert_int_equal(talk.a.stop, LLM_STOP_NONE);
	/* a call is a call, whatever is said at the end */
	assert_int_equal(feed(OPEN(0, CALL("a"))), ERR_OK);
	assert_int_equal(feed(END("end_turn")), ERR_OK);
	assert_int_equal(talk.a.stop, LLM_STOP_TOOLS);
}

static void test_arguments(void **state)
{
	(void)state;
	static const char *const events[] = {
		/* none at all, and an empty piece */
		OPEN(0, CALL("a")), DELTA(0, PIECE("")),
		/* whole at the start: kept, unless pieces follow */
		OPEN(1, "{'type':'tool_use','id':'b','name':'g','input':{'x':1}}"),
		DELTA(1, PIECE("")),
		OPEN(2, "{'type':'tool_use','id':'c','name':'h','input':{'x':1}}"),
		DELTA(2, PIECE("{\\u0022y\\u0022:")), DELTA(2, PIECE("2}")),
		/* not JSON */
		OPEN(3, CALL("d")), DELTA(3, PIECE("{oops")),
		/* in each other's way */
		OPEN(4, CALL("e")), OPEN(5, CALL("f")), DELTA(4, PIECE("{")),
		DELTA(5, PIECE("[")), DELTA(4, PIECE("}")), NULL};
	feed_all(events);
	assert_int_equal(talk.a.call_count, 6);
	expect_call(0, "a", "f", "");
	expect_call(1, "b", "g", "{'x':1}");
	expect_call(2, "c", "h", "{'y':2}");
	expect_call(3, "d", "f", "{oops");
	expect_call(4, "e", "f", "{}");
	expect_call(5, "f", "f", "[");
}

static void test_said_twice(void **state)
{
	(void)state;
	static const char *const events[] = {
		OPEN(0, CALL("a")), OPEN(0, CALL("a")), DELTA(0, PIECE("{}")),
		/* the same index, another call */
		OPEN(0, CALL("b")), DELTA(0, PIECE("[]")),
		/* the same id, another index */
		OPEN(1, CALL("a")), OPEN(2, "{'type':'thinking','thinking':'t'}"),
		OPEN(2, "{'type':'thinking','thinking':'t'}"), NULL};
	feed_all(events);
	assert_int_equal(talk.a.part_count, 4);
	expect_call(0, "a", "f", "{}");
	expect_call(1, "b", "f", "[]");
	expect_call(2, "a", "f", "");
}

static void test_thoughts(void **state)
{
	(void)state;
	static const char *const events[] = {
		OPEN(0, "{'type':'thinking','thinking':'','signature':''}"),
		DELTA(0, "{'type':'thinking_delta','thinking':'Let '}"),
		DELTA(0, "{'type':'thinking_delta','thinking':'me'}"),
		DELTA(0, "{'type':'signature_delta','signature':'EqQ+'}"),
		DELTA(0, "{'type':'signature_delta','signature':'/\\u0022=='}"),
		OPEN(1, "{'type':'redacted_thinking','data':'Erd'}"),
		OPEN(2, "{'type':'text','text':'so'}"),
		DELTA(2, "{'type':'text_delta','text':' be it'}"),
		/* signed by nothing: not to be sent back */
		OPEN(3, "{'type':'thinking','thinking':'x'}"),
		DELTA(3, "{'type':'signature_delta'}"),
		DELTA(3, "{'type':'signature_delta','signature':''}"), NULL};
	feed_all(events);
	assert_int_equal(talk.a.part_count, 4);
	expect_opaque(3, "");
	assert_true(slice_is(strbuf_slice(&talk.a.parts[0].thought), "Let me"));
	expect_opaque(0, "{'signature':'EqQ+/\\'=='}");
	expect_opaque(1, "{'data':'Erd'}");
	assert_true(text_is("so be it"));
}

/* Blocks and deltas that are not known, with what belongs to them. */
static void test_unknown(void **state)
{
	(void)state;
	static const char *const events[] = {
		"{'type':'ping'}",
		"{'type':'of tomorrow','index':0}",
		OPEN(0, "{'type':'server_tool_use','id':'s','name':'web','input':{}}"),
		DELTA(0, PIECE("{}")),
		DELTA(0, "{'type':'signature_delta'}"),
		OPEN(1, "{'type':'text','text':''}"),
		DELTA(1, "{'type':'citations_delta','citation':{}}"),
		DELTA(1, "{'type':'text_delta','text':'x'}"),
		DELTA(9, "{'type':'thinking_delta','thinking':'of nothing'}"),
		NULL};
	feed_all(events);
	assert_int_equal(talk.a.part_count, 1);
	assert_true(text_is("x"));
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
		"{'error':null}",
		"{'type':'message_start'}",
		"{'type':'message_start','message':[]}",
		"{'type':'message_delta'}",
		"{'type':'message_delta','delta':7}",
		"{'type':'message_delta','delta':{'stop_reason':null}}",
		"{'type':'content_block_start'}",
		"{'type':'content_block_start','index':'0','content_block':[]}",
		"{'type':'content_block_delta','index':1.5,'delta':{}}",
		"{'type':'content_block_delta','index':-7,'delta':{'type':'text_delta',"
		"'text':7}}",
		OPEN(0, "{'type':'text','text':{}}"),
		NULL};
	feed_all(events);
	assert_int_equal(talk.a.part_count, 0);
	assert_int_equal(talk.a.stop, LLM_STOP_NONE);
	assert_int_equal(talk.a.usage.in, 0);
}

static void test_errors(void **state)
{
	(void)state;
	static const struct {
		const char *event;
		enum err err;
		const char *says;
	} cases[] = {
		{"{'type':'error','error':{'type':'overloaded_error','message':"
		 "'Overloaded'}}",
		 ERR_MODEL_OVERLOAD, "Overloaded"},
		{"{'type':'error','error':{'type':'rate_limit_error','message':'slow'}}",
		 ERR_MODEL_RATE, "slow"},
		{"{'type':'error'}", ERR_MODEL_OVERLOAD, "nothing"},
		{"{'type':'ping'", ERR_MODEL_BROKEN, "not JSON"},
		{"", ERR_MODEL_BROKEN, "not JSON"},
		/* mended, and no JSON all the same */
		{"{'type':'ping','x':'\\ud83d x'", ERR_MODEL_BROKEN, "not JSON"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		llm_answer_reset(&talk.a);
		assert_int_equal(feed(cases[i].event), cases[i].err);
		if (!strstr(talk.a.error, cases[i].says))
			fail_msg("%s: %s", cases[i].event, talk.a.error);
	}
}

static void test_a_refusal_says_why(void **state)
{
	(void)state;
	assert_int_equal(feed("{'type':'message_delta','delta':{'stop_reason':'refusal',"
			      "'stop_details':{'explanation':'not this'}}}"),
			 ERR_OK);
	assert_int_equal(talk.a.stop, LLM_STOP_FILTER);
	assert_non_null(strstr(talk.a.error, "not this"));
}

static void test_large(void **state)
{
	(void)state;
	struct strbuf event = STRBUF_INIT;
	strbuf_add_str(&event, json("{'type':'content_block_delta','index':0,'delta':{"
				    "'type':'input_json_delta','partial_json':'"));
	for (int i = 0; i < 1 << 20; i++)
		strbuf_add_char(&event, 'x');
	strbuf_add_str(&event, "\"}}");
	assert_int_equal(feed(OPEN(0, CALL("a"))), ERR_OK);
	for (int i = 0; i < 10; i++)
		assert_int_equal(feed_bytes(strbuf_slice(&event)), ERR_OK);
	assert_int_equal(llm_call_at(&talk.a, 0)->arguments.n, 10u << 20);
	strbuf_fini(&event);
	/* as many parts as there may be, and one more */
	llm_answer_reset(&talk.a);
	for (int i = 0; i <= LLM_PARTS_MOST; i++) {
		char line[160];
		snprintf(line, sizeof line, OPEN(% d, CALL("%d")), i * 7 - 3, i);
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
		CASE(test_usage),
		CASE(test_stop_words),
		CASE(test_arguments),
		CASE(test_said_twice),
		CASE(test_thoughts),
		CASE(test_unknown),
		CASE(test_strange_shapes),
		CASE(test_errors),
		CASE(test_a_refusal_says_why),
		CASE(test_large),
	};
	talk.provider = &llm_anthropic;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
