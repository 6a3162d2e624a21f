/* SPDX-License-Identifier: Apache-2.0
 * A look at a provider, at a server of the test: what proves a key, and what does not. */
#include "tests/unit/common/http/server.h"

#include "common/http/client.h"
#include "worker/llm/look.h"

#define KEY "sk-0123456789-abcdef"

static struct loop *loop;
static struct http_client *http;
static struct server server;
static char url[64], path[200], head[2000];
static const char *says;
static int status;
static struct llm_look look;
static struct llm_answer answer;
static struct op op;
static int done;
static enum err result;

static void on_request(struct server_conn *c, struct slice p, struct slice h,
		       struct slice body)
{
	char text[1000];
	(void)body;
	snprintf(path, sizeof path, "%.*s", SLICE_ARG(p));
	snprintf(head, sizeof head, "%.*s", SLICE_ARG(h));
	snprintf(text, sizeof text,
		 "HTTP/1.1 %d Word\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
		 status, strlen(says), says);
	server_say(c, text);
	c->closes = true;
}

static int setup(void **state)
{
	(void)state;
	loop = loop_new();
	http = http_client_new(loop, 4);
	server_open(&server, loop, on_request);
	snprintf(url, sizeof url, "http://127.0.0.1:%d/v1/", server.port);
	llm_answer_init(&answer);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	http_client_free(http);
	server_close(&server);
	loop_turn(loop, 0);
	loop_free(loop);
	llm_answer_fini(&answer);
	return 0;
}

static void on_done(struct op *o, enum err e, void *arg)
{
	(void)o, (void)arg;
	done++;
	result = e;
}

static void take(const struct llm_provider *p, int code, const char *text)
{
	struct llm_target t = {
		.provider = p, .base_url = slice_str(url), .api_key = SLICE(KEY)};
	status = code;
	says = text;
	done = 0;
	llm_answer_reset(&answer);
	op_init(&op, loop, on_done, NULL);
	llm_look_start(&look, loop, http, &t, &answer, &op);
	for (int i = 0; i < 500 && !done; i++)
		loop_turn(loop, 20);
	assert_int_equal(done, 1);
	assert_int_equal(answer.status, code);
}

static void test_a_list(void **state)
{
	(void)state;
	take(&llm_openai, 200, "{\"data\":[{\"id\":\"a\"},{\"id\":\"b\"}]}");
	assert_int_equal(result, ERR_OK);
	assert_int_equal(look.models, 2);
	assert_string_equal(path, "/v1/models");
	assert_non_null(strcasestr(head, "Authorization: Bearer " KEY));
	take(&llm_gemini, 200, "{\"models\":[{}]}");
	assert_int_equal(look.models, 1);
	assert_non_null(strcasestr(head, "x-goog-api-key: " KEY));
	take(&llm_anthropic, 200, "{\"data\":[]}");
	assert_int_equal(look.models, 0);
	assert_non_null(strcasestr(head, "anthropic-version: "));
}

/* Its list is everybody's. */
static void test_openrouter(void **state)
{
	(void)state;
	take(&llm_openrouter, 200, "{\"data\":{\"label\":\"x\"}}");
	assert_int_equal(result, ERR_OK);
	assert_int_equal(look.models, -1);
	assert_string_equal(path, "/v1/key");
}

static void test_what_proves_nothing(void **state)
{
	(void)state;
	static const char *const texts[] = {"", "<html></html>", "{\"ok\":true}",
					    "{\"data\":7}", "[]"};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		take(&llm_openai, 200, texts[i]);
		assert_int_equal(result, ERR_MODEL_BROKEN);
		assert_non_null(strstr(answer.error, "base URL"));
	}
}

static void test_refusals(void **state)
{
	(void)state;
	take(&llm_openai, 401,
	     "{\"error\":{\"message\":\"Incorrect API key provided: " KEY
	     "\",\"code\":\"invalid_api_key\"}}");
	assert_int_equal(result, ERR_MODEL_AUTH);
	assert_non_null(strstr(answer.error, "provided: [redacted]"));
	assert_null(strstr(answer.error, "sk-0123"));
	take(&llm_openai, 429, "{\"error\":{\"message\":\"slow down\"}}");
	assert_int_equal(result, ERR_MODEL_RATE);
	take(&llm_openai, 500, "no JSON");
	assert_int_equal(result, ERR_MODEL_OVERLOAD);
}

/* What it says is shortened: not in the middle of the key. */
static void test_half_a_key(void **state)
{
	(void)state;
	char text[900], filler[400];
	for (size_t n = 150; n < 330; n += 7) {
		memset(filler, 'x', n);
		filler[n] = 0;
		snprintf(text, sizeof text, "{\"error\":{\"message\":\"%s" KEY "\"}}",
			 filler);
		take(&llm_openai, 401, text);
		assert_null(strstr(answer.error, "sk-"));
	}
}

static void test_cancelled(void **state)
{
	(void)state;
	struct llm_target t = {.provider = &llm_openai,
			       .base_url = slice_str(url),
			       .api_key = SLICE(KEY)};
	done = 0;
	llm_answer_reset(&answer);
	op_init(&op, loop, on_done, NULL);
	llm_look_start(&look, loop, http, &t, &answer, &op);
	op_cancel(&op, ERR_MODEL_TIMEOUT);
	for (int i = 0; i < 500 && !done; i++)
		loop_turn(loop, 20);
	assert_int_equal(result, ERR_MODEL_TIMEOUT);
	assert_non_null(strstr(answer.error, "cannot be reached"));
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_a_list),
		CASE(test_openrouter),
		CASE(test_what_proves_nothing),
		CASE(test_refusals),
		CASE(test_half_a_key),
		CASE(test_cancelled),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
