/* SPDX-License-Identifier: Apache-2.0
 * What refusals mean: bodies as the providers send them, each class of each provider.
 * Status 0: the body is an event of a stream that had begun. */
#include "tests/unit/worker/llm/talk.h"
#include "worker/llm/refusal.h"

struct refusal {
	int status;
	const char *body;
	enum err err;
	const char *says; /* a part of the sentence for people */
};

#define ERROR(members) "{'error':{" members "}}"
#define OPENAI(type, code, message)                                                      \
	ERROR("'message':'" message "','type':'" type "','param':null,'code':" code)

static const struct refusal openai[] = {
	{429,
	 OPENAI("tokens", "'rate_limit_exceeded'",
		"Rate limit reached for gpt-x on tokens per min (TPM): Limit 30000, Used "
		"29000. Please try again in 2s."),
	 ERR_MODEL_RATE, "try again in 2s"},
	{429, "", ERR_MODEL_RATE, "429"},
	{503,
	 OPENAI("server_error", "null",
		"The engine is currently overloaded, please try again later"),
	 ERR_MODEL_OVERLOAD, "overloaded"},
	{500, OPENAI("server_error", "null", "The server had an error"),
	 ERR_MODEL_OVERLOAD, "had an error"},
	{529, "<html>busy</html>", ERR_MODEL_OVERLOAD, "529"},
	{408, "{}", ERR_MODEL_TIMEOUT, "408"},
	{504, "<html><h1>504 Gateway Time-out</h1></html>", ERR_MODEL_TIMEOUT, "504"},
	{524, "error code: 524", ERR_MODEL_TIMEOUT, "524"},
	{401,
	 OPENAI("invalid_request_error", "'invalid_api_key'",
		"Incorrect API key provided: sk-1234"),
	 ERR_MODEL_AUTH, "Incorrect API key"},
	{403,
	 OPENAI("request_forbidden", "'unsupported_country_region_territory'",
		"Country, region, or territory not supported"),
	 ERR_MODEL_AUTH, "Country"},
	{429,
	 OPENAI("insufficient_quota", "'insufficient_quota'",
		"You exceeded your current quota, please check your plan"),
	 ERR_MODEL_BILLING, "exceeded"},
	{400,
	 OPENAI("invalid_request_error", "'context_length_exceeded'",
		"The maximum context length is 128000 tokens"),
	 ERR_MODEL_CONTEXT, "128000"},
	{400,
	 OPENAI("invalid_request_error", "'unsupported_parameter'",
		"Unsupported parameter: temperature"),
	 ERR_MODEL_REQUEST, "temperature"},
	{404, OPENAI("invalid_request_error", "'model_not_found'", "no model gpt-x"),
	 ERR_MODEL_REQUEST, "gpt-x"},
	{400,
	 OPENAI("invalid_request_error", "'content_policy_violation'",
		"Your request was rejected by our safety system"),
	 ERR_MODEL_FILTER, "safety"},
	{400,
	 ERROR("'message':'The response was filtered','code':'content_filter',"
	       "'status':400"),
	 ERR_MODEL_FILTER, "filtered"},
	{0, "{'choices':[", ERR_MODEL_BROKEN, "not JSON"},
	{0, ERROR("'message':'Upstream idle timeout exceeded','code':504"),
	 ERR_MODEL_TIMEOUT, "idle"},
	/* routers and servers of one's own */
	{402, ERROR("'message':'Insufficient credits','code':402"), ERR_MODEL_BILLING,
	 "credits"},
	{403,
	 ERROR("'code':403,'message':'openai/x requires moderation. Your input was "
	       "flagged for \\'violence\\''"),
	 ERR_MODEL_FILTER, "flagged"},
	{502, ERROR("'code':502,'message':'Provider returned error'"), ERR_MODEL_OVERLOAD,
	 "Provider"},
	{0, ERROR("'code':429,'message':'Provider is rate limited'"), ERR_MODEL_RATE,
	 "limited"},
	{400,
	 "{'object':'error','message':'This model\\u0027s maximum context length is "
	 "4096 tokens.','type':'BadRequestError','code':400}",
	 ERR_MODEL_CONTEXT, "4096"},
	{400,
	 ERROR("'code':400,'message':'the request exceeds the available context size',"
	       "'type':'exceed_context_size_error','n_ctx':4096"),
	 ERR_MODEL_CONTEXT, "available"},
	{404, "{'error':'model \\u0027x\\u0027 not found'}", ERR_MODEL_REQUEST,
	 "not found"},
};

#define ANTHROPIC(type, message)                                                         \
	"{'type':'error','error':{'type':'" type "','message':'" message                 \
	"'},'request_id':'req_1'}"

static const struct refusal anthropic[] = {
	{429,
	 ANTHROPIC("rate_limit_error",
		   "This request would exceed the rate limit of 40,000 input tokens per "
		   "minute"),
	 ERR_MODEL_RATE, "40,000"},
	{529, ANTHROPIC("overloaded_error", "Overloaded"), ERR_MODEL_OVERLOAD,
	 "Overloaded"},
	{500, ANTHROPIC("api_error", "Internal server error"), ERR_MODEL_OVERLOAD,
	 "Internal"},
	{504, ANTHROPIC("timeout_error", "The request timed out"), ERR_MODEL_TIMEOUT,
	 "timed out"},
	{401, ANTHROPIC("authentication_error", "invalid x-api-key"), ERR_MODEL_AUTH,
	 "x-api-key"},
	{403, ANTHROPIC("permission_error", "The key lacks permission"), ERR_MODEL_AUTH,
	 "permission"},
	{400,
	 ANTHROPIC("invalid_request_error",
		   "Your credit balance is too low to access the API"),
	 ERR_MODEL_BILLING, "balance"},
	{400,
	 ANTHROPIC("invalid_request_error",
		   "You have reached your specified API usage limits. You will regain "
		   "access on 2026-12-01"),
	 ERR_MODEL_BILLING, "2026-12-01"},
	{402, ANTHROPIC("billing_error", "Payment is due"), ERR_MODEL_BILLING, "Payment"},
	{400,
	 ANTHROPIC("invalid_request_error",
		   "prompt is too long: 210000 tokens > 200000 maximum"),
	 ERR_MODEL_CONTEXT, "210000"},
	{400,
	 ANTHROPIC("invalid_request_error",
		   "input length and `max_tokens` exceed context limit: 190000 + 32000 > "
		   "200000"),
	 ERR_MODEL_CONTEXT, "190000"},
	{413,
	 ANTHROPIC("request_too_large", "Request exceeds the maximum allowed number of "
					"bytes"),
	 ERR_MODEL_CONTEXT, "bytes"},
	{400,
	 ANTHROPIC("invalid_request_error",
		   "messages.1.content.0: `tool_use` ids must be unique"),
	 ERR_MODEL_REQUEST, "unique"},
	{404, ANTHROPIC("not_found_error", "model: claude-x"), ERR_MODEL_REQUEST,
	 "claude-x"},
	{400,
	 ANTHROPIC("invalid_request_error", "Output blocked by content filtering policy"),
	 ERR_MODEL_FILTER, "blocked"},
	{0, ANTHROPIC("overloaded_error", "Overloaded"), ERR_MODEL_OVERLOAD,
	 "Overloaded"},
	{0, ANTHROPIC("rate_limit_error", "slow"), ERR_MODEL_RATE, "slow"},
	{0, ANTHROPIC("api_error", "Internal server error"), ERR_MODEL_OVERLOAD,
	 "Internal"},
	{0, "{'type':'content_block_de", ERR_MODEL_BROKEN, "not JSON"},
};

#define GOOGLE(code, status, message, details)                                           \
	ERROR("'code':" #code ",'message':'" message "','status':'" status               \
	      "','details':[" details "]")
#define QUOTA(id)                                                                        \
	"{'@type':'type.googleapis.com/google.rpc.QuotaFailure','violations':[{"         \
	"'quotaMetric':'m','quotaId':'" id "'}]}"
#define RETRY(delay)                                                                     \
	"{'@type':'type.googleapis.com/google.rpc.RetryInfo','retryDelay':'" delay "'}"

static const struct refusal gemini[] = {
	{429,
	 GOOGLE(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota",
		QUOTA("GenerateRequestsPerMinutePerProjectPerModel-FreeTier") "," RETRY(
			"34.4s")),
	 ERR_MODEL_RATE, "quota"},
	{429, "[" GOOGLE(429, "RESOURCE_EXHAUSTED", "Resource exhausted", "") "]",
	 ERR_MODEL_RATE, "exhausted"},
	{429,
	 GOOGLE(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota",
		QUOTA("GenerateRequestsPerDayPerProjectPerModel-FreeTier") "," RETRY(
			"17s")),
	 ERR_MODEL_BILLING, "quota"},
	{429,
	 GOOGLE(429, "RESOURCE_EXHAUSTED", "Your prepayment credits are depleted.", ""),
	 ERR_MODEL_BILLING, "credits"},
	{400,
	 GOOGLE(400, "FAILED_PRECONDITION",
		"The free tier is not available in your country. Please enable billing "
		"on "
		"your project",
		""),
	 ERR_MODEL_BILLING, "billing"},
	{503, GOOGLE(503, "UNAVAILABLE", "The model is overloaded.", ""),
	 ERR_MODEL_OVERLOAD, "overloaded"},
	{500, GOOGLE(500, "INTERNAL", "An internal error has occurred.", ""),
	 ERR_MODEL_OVERLOAD, "internal"},
	{504, GOOGLE(504, "DEADLINE_EXCEEDED", "The deadline expired", ""),
	 ERR_MODEL_TIMEOUT, "deadline"},
	{400,
	 GOOGLE(400, "INVALID_ARGUMENT",
		"API key not valid. Please pass a valid API key.",
		"{'reason':'API_KEY_INVALID'}"),
	 ERR_MODEL_AUTH, "not valid"},
	{400, GOOGLE(400, "INVALID_ARGUMENT", "API key expired. Please renew it.", ""),
	 ERR_MODEL_AUTH, "expired"},
	{403, GOOGLE(403, "PERMISSION_DENIED", "Permission denied", ""), ERR_MODEL_AUTH,
	 "denied"},
	{400,
	 GOOGLE(400, "INVALID_ARGUMENT",
		"The input token count (1200000) exceeds the maximum number of tokens "
		"allowed (1048576).",
		""),
	 ERR_MODEL_CONTEXT, "1200000"},
	{400,
	 GOOGLE(400, "INVALID_ARGUMENT",
		"Thinking level MINIMAL is not supported for this model.", ""),
	 ERR_MODEL_REQUEST, "MINIMAL"},
	{404, GOOGLE(404, "NOT_FOUND", "models/x is not found", ""), ERR_MODEL_REQUEST,
	 "models/x"},
	{0, "[" GOOGLE(503, "UNAVAILABLE", "The model is overloaded.", "") "]",
	 ERR_MODEL_OVERLOAD, "overloaded"},
	{0, GOOGLE(504, "DEADLINE_EXCEEDED", "The deadline expired", ""),
	 ERR_MODEL_TIMEOUT, "deadline"},
	{0,
	 "{'candidates':[{'finishReason':'MALFORMED_FUNCTION_CALL','finishMessage':"
	 "'Malformed function call'}]}",
	 ERR_MODEL_BROKEN, "Malformed"},
	{0, "{'candidates':[", ERR_MODEL_BROKEN, "not JSON"},
};

#define FAILED(code, message)                                                            \
	"{'type':'response.failed','response':{'status':'failed','error':{'code':'" code \
	"','message':'" message "'}}}"

static const struct refusal responses[] = {
	{429, OPENAI("requests", "'rate_limit_exceeded'", "Rate limit reached"),
	 ERR_MODEL_RATE, "Rate limit"},
	{0, FAILED("rate_limit_exceeded", "Rate limit reached"), ERR_MODEL_RATE,
	 "Rate limit"},
	{500, OPENAI("server_error", "'server_error'", "An error occurred"),
	 ERR_MODEL_OVERLOAD, "occurred"},
	{0, FAILED("server_is_overloaded", "Our servers are overloaded"),
	 ERR_MODEL_OVERLOAD, "overloaded"},
	{0, FAILED("server_error", "An error occurred"), ERR_MODEL_OVERLOAD, "occurred"},
	{504, "", ERR_MODEL_TIMEOUT, "504"},
	{401,
	 OPENAI("invalid_request_error", "'invalid_api_key'",
		"Incorrect API key provided"),
	 ERR_MODEL_AUTH, "Incorrect"},
	{429, OPENAI("insufficient_quota", "'insufficient_quota'", "You exceeded"),
	 ERR_MODEL_BILLING, "exceeded"},
	{0,
	 "{'type':'error','error':{'type':'insufficient_quota','code':"
	 "'insufficient_quota','message':'You exceeded'}}",
	 ERR_MODEL_BILLING, "exceeded"},
	{400,
	 OPENAI("invalid_request_error", "null",
		"Your input exceeds the context window of this model"),
	 ERR_MODEL_CONTEXT, "exceeds"},
	{0, FAILED("context_length_exceeded", "Your input exceeds the context window"),
	 ERR_MODEL_CONTEXT, "exceeds"},
	{400,
	 OPENAI("invalid_request_error", "'invalid_value'",
		"No tool call found for function call output with call_id c1"),
	 ERR_MODEL_REQUEST, "c1"},
	{0, FAILED("invalid_image", "The image data is not valid"), ERR_MODEL_REQUEST,
	 "image"},
	{0, FAILED("invalid_prompt", "Your prompt was flagged"), ERR_MODEL_FILTER,
	 "flagged"},
	{400, OPENAI("invalid_request_error", "'invalid_prompt'", "flagged"),
	 ERR_MODEL_FILTER, "flagged"},
	{0, "{'type':'response.outp", ERR_MODEL_BROKEN, "not JSON"},
};

static const struct {
	const struct llm_provider *provider;
	const struct refusal *refusals;
	size_t count;
} all[] = {
	{&llm_openai, openai, ARRAY_LEN(openai)},
	{&llm_anthropic, anthropic, ARRAY_LEN(anthropic)},
	{&llm_gemini, gemini, ARRAY_LEN(gemini)},
	{&llm_responses, responses, ARRAY_LEN(responses)},
};

static enum err refuse(const struct refusal *r)
{
	struct slice body = slice_str(json(r->body));
	llm_answer_reset(&talk.a);
	return r->status ? talk.provider->read_refusal(&talk.a, r->status, body)
			 : feed_bytes(body);
}

static void test_recorded(void **state)
{
	(void)state;
	for (size_t p = 0; p < ARRAY_LEN(all); p++)
		for (size_t i = 0; i < all[p].count; i++) {
			const struct refusal *r = &all[p].refusals[i];
			talk.provider = all[p].provider;
			enum err e = refuse(r);
			if (e != r->err || !strstr(talk.a.error, r->says))
				fail_msg("%s, %d %s: %s, %s", talk.provider->name,
					 r->status, r->body, err_code(e), talk.a.error);
		}
}

/* Every class has a recording of every provider that refuses with it. */
static void test_classes(void **state)
{
	(void)state;
	static const enum err classes[] = {
		ERR_MODEL_RATE,    ERR_MODEL_OVERLOAD, ERR_MODEL_TIMEOUT,
		ERR_MODEL_AUTH,    ERR_MODEL_BILLING,  ERR_MODEL_CONTEXT,
		ERR_MODEL_REQUEST, ERR_MODEL_BROKEN,   ERR_MODEL_FILTER};
	for (size_t p = 0; p < ARRAY_LEN(all); p++)
		for (size_t c = 0; c < ARRAY_LEN(classes); c++) {
			bool any = all[p].provider == &llm_gemini &&
				   classes[c] == ERR_MODEL_FILTER; /* a stop */
			for (size_t i = 0; i < all[p].count; i++)
				any |= all[p].refusals[i].err == classes[c];
			if (!any)
				fail_msg("%s: no %s", all[p].provider->name,
					 err_code(classes[c]));
		}
}

/* Whatever a body is, there is a class and a sentence. */
static void test_any_body(void **state)
{
	(void)state;
	static const int statuses[] = {302, 400, 401, 403, 404, 408, 413,
				       418, 429, 500, 503, 529, 599};
	static const char *const bodies[] = {
		"",
		"null",
		"[]",
		"[[]]",
		"7",
		"{'error':7}",
		"{'error':[]}",
		"{'error':{'message':7,'code':{},'type':[]}}",
		"{'error':{'details':7}}",
		"{'error':{'details':[7,{'violations':7},{"
		"'retryDelay':7}]}}",
		"{'message':7}",
		"\xFF\xFE",
		"<html>"};
	for (size_t p = 0; p < ARRAY_LEN(all); p++)
		for (size_t s = 0; s < ARRAY_LEN(statuses); s++)
			for (size_t b = 0; b < ARRAY_LEN(bodies); b++) {
				llm_answer_reset(&talk.a);
				enum err e = all[p].provider->read_refusal(
					&talk.a, statuses[s], slice_str(bodies[b]));
				assert_true(e >= ERR_MODEL_CONFIG && talk.a.error[0] &&
					    !talk.a.retry_after_us);
			}
}

static void test_sentences(void **state)
{
	(void)state;
	struct llm_refusal r = {.status = 418};
	assert_int_equal(llm_refuse(&talk.a, &r), ERR_MODEL_REQUEST);
	assert_string_equal(talk.a.error, "the model provider answered with status 418");
	r.message = SLICE("no");
	assert_int_equal(llm_refuse(&talk.a, &r), ERR_MODEL_REQUEST);
	assert_string_equal(talk.a.error, "the model provider says: no");
	r = (struct llm_refusal){0};
	assert_int_equal(llm_refuse(&talk.a, &r), ERR_MODEL_OVERLOAD);
	assert_string_equal(talk.a.error, "the model provider says: (nothing)");
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, talk_begin, talk_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_recorded),
		CASE(test_classes),
		CASE(test_any_body),
		CASE(test_sentences),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
