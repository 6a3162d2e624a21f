/* SPDX-License-Identifier: Apache-2.0
 * Events as people see them, and what an event says about the run's end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "cli/follow.h"
#include "cli/render.h"
#include "cli/status.h"
#include "cli/tenant.h"
#include "common/attr.h"
#include "common/crypto.h"

static char *out_text, *note_text;
static size_t out_size, note_size;
static struct render r;

static void begin(enum render_form form)
{
	r = (struct render){.out = open_memstream(&out_text, &out_size),
			    .notes = open_memstream(&note_text, &note_size),
			    .form = form};
}

static void event(const char *id, const char *data)
{
	char err[100];
	struct json_doc *d = json_parse(slice_str(data), 100000, err, sizeof err);
	render_event(
		&r, &(struct render_event){slice_str(id), slice_str(data), json_root(d)});
	json_free(d);
}

static void expect(const char *out, const char *notes)
{
	fclose(r.out);
	fclose(r.notes);
	assert_string_equal(out_text, out);
	assert_string_equal(note_text, notes);
	free(out_text);
	free(note_text);
}

static void test_answer(void **state)
{
	(void)state;
	begin(RENDER_TEXT);
	event("1", "{\"type\":\"lifecycle\",\"phase\":\"start\",\"runId\":\"abc\"}");
	event("2.3", "{\"type\":\"assistant\",\"content\":\"Hel\"}");
	event("2.5", "{\"type\":\"assistant\",\"content\":\"lo\\u001b[2J\"}");
	event("2", "{\"type\":\"assistant\",\"content\":\"\"}");
	event("3", "{\"type\":\"assistant\",\"content\":\"Bye\\n\"}");
	event("4", "{\"type\":\"lifecycle\",\"phase\":\"end\"}");
	event("5", "no json");
	event("6", "{\"type\":\"news\",\"content\":\"?\"}");
	expect("Hello[2J\nBye\n", "[run abc started]\n");
}

static void test_tools(void **state)
{
	(void)state;
	begin(RENDER_TEXT);
	event("2.3", "{\"type\":\"assistant\",\"content\":\"Let me see\"}");
	event("3", "{\"type\":\"tool\",\"toolName\":\"memory_store\",\"toolState\":"
		   "\"running\",\"toolInput\":{\"path\":\"a\"}}");
	event("4", "{\"type\":\"tool\",\"toolName\":\"memory_store\",\"toolState\":"
		   "\"completed\",\"toolInput\":{\"path\":\"a\"},\"toolOutput\":1}");
	r.dim = 1;
	event("5", "{\"type\":\"tool\",\"toolName\":\"x\",\"toolState\":\"error\","
		   "\"error\":\"no\\nsuch\"}");
	expect("Let me see\n[tool memory_store running {\"path\":\"a\"}]\n"
	       "[tool memory_store completed]\n\033[2m[tool x error: nosuch]\033[0m\n",
	       "");
}

static void test_a_call_that_is_to_be_allowed(void **state)
{
	(void)state;
#define CALL(rest) "{\"type\":\"tool\",\"toolName\":\"write\"," rest "}"
	begin(RENDER_TEXT);
	r.quiet = 1;
	event("1", "{\"type\":\"lifecycle\",\"phase\":\"start\",\"runId\":\"abc\"}");
	event("2", CALL("\"toolState\":\"pending\",\"toolInput\":{\"a\":1},"
			"\"metadata\":{\"approval\":{\"state\":\"pending\"}}"));
	event("3", CALL("\"toolState\":\"pending\",\"metadata\":{\"approval\":{"
			"\"state\":\"denied\",\"message\":\"not\\u009b now\"}}"));
	event("4", CALL("\"toolState\":\"pending\",\"metadata\":{\"approval\":{"
			"\"state\":\"session\"}}"));
	event("5", CALL("\"toolState\":\"completed\",\"toolOutput\":1,"
			"\"metadata\":{\"durationMs\":12}"));
	expect("[tool write waits to be allowed {\"a\":1}]\n"
	       "[tool write was refused: not now]\n[tool write was allowed]\n"
	       "[tool write completed in 12 ms]\n",
	       "");
}

/* Cut at 200 bytes, never inside a character. */
static void test_long_input(void **state)
{
	(void)state;
	char data[2000] = "{\"type\":\"tool\",\"toolName\":\"x\",\"toolState\":"
			  "\"running\",\"toolInput\":{\"a\":\"";
	for (int i = 0; i < 300; i++)
		strcat(data, "\xc3\xa4");
	strcat(data, "\"}}");
	begin(RENDER_TEXT);
	event("1", data);
	fclose(r.out);
	fclose(r.notes);
	assert_true(out_size < 230);
	assert_non_null(strstr(out_text, "\xc3\xa4...]\n"));
	assert_true(slice_is_utf8(slice_of(out_text, out_size)));
	free(out_text);
	free(note_text);
}

static void test_reset_and_error(void **state)
{
	(void)state;
	begin(RENDER_TEXT);
	event("2.3", "{\"type\":\"assistant\",\"content\":\"Hel\"}");
	render_note(&r, "lost");
	event("2.5", "{\"type\":\"assistant\",\"content\":\"lo\"}");
	event("2.0", "{\"type\":\"assistant\",\"metadata\":{\"reset\":true}}");
	event("2.2", "{\"type\":\"assistant\",\"content\":\"Hi\"}");
	event("3", "{\"type\":\"error\",\"error\":\"no \\u001bmodel\"}");
	expect("Hello\nHi\n", "[lost]\n[the answer broke off; what was shown of it is "
			      "void, it starts again]\n[error: no model]\n");
}

static void test_json(void **state)
{
	(void)state;
	begin(RENDER_JSON);
	event("2.3", "{ \"type\":\"assistant\", \"content\":\"Hel\"}");
	event("3", "{\"type\":\"lifecycle\",\"phase\":\"end\"}");
	expect("{ \"type\":\"assistant\", \"content\":\"Hel\"}\n"
	       "{\"type\":\"lifecycle\",\"phase\":\"end\"}\n",
	       "");
}

static void test_ends(void **state)
{
	(void)state;
#define META(word) ",\"metadata\":{\"result\":\"" word "\"}}"
	static const struct {
		const char *data;
		enum follow_end end;
	} cases[] = {{"{\"type\":\"lifecycle\",\"phase\":\"start\"}", FOLLOW_ON},
		     {"{\"type\":\"assistant\",\"phase\":\"end\"}", FOLLOW_ON},
		     {"{\"type\":\"error\",\"error\":\"x\"}", FOLLOW_ON},
		     {"{\"type\":\"lifecycle\",\"phase\":\"end\"}", FOLLOW_COMPLETED},
		     {"{\"type\":\"lifecycle\",\"phase\":\"end\"" META("completed"),
		      FOLLOW_COMPLETED},
		     {"{\"type\":\"lifecycle\",\"phase\":\"end\"" META("cancelled"),
		      FOLLOW_FAILED},
		     {"{\"type\":\"lifecycle\",\"phase\":\"error\"}", FOLLOW_FAILED},
		     {"{\"type\":\"lifecycle\",\"phase\":\"error\"" META("superseded"),
		      FOLLOW_MERGED}};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct json_doc *d = json_parse(slice_str(cases[i].data), 1000, NULL, 0);
		if (follow_end_of(json_root(d)) != cases[i].end)
			fail_msg("%s", cases[i].data);
		json_free(d);
	}
	assert_int_equal(follow_end_of(NULL), FOLLOW_ON);
}

static void test_requests(void **state)
{
	(void)state;
	char url[100];
	char sock[NODE_SOCKET];
	struct strbuf b = STRBUF_INIT;
	struct message m = {.agent = "main", .text = SLICE("say \"hi\"\n")};
	follow_compose(&b, &m);
	assert_string_equal(b.p, "{\"message\":\"say \\\"hi\\\"\\n\",\"stream\":true}");
	strbuf_reset(&b);
	m.session = "web:42";
	follow_compose(&b, &m);
	assert_non_null(strstr(b.p, "\"sessionKey\":\"web:42\","));
	strbuf_reset(&b);
	follow_encode(&b, "my agent/\xc3\xa4.x");
	assert_string_equal(b.p, "my%20agent%2F%C3%A4.x");
	strbuf_fini(&b);
	assert_true(node_url("127.0.0.1:7717", url, sizeof url, sock));
	assert_string_equal(url, "http://127.0.0.1:7717");
	assert_string_equal(sock, "");
	assert_true(node_url("mtls://:1,tls://a:2 0.0.0.0:80", url, sizeof url, sock));
	assert_string_equal(url, "http://127.0.0.1:80");
	assert_true(node_url("[::]:80", url, sizeof url, sock));
	assert_string_equal(url, "http://[::1]:80");
	assert_true(node_url("tls://a:2", url, sizeof url, sock));
	assert_string_equal(url, "https://a:2");
	assert_true(node_url("tls://a:2,unix:/run/x", url, sizeof url, sock));
	assert_string_equal(sock, "/run/x");
	assert_false(node_url("mtls://a:2", url, sizeof url, sock));
}

static void test_tokens(void **state)
{
	(void)state;
	struct tenant_token t;
	assert_int_equal(
		tenant_token_parse(
			SLICE("tb1.7.0192f3a0-0000-7000-8000-000000000001.abc"), &t),
		0);
	assert_int_equal(t.tenant, 7);
	assert_true(slice_is(t.secret, "abc"));
	assert_int_equal(tenant_token_parse(SLICE(""), &t), -1);
	assert_int_equal(tenant_token_parse(SLICE("tb1.7.x.abc"), &t), -1);
	assert_int_equal(
		tenant_token_parse(
			SLICE("tb1.0.0192f3a0-0000-7000-8000-000000000001.abc"), &t),
		-1);
	assert_int_equal(tenant_token_parse(
				 SLICE("tb1.7.0192f3a0-0000-7000-8000-000000000001"), &t),
			 -1);
}

static void test_status(void **state)
{
	(void)state;
	struct strbuf b = STRBUF_INIT;
	struct json_doc *d = json_parse(
		SLICE("{\"node\":\"n\",\"state\":\"serving\",\"uptimeMs\":3725000,"
		      "\"database\":true,\"running\":2,\"children\":[{\"kind\":"
		      "\"worker\","
		      "\"ordinal\":1,\"state\":\"ready\",\"pid\":42,\"runs\":3}]}"),
		10000, NULL, 0);
	status_print(&b, json_root(d));
	assert_non_null(strstr(b.p, "serving, up 1 h 2 min 5 s"));
	assert_non_null(strstr(b.p, "database  up"));
	assert_non_null(strstr(b.p, "worker   1  ready"));
	json_free(d);
	strbuf_fini(&b);
}

static void test_what_a_program_prints(void **state)
{
	(void)state;
	begin(RENDER_TEXT);
	event("2", "{\"type\":\"tool\",\"toolName\":\"bash\",\"toolState\":\"running\"}");
	event("3.2", "{\"type\":\"tool\",\"toolName\":\"bash\",\"toolState\":\"running\","
		     "\"content\":\"a\\n\"}");
	event("3.4", "{\"type\":\"tool\",\"toolName\":\"bash\",\"toolState\":\"running\","
		     "\"content\":\"b\\u001b\"}");
	event("3",
	      "{\"type\":\"tool\",\"toolName\":\"bash\",\"toolState\":\"completed\"}");
	expect("[tool bash running]\na\nb\n[tool bash completed]\n", "");
}

int main(void)
{
	crypto_init();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answer),
		cmocka_unit_test(test_what_a_program_prints),
		cmocka_unit_test(test_tools),
		cmocka_unit_test(test_a_call_that_is_to_be_allowed),
		cmocka_unit_test(test_long_input),
		cmocka_unit_test(test_reset_and_error),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_status)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
