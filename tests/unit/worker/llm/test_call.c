/* SPDX-License-Identifier: Apache-2.0
 * A question's whole way: over HTTP to the scripted model server (and to a server of the
 * test for what that one cannot do), and to a local provider. */
#include "tests/unit/common/http/server.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "common/http/client.h"
#include "worker/llm/call.h"

static struct loop *loop;
static struct http_client *http;
static struct server server;
static char fake_url[64], own_url[64];
static pid_t fake_pid;

/* One question under way. Static: a test that fails leaves it open. */
static struct asking {
	struct op op;
	struct llm_answer a;
	struct llm_call *call;
	int done, grown;
	enum err result;
	int cancel_at; /* in the callback that says so often that text grew */
	size_t last;
} g;

static int64_t silence_us;
static const char *raw; /* what the test's own server answers */
static const char *asked = "/v1/chat/completions"; /* where it is asked for it */

/* ---- fake-model */

static void exec_fake(void)
{
	char path[4200];
	const char *given = getenv("TB_FAKE_MODEL");
	ssize_t n = readlink("/proc/self/exe", path, 4096);
	if (n <= 0)
		_exit(9);
	path[n] = 0;
	strcpy(strrchr(path, '/'), "/../bin/fake-model");
	setenv("FAKE_MODEL_KEY", "sk-test", 1);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	execl(given ? given : path, "fake-model", (char *)NULL);
	_exit(9);
}

static int start_fake(void **state)
{
	(void)state;
	int out[2], port;
	assert_int_equal(pipe(out), 0);
	fake_pid = fork();
	if (fake_pid == 0) {
		dup2(out[1], STDOUT_FILENO);
		exec_fake();
	}
	close(out[1]);
	FILE *f = fdopen(out[0], "r");
	if (fscanf(f, "PORT %d", &port) != 1)
		fail_msg("no fake-model: set TB_FAKE_MODEL to its path");
	fclose(f);
	snprintf(fake_url, sizeof fake_url, "http://127.0.0.1:%d/v1//", port);
	return 0;
}

static int stop_fake(void **state)
{
	(void)state;
	kill(fake_pid, SIGKILL);
	waitpid(fake_pid, NULL, 0);
	return 0;
}

static void on_request(struct server_conn *c, struct slice path, struct slice head,
		       struct slice body)
{
	(void)head, (void)body;
	assert_true(slice_is(path, asked));
	if (!raw)
		return;
	server_say(c, raw);
	c->closes = true;
}

static int setup(void **state)
{
	(void)state;
	loop = loop_new();
	http = http_client_new(loop, 4);
	server_open(&server, loop, on_request);
	snprintf(own_url, sizeof own_url, "http://127.0.0.1:%d/v1//", server.port);
	memset(&g, 0, sizeof g);
	raw = NULL;
	silence_us = 0;
	llm_answer_init(&g.a);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	http_client_free(http);
	server_close(&server);
	loop_turn(loop, 0);
	loop_free(loop);
	llm_answer_fini(&g.a);
	return 0;
}

/* ---- asking */

static void on_text(void *arg)
{
	assert_ptr_equal(arg, &g);
	assert_int_equal(g.done, 0);
	assert_true(g.a.text.n > g.last);
	g.last = g.a.text.n;
	if (++g.grown == g.cancel_at)
		op_cancel(&g.op, ERR_CANCELLED);
}

static void on_done(struct op *op, enum err result, void *arg)
{
	(void)op, (void)arg;
	g.done++;
	g.result = result;
}

static void ask_with(const char *model, const char *url, const char *key,
		     const char *content)
{
	static const struct llm_tool get = {"memory_get", "d", "{\"type\":\"object\"}"};
	const struct llm_tool *tools[] = {&get};
	struct llm_message m = {LLM_USER, slice_str(content), STRBUF_INIT, NULL};
	struct llm_message *list[] = {&m};
	struct llm_question q = {
		.messages = list, .message_count = 1, .tools = tools, .tool_count = 1};
	struct llm_target t = {.base_url = slice_str(url),
			       .api_key = slice_str(key),
			       .silence_us = silence_us};
	t.provider = llm_provider_of(slice_str(model), &q.model);
	g.done = g.grown = 0;
	g.last = 0;
	llm_answer_reset(&g.a);
	op_init(&g.op, loop, on_done, NULL);
	g.call = llm_start(loop, http, &t, &q, &g.a, on_text, &g, &g.op);
	assert_int_equal(g.done, 0);
	strbuf_fini(&m.wire); /* the question is not needed any more */
}

#define TEXT(text) "{\"blocks\":[{\"type\":\"text\",\"text\":\"" text "\"}]}"

static void ask_fake(const char *content)
{
	ask_with("openai/m", fake_url, "sk-test", content);
}

static void ask_own(const char *answer)
{
	raw = answer;
	ask_with("openai/m", own_url, "", TEXT("x"));
}

static void expect(enum err want, const char *says)
{
	loop_until(loop, &g.done);
	if (g.result != want || !strstr(g.a.error, says))
		fail_msg("%s: %s", err_code(g.result), g.a.error);
	loop_for(loop, 5000);
	assert_int_equal(g.done, 1);
}

static bool text_is(const char *want)
{
	return slice_is(strbuf_slice(&g.a.text), want);
}

/* ---- remote */

static void test_echo(void **state)
{
	(void)state;
	ask_fake(TEXT("[chunks 5]hello h\xC3\xA9llo"));
	expect(ERR_OK, "");
	assert_true(text_is("echo: hello h\xC3\xA9llo"));
	assert_int_equal(g.a.stop, LLM_STOP_END);
	assert_true(g.grown >= 1 && g.a.usage.in > 0 && g.a.usage.out > 0);
}

static void test_a_long_answer(void **state)
{
	(void)state;
	ask_fake(TEXT("[size 300000][chunks 3000]"));
	expect(ERR_OK, "");
	assert_int_equal(g.a.text.n, 300000);
	assert_true(g.grown > 1);
}

static void test_tool_calls(void **state)
{
	(void)state;
	ask_fake(TEXT("[tool memory_get {\\\"path\\\":\\\"a b\\\"}][tool other]"));
	expect(ERR_OK, "");
	assert_int_equal(g.a.stop, LLM_STOP_TOOLS);
	assert_int_equal(g.a.call_count, 2);
	assert_string_equal(llm_call_at(&g.a, 0)->name.p, "memory_get");
	assert_string_equal(llm_call_at(&g.a, 0)->arguments.p, "{\"path\":\"a b\"}");
	assert_string_equal(llm_call_at(&g.a, 1)->name.p, "other");
	assert_string_equal(llm_call_at(&g.a, 1)->arguments.p, "{}");
	assert_string_not_equal(llm_call_at(&g.a, 0)->id.p, llm_call_at(&g.a, 1)->id.p);
	assert_int_equal(g.grown, 0);
}

static void test_refusals(void **state)
{
	(void)state;
	ask_fake(TEXT("[status 429][retry-after 7]"));
	expect(ERR_MODEL_RATE, "scripted");
	assert_int_equal(g.a.retry_after_us, 7000000);
	assert_int_equal(g.a.text.n, 0);
	ask_fake(TEXT("[status 500]"));
	expect(ERR_MODEL_OVERLOAD, "scripted");
	assert_int_equal(g.a.retry_after_us, 0);
	ask_fake(TEXT("[status 400]"));
	expect(ERR_MODEL_REQUEST, "scripted");
	ask_with("openai/m", fake_url, "wrong", TEXT("x"));
	expect(ERR_MODEL_AUTH, "");
	ask_with("openai/m", fake_url, "", TEXT("x"));
	expect(ERR_MODEL_AUTH, "");
}

/* Every provider's own words for the same things. */
static void test_every_provider(void **state)
{
	(void)state;
	static const char *const models[] = {"openai/m", "anthropic/m", "gemini/m",
					     "openai-responses/gpt-5"};
	static const struct {
		const char *content;
		enum err err;
		const char *says;
	} cases[] = {
		{TEXT("[chunks 5]hello h\xC3\xA9llo"), ERR_OK, ""},
		{TEXT("[status 429][retry-after 7]"), ERR_MODEL_RATE, "scripted"},
		{TEXT("[status 503]"), ERR_MODEL_OVERLOAD, "scripted"},
		{TEXT("[status 400]"), ERR_MODEL_REQUEST, "scripted"},
		{TEXT("[quota]"), ERR_MODEL_BILLING, "says"},
		{TEXT("[window 1]"), ERR_MODEL_CONTEXT, "says"},
		{TEXT("[chunks 6][cut 3]some words"), ERR_MODEL_BROKEN, "broke off"},
		{TEXT("[chunks 6][error 3]some words"), ERR_MODEL_OVERLOAD, "scripted"},
		{TEXT("[garbage]some words"), ERR_MODEL_BROKEN, "not JSON"},
	};
	for (size_t m = 0; m < ARRAY_LEN(models); m++) {
		for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
			ask_with(models[m], fake_url, "sk-test", cases[i].content);
			loop_until(loop, &g.done);
			if (g.result != cases[i].err || !strstr(g.a.error, cases[i].says))
				fail_msg("%s %s: %s, %s", models[m], cases[i].content,
					 err_code(g.result), g.a.error);
			assert_int_equal(g.a.retry_after_us,
					 g.result == ERR_MODEL_RATE ? 7000000 : 0);
			if (g.result == ERR_OK)
				assert_true(text_is("echo: hello h\xC3\xA9llo") &&
					    g.a.usage.in > 0 && g.a.usage.out > 0);
		}
		ask_with(models[m], fake_url, "wrong", TEXT("x"));
		expect(ERR_MODEL_AUTH, "");
	}
}

static void test_broken_streams(void **state)
{
	(void)state;
	ask_fake(TEXT("[chunks 6][cut 3]some words to be cut"));
	expect(ERR_MODEL_BROKEN, "broke off");
	assert_true(g.a.text.n > 0);
	ask_fake(TEXT("[garbage]some words"));
	expect(ERR_MODEL_BROKEN, "not JSON");
}

/* Every fault of a network, told by what the run is to do about it. */
static void test_faults(void **state)
{
	(void)state;
	ask_fake(TEXT("[chunks 6][reset 3]some words to be lost"));
	expect(ERR_MODEL_BROKEN, "broke off");
	assert_true(g.a.text.n > 0 && !g.a.stop);
	ask_fake(TEXT("[half-head]some words"));
	expect(ERR_MODEL_BROKEN, "broke off");
	ask_fake(TEXT("[chunks 6][error 3]some words"));
	expect(ERR_MODEL_OVERLOAD, "scripted");
	char url[64];
	snprintf(url, sizeof url, "https%s", fake_url + 4);
	ask_with("openai/m", url, "sk-test", TEXT("x"));
	expect(ERR_NETWORK, "cannot be reached");
}

static void test_silence(void **state)
{
	(void)state;
	silence_us = 500000;
	ask_fake(TEXT("[hang]"));
	expect(ERR_MODEL_TIMEOUT, "");
	ask_fake(TEXT("[chunks 6][stall 3]some words"));
	expect(ERR_MODEL_TIMEOUT, "broke off");
	assert_true(g.a.text.n > 0 && !g.a.stop);
	ask_fake(TEXT("[chunks 1][drip 1]slow is not silent"));
	expect(ERR_OK, "");
	assert_true(text_is("echo: slow is not silent"));
}

static void test_cancel(void **state)
{
	(void)state;
	ask_fake(TEXT("[hang]"));
	loop_for(loop, 30000);
	assert_int_equal(g.done, 0);
	op_cancel(&g.op, ERR_CANCELLED);
	expect(ERR_CANCELLED, "");
	ask_fake(TEXT("[chunks 4][pause 100000]some words"));
	loop_until(loop, &g.grown);
	op_cancel(&g.op, ERR_BUDGET);
	expect(ERR_BUDGET, "");
	ask_fake(TEXT("x"));
	op_cancel(&g.op, ERR_CANCELLED);
	expect(ERR_CANCELLED, "");
	assert_int_equal(g.a.text.n, 0);
	g.cancel_at = 1; /* from inside the callback */
	ask_fake(TEXT("[size 200000][chunks 2000]"));
	expect(ERR_CANCELLED, "");
}

static void test_pause(void **state)
{
	(void)state;
	ask_fake(TEXT("[size 4000000][chunks 4000]"));
	loop_until(loop, &g.grown);
	llm_pause(g.call, 1);
	loop_turn(loop, 0);
	size_t had = g.a.text.n;
	loop_for(loop, 50000);
	assert_int_equal(g.a.text.n, had);
	assert_int_equal(g.done, 0);
	llm_pause(g.call, 0);
	expect(ERR_OK, "");
	assert_int_equal(g.a.text.n, 4000000);
}

static void test_nobody_there(void **state)
{
	(void)state;
	char url[64];
	int port, fd = server_bind(&port);
	snprintf(url, sizeof url, "http://127.0.0.1:%d", port);
	ask_with("openai/m", url, "", TEXT("x"));
	expect(ERR_NETWORK, "cannot be reached");
	close(fd);
}

#define OK_HEAD "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
#define SAY_A "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n"
#define FINISH "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"

/* A server that never ends must not fill the memory of all runs, whichever way it tries:
 * eleven pieces of a megabyte are too many. */
static void test_sizes(void **state)
{
	(void)state;
	static const struct {
		const char *model, *asked, *before, *behind;
	} cases[] = {
		{"openai/m", "/v1/chat/completions",
		 "{\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{"
		 "\"arguments\":\"",
		 "\"}}]}}]}"},
		{"openai/m", "/v1/chat/completions",
		 "{\"choices\":[{\"delta\":{\"tool_calls\":[{\"id\":\"", "\"}]}}]}"},
		{"anthropic/m", "/v1/v1/messages",
		 "{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{"
		 "\"type\":\"tool_use\",\"name\":\"f\",\"id\":\"",
		 "\"}}"},
		{"gemini/m", "/v1/v1beta/models/m:streamGenerateContent?alt=sse",
		 "{\"candidates\":[{\"content\":{\"parts\":[{\"functionCall\":{\"name\":"
		 "\"f\",\"args\":{\"x\":\"",
		 "\"}}}]}}]}"},
		{"openai-responses/m", "/v1/responses",
		 "{\"type\":\"response.function_call_arguments.delta\",\"output_index\":"
		 "0,"
		 "\"delta\":\"",
		 "\"}"},
	};
	char *megabyte = malloc((1 << 20) + 1);
	memset(megabyte, 'x', 1 << 20);
	megabyte[1 << 20] = 0;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct strbuf b = STRBUF_INIT;
		strbuf_add_str(&b, OK_HEAD);
		for (int n = 0; n < 11; n++) {
			/* the same id would be the same call, said twice */
			megabyte[0] = (char)('a' + n);
			strbuf_printf(&b, "data: %s%s%s\n\n", cases[i].before, megabyte,
				      cases[i].behind);
		}
		raw = b.p;
		asked = cases[i].asked;
		ask_with(cases[i].model, own_url, "", TEXT("x"));
		expect(ERR_MODEL_REQUEST, "larger than");
		strbuf_fini(&b);
	}
	asked = "/v1/chat/completions";
	free(megabyte);
}

/* With a finish reason the answer is whole, however the connection ended; without one it
 * is not, even behind the end mark. */
static void test_how_streams_end(void **state)
{
	(void)state;
	ask_own(OK_HEAD SAY_A FINISH);
	expect(ERR_OK, "");
	assert_true(text_is("a"));
	ask_own("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" SAY_A FINISH);
	expect(ERR_OK, "");
	ask_own(OK_HEAD SAY_A "data: [DONE]\n\n");
	expect(ERR_MODEL_BROKEN, "broke off");
	ask_own(OK_HEAD);
	expect(ERR_MODEL_BROKEN, "broke off");
	ask_own("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" SAY_A);
	expect(ERR_MODEL_BROKEN, "broke off");
	ask_own(OK_HEAD SAY_A "data: {\"error\":{\"message\":\"engine died\"}}\n\n");
	expect(ERR_MODEL_OVERLOAD, "engine died");
	ask_own(OK_HEAD
		"data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,"
		"\"function\":{\"name\":\"f\"}}]},\"finish_reason\":\"stop\"}]}\n\n");
	expect(ERR_OK, "");
	assert_int_equal(g.a.stop, LLM_STOP_TOOLS);
}

/* A provider that quotes the key it refuses: nobody reads it there. */
static void test_a_quoted_key_is_masked(void **state)
{
	(void)state;
	raw = "HTTP/1.1 401 X\r\nContent-Length: 67\r\n\r\n"
	      "{\"error\":{\"message\":\"bad key sk-secret-secret, sk-secret-secret!\"}}";
	ask_with("openai/m", own_url, "sk-secret-secret", TEXT("x"));
	expect(ERR_MODEL_AUTH, "bad key [redacted], [redacted]!");
	assert_null(strstr(g.a.error, "secret"));
}

/* What a hostile provider says about waiting does no harm. */
static void test_retry_after(void **state)
{
	(void)state;
	static const struct {
		const char *headers;
		int64_t us;
	} cases[] = {
		{"Retry-After: 0\r\n", 0},
		{"Retry-After: 30\r\n", 30000000},
		{"Retry-After-Ms: 1500\r\nRetry-After: 2\r\n", 1500000},
		{"Retry-After: 2\r\nRetry-After-Ms: 1500\r\n", 1500000},
		{"Retry-After: -5\r\n", 0},
		{"Retry-After: Wed, 21 Oct 2026 07:28:00 GMT\r\n", 0},
		{"Retry-After: 99999999999999999999\r\n", 0},
		{"Retry-After-Ms: 9223372036854775807\r\n", 86400000000},
		{"Retry-After: 100000\r\n", 86400000000},
		{"Retry-After-Ms: -1\r\n", 0},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char answer[256];
		snprintf(answer, sizeof answer,
			 "HTTP/1.1 503 X\r\n%sContent-Length: 2\r\n\r\n{}",
			 cases[i].headers);
		ask_own(answer);
		expect(ERR_MODEL_OVERLOAD, "503");
		if (g.a.retry_after_us != cases[i].us)
			fail_msg("%s: %lld", cases[i].headers,
				 (long long)g.a.retry_after_us);
	}
}

/* ---- local */

#define REMEMBERED                                                                       \
	"{\"blocks\":[{\"type\":\"text\",\"text\":\"what can you do for me today\"}]}"

static void test_local_pieces(void **state)
{
	(void)state;
	struct llm_answer whole;
	struct llm_message m = {LLM_USER, SLICE(REMEMBERED), STRBUF_INIT, NULL};
	struct llm_message *list[] = {&m};
	struct llm_question q = {.messages = list, .message_count = 1};
	llm_answer_init(&whole);
	llm_offline.answer(&whole, &q);
	ask_with("offline/rules", "", "", REMEMBERED);
	expect(ERR_OK, "");
	assert_true(g.grown > 3);
	/* the same but for the tool of this question */
	assert_true(
		slice_has_prefix(strbuf_slice(&g.a.text), slice_of(whole.text.p, 60)));
	assert_true(g.a.text.n >= whole.text.n);
	assert_int_equal(g.last, g.a.text.n);
	assert_string_equal(g.a.text.p + g.a.text.n - 20,
			    whole.text.p + whole.text.n - 20);
	llm_answer_fini(&whole);
}

static void test_local_tool_call(void **state)
{
	(void)state;
	ask_with("offline/rules", "", "", TEXT("what do you know?"));
	expect(ERR_OK, "");
	assert_int_equal(g.a.stop, LLM_STOP_TOOLS);
	assert_int_equal(g.grown, 0);
	assert_string_equal(llm_call_at(&g.a, 0)->name.p, "memory_get");
}

static void test_local_cancel(void **state)
{
	(void)state;
	ask_with("offline/rules", "", "", REMEMBERED);
	op_cancel(&g.op, ERR_CANCELLED);
	expect(ERR_CANCELLED, "");
	assert_int_equal(g.grown, 0);
	ask_with("offline/rules", "", "", REMEMBERED);
	loop_until(loop, &g.grown);
	op_cancel(&g.op, ERR_BUDGET);
	expect(ERR_BUDGET, "");
	/* from inside the callback: in the middle, and at the last piece */
	ask_with("offline/rules", "", "", REMEMBERED);
	expect(ERR_OK, "");
	int pieces = g.grown;
	for (g.cancel_at = 1; g.cancel_at <= pieces; g.cancel_at++) {
		ask_with("offline/rules", "", "", REMEMBERED);
		expect(ERR_CANCELLED, "");
		assert_int_equal(g.grown, g.cancel_at);
	}
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_echo),
		CASE(test_a_long_answer),
		CASE(test_tool_calls),
		CASE(test_refusals),
		CASE(test_every_provider),
		CASE(test_broken_streams),
		CASE(test_faults),
		CASE(test_silence),
		CASE(test_cancel),
		CASE(test_pause),
		CASE(test_nobody_there),
		CASE(test_sizes),
		CASE(test_how_streams_end),
		CASE(test_retry_after),
		CASE(test_a_quoted_key_is_masked),
		CASE(test_local_pieces),
		CASE(test_local_tool_call),
		CASE(test_local_cancel),
	};
	return cmocka_run_group_tests(tests, start_fake, stop_fake);
}
