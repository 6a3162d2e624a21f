/* SPDX-License-Identifier: Apache-2.0
 * Reading Gemini's chunks one by one, and what its refusals ask for. Whole streams are in
 * test_splits. */
#include "tests/unit/worker/llm/talk.h"

#define PARTS(parts) "{'candidates':[{'content':{'role':'model','parts':[" parts "]}}]}"
#define END(word) "{'candidates':[{'finishReason':'" word "'}]}"
#define CALL(name) "{'functionCall':{'name':'" name "','args':{'x':1}}}"

static void test_usage(void **state)
{
	(void)state;
	const struct llm_usage *u = &talk.a.usage;
	assert_int_equal(feed("{'usageMetadata':{'promptTokenCount':29,"
			      "'cachedContentTokenCount':4,'thoughtsTokenCount':800}}"),
			 ERR_OK);
	assert_int_equal(u->in, 29);
	assert_int_equal(u->cached, 4);
	assert_int_equal(u->out, 800);
	assert_int_equal(u->reasoning, 800);
	assert_int_equal(feed("{'usageMetadata':{'promptTokenCount':29,"
			      "'candidatesTokenCount':15,'thoughtsTokenCount':804,"
			      "'totalTokenCount':848}}"),
			 ERR_OK);
	assert_int_equal(u->out, 819);
	assert_int_equal(u->reasoning, 804);
	assert_int_equal(feed("{'usageMetadata':{'candidatesTokenCount':16}}"), ERR_OK);
	assert_int_equal(u->out, 820);
	/* what is no count is not taken for one */
	assert_int_equal(feed("{'usageMetadata':{'promptTokenCount':-1,"
			      "'candidatesTokenCount':9223372036854775807,"
			      "'thoughtsTokenCount':1.5,'cachedContentTokenCount':'7'}}"),
			 ERR_OK);
	assert_int_equal(u->in, 29);
	assert_int_equal(u->out, 820);
}

static void test_ends(void **state)
{
	(void)state;
	static const struct {
		const char *word;
		enum err err;
		enum llm_stop stop;
	} cases[] = {
		{"STOP", ERR_OK, LLM_STOP_END},
		{"MAX_TOKENS", ERR_OK, LLM_STOP_LENGTH},
		{"SAFETY", ERR_OK, LLM_STOP_FILTER},
		{"RECITATION", ERR_OK, LLM_STOP_FILTER},
		{"PROHIBITED_CONTENT", ERR_OK, LLM_STOP_FILTER},
		{"SPII", ERR_OK, LLM_STOP_FILTER},
		{"MALFORMED_FUNCTION_CALL", ERR_MODEL_BROKEN, LLM_STOP_NONE},
		{"UNEXPECTED_TOOL_CALL", ERR_MODEL_BROKEN, LLM_STOP_NONE},
		{"OTHER", ERR_MODEL_BROKEN, LLM_STOP_NONE},
		{"OF_TOMORROW", ERR_OK, LLM_STOP_END},
		{"", ERR_OK, LLM_STOP_NONE},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char line[128];
		llm_answer_reset(&talk.a);
		snprintf(line, sizeof line, END("%s"), cases[i].word);
		enum err e = feed(line);
		if (e != cases[i].err || talk.a.stop != cases[i].stop)
			fail_msg("%s: %s, %d", cases[i].word, err_code(e),
				 (int)talk.a.stop);
		if (e || talk.a.stop == LLM_STOP_FILTER)
			assert_non_null(strstr(talk.a.error, cases[i].word));
	}
	/* calls end with STOP like any answer */
	llm_answer_reset(&talk.a);
	assert_int_equal(feed(PARTS(CALL("f"))), ERR_OK);
	assert_int_equal(talk.a.stop, LLM_STOP_NONE);
	assert_int_equal(feed(END("STOP")), ERR_OK);
	assert_int_equal(talk.a.stop, LLM_STOP_TOOLS);
	/* the question itself is refused */
	llm_answer_reset(&talk.a);
	assert_int_equal(
		feed("{'promptFeedback':{'blockReason':'SAFETY'},'usageMetadata':{"
		     "'promptTokenCount':5}}"),
		ERR_OK);
	assert_int_equal(talk.a.stop, LLM_STOP_FILTER);
	assert_non_null(strstr(talk.a.error, "SAFETY"));
	/* the provider's sentence, where it has one */
	llm_answer_reset(&talk.a);
	assert_int_equal(feed("{'candidates':[{'finishReason':'MALFORMED_FUNCTION_CALL',"
			      "'finishMessage':'print(default_api.f)'}]}"),
			 ERR_MODEL_BROKEN);
	assert_non_null(strstr(talk.a.error, "default_api"));
}

static void test_calls(void **state)
{
	(void)state;
	static const char *const events[] = {
		PARTS("{'functionCall':{'name':'f','args':{'x':1}},'thoughtSignature':"
		      "'A+/=='},{'functionCall':{'id':'g1','name':'g'}}"),
		PARTS("{'functionCall':{'id':'g2','name':'g','args':{}},"
		      "'thoughtSignature':'B'}"),
		PARTS("{'functionCall':{'name':'h','args':'oops'}}"),
		/* the same id once more: the run tells them apart */
		PARTS("{'functionCall':{'id':'g2','name':'h','args':null}}"),
		/* no call */
		PARTS("{'functionCall':{}},{'functionCall':7},{'functionCall':{'name':''}"
		      "}"),
		NULL};
	feed_all(events);
	assert_int_equal(talk.a.part_count, 5);
	expect_call(0, "", "f", "{'x':1}");
	expect_call(1, "g1", "g", "");
	expect_call(2, "g2", "g", "{}");
	expect_call(3, "", "h", "'oops'");
	expect_call(4, "g2", "h", "");
	expect_opaque(0, "{'thoughtSignature':'A+/=='}");
	expect_opaque(1, "{'id':'g1'}");
	expect_opaque(2, "{'id':'g2','thoughtSignature':'B'}");
	expect_opaque(3, "");
	assert_int_equal(feed(PARTS("{'functionCall':{'name':'f','partialArgs':[{"
				    "'jsonPath':'$.x','stringValue':'A'}],"
				    "'willContinue':true}}")),
			 ERR_MODEL_BROKEN);
}

static void test_signed_texts(void **state)
{
	(void)state;
	static const char *const events[] = {
		PARTS("{'text':'h\\u00e9'}"),
		PARTS("{'text':'llo','thoughtSignature':'S'}"),
		PARTS("{'text':' you'}"),
		PARTS("{'text':'','thoughtSignature':'T'}"),
		PARTS(CALL("f")),
		PARTS("{'text':'','thoughtSignature':'U'}"),
		PARTS("{'text':''}"),
		PARTS("{'text':'more'}"),
		NULL};
	feed_all(events);
	assert_int_equal(talk.a.part_count, 3);
	assert_true(text_is("h\xC3\xA9llo you\n\nmore"));
	expect_opaque(0, "[{'from':3,'to':6,'thoughtSignature':'S'},{'from':10,'to':10,"
			 "'thoughtSignature':'T'}]");
	expect_opaque(2, "[{'from':0,'to':0,'thoughtSignature':'U'}]");
	assert_int_equal(talk.a.parts[2].n, 4);
	assert_true(slice_is(llm_part_text(&talk.a, &talk.a.parts[2]), "more"));
}

/* A signed part of nothing adds nothing to what is shown. */
static void test_an_empty_part(void **state)
{
	(void)state;
	assert_int_equal(feed(PARTS("{'text':'a'}")), ERR_OK);
	assert_int_equal(feed(PARTS(CALL("f"))), ERR_OK);
	assert_int_equal(feed(PARTS("{'text':'','thoughtSignature':'U'}")), ERR_OK);
	assert_true(text_is("a"));
	assert_int_equal(talk.a.part_count, 3);
	assert_int_equal(talk.a.parts[2].n, 0);
}

static void test_thoughts(void **state)
{
	(void)state;
	static const char *const events[] = {
		PARTS("{'text':'Let ','thought':true}"),
		PARTS("{'text':'me','thought':true},{'text':'','thought':true,"
		      "'thoughtSignature':'S'}"),
		PARTS("{'text':'again','thought':true}"), PARTS("{'text':'yes'}"), NULL};
	feed_all(events);
	assert_int_equal(talk.a.part_count, 3);
	assert_true(slice_is(strbuf_slice(&talk.a.parts[0].thought), "Let me"));
	expect_opaque(0, "{'thoughtSignature':'S'}");
	assert_true(slice_is(strbuf_slice(&talk.a.parts[1].thought), "again"));
	expect_opaque(1, "");
	assert_true(text_is("yes"));
}

static void test_strange_shapes(void **state)
{
	(void)state;
	static const char *const events[] = {"null",
					     "[]",
					     "7",
					     "{}",
					     "{'candidates':[]}",
					     "{'candidates':null}",
					     "{'candidates':[7]}",
					     "{'candidates':[{'content':[]}]}",
					     "{'candidates':[{'content':{'parts':{}}}]}",
					     PARTS("7,null,[],{}"),
					     PARTS("{'text':7}"),
					     PARTS("{'executableCode':{'code':'x'}}"),
					     "{'candidates':[{'finishReason':7}]}",
					     "{'usageMetadata':[]}",
					     "{'promptFeedback':{'blockReason':7}}",
					     "{'promptFeedback':{'safetyRatings':[]}}",
					     "{'error':null}",
					     NULL};
	feed_all(events);
	assert_int_equal(talk.a.part_count, 0);
	assert_int_equal(talk.a.stop, LLM_STOP_NONE);
	assert_int_equal(talk.a.usage.in, 0);
}

/* ---- what goes wrong */

static void test_errors(void **state)
{
	(void)state;
	static const struct {
		const char *event;
		enum err err;
		const char *says;
	} cases[] = {
		{"{'error':{'code':503,'message':'overloaded','status':'UNAVAILABLE'}}",
		 ERR_MODEL_OVERLOAD, "overloaded"},
		{"[{'error':{'code':429,'message':'slow','status':"
		 "'RESOURCE_EXHAUSTED'}}]",
		 ERR_MODEL_RATE, "slow"},
		{"{'error':{'code':400,'message':'The input token count exceeds the "
		 "maximum number of tokens allowed'}}",
		 ERR_MODEL_CONTEXT, "exceeds"},
		{"{'candidates'", ERR_MODEL_BROKEN, "not JSON"},
		{"[DONE]", ERR_MODEL_BROKEN, "not JSON"},
		{"{'x':'\\ud83d x'", ERR_MODEL_BROKEN, "not JSON"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		llm_answer_reset(&talk.a);
		assert_int_equal(feed(cases[i].event), cases[i].err);
		if (!strstr(talk.a.error, cases[i].says))
			fail_msg("%s: %s", cases[i].event, talk.a.error);
	}
}

static void test_when_to_come_again(void **state)
{
	(void)state;
	static const struct {
		const char *delay;
		int64_t us;
	} cases[] = {
		{"34.4s", 34400000},
		{"34.074824224s", 34074824},
		{"7s", 7000000},
		{"0.5s", 500000},
		{"0s", 0},
		{"99999999s", 86400000000},
		{"-5s", 0},
		{"5", 0},
		{"s", 0},
		{"", 0},
		{"1.xs", 0},
		{"99999999999999999999s", 0},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char body[512];
		llm_answer_reset(&talk.a);
		snprintf(body, sizeof body,
			 "{'error':{'code':429,'message':'slow','status':"
			 "'RESOURCE_EXHAUSTED','details':[{'@type':'x/QuotaFailure',"
			 "'violations':[{'quotaId':'RequestsPerMinutePerProject'}]},{"
			 "'@type':'x/RetryInfo','retryDelay':'%s'}]}}",
			 cases[i].delay);
		assert_int_equal(
			llm_gemini.read_refusal(&talk.a, 429, slice_str(json(body))),
			ERR_MODEL_RATE);
		if (talk.a.retry_after_us != cases[i].us)
			fail_msg("%s: %lld", cases[i].delay,
				 (long long)talk.a.retry_after_us);
	}
	/* a header that asked for more stands */
	llm_answer_reset(&talk.a);
	talk.a.retry_after_us = 60000000;
	assert_int_equal(
		llm_gemini.read_refusal(&talk.a, 429,
					slice_str(json("[{'error':{'details':[{"
						       "'retryDelay':'5s'}]}}]"))),
		ERR_MODEL_RATE);
	assert_int_equal(talk.a.retry_after_us, 60000000);
}

static void test_large(void **state)
{
	(void)state;
	struct strbuf event = STRBUF_INIT;
	strbuf_add_str(&event, json("{'candidates':[{'content':{'parts':[{'functionCall':"
				    "{'name':'f','args':{'x':'"));
	for (int i = 0; i < 3 << 20; i++)
		strbuf_add_char(&event, 'x');
	strbuf_add_str(&event, json("'}}}]}}]}"));
	for (int i = 0; i < 4; i++)
		assert_int_equal(feed_bytes(strbuf_slice(&event)), ERR_OK);
	assert_true(llm_call_at(&talk.a, 3)->arguments.n > 3u << 20);
	/* 10 MB at once are no event */
	llm_answer_reset(&talk.a);
	for (int i = 0; i < 10 << 20; i++)
		strbuf_add_char(&event, ' ');
	assert_int_equal(feed_bytes(strbuf_slice(&event)), ERR_MODEL_BROKEN);
	assert_true(talk.a.error[0]);
	strbuf_fini(&event);
	llm_answer_reset(&talk.a);
	for (int i = 0; i <= LLM_PARTS_MOST; i++)
		assert_int_equal(
			feed_bytes(SLICE("{\"candidates\":[{\"content\":{\"parts\":[{"
					 "\"functionCall\":{\"name\":\"f\"}}]}}]}")),
			i < LLM_PARTS_MOST ? ERR_OK : ERR_MODEL_BROKEN);
	assert_true(talk.a.error[0]);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, talk_begin, talk_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_usage),
		CASE(test_ends),
		CASE(test_calls),
		CASE(test_signed_texts),
		CASE(test_an_empty_part),
		CASE(test_thoughts),
		CASE(test_strange_shapes),
		CASE(test_errors),
		CASE(test_when_to_come_again),
		CASE(test_large),
	};
	talk.provider = &llm_gemini;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
