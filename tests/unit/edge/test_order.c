/* SPDX-License-Identifier: Apache-2.0
 * The body of POST runs: what is taken, and that each refusal names member and rule. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "common/attr.h"
#include "common/crypto.h"
#include "common/json.h"
#include "common/strbuf.h"
#include "edge/blocks.h"
#include "edge/client_tools.h"
#include "edge/order.h"

static const struct {
	const char *body, *param, *says;
} refused[] = {
	{"", "", "must be a JSON object"},
	{"   ", "", "no valid JSON"},
	{"{", "", "no valid JSON"},
	{"{\"message\":\"x\"} x", "", "no valid JSON"},
	{"[]", "", "must be a JSON object"},
	{"\"message\"", "", "must be a JSON object"},
	{"null", "", "must be a JSON object"},
	{"{}", "message", "message is missing"},
	{"{\"message\":\"a\",\"message\":\"b\"}", "", "no valid JSON"},
	{"{\"message\":\"\"}", "message", "non-empty string"},
	{"{\"message\":5}", "message", "non-empty string"},
	{"{\"message\":null}", "message", "non-empty string"},
	{"{\"message\":{\"text\":\"a\"}}", "message", "non-empty string"},
	{"{\"message\":[]}", "message", "1 to 64 blocks"},
	{"{\"message\":[\"a\"]}", "message[0]", "type \"text\""},
	{"{\"message\":[{\"type\":\"text\"}]}", "message[0]", "text must be"},
	{"{\"message\":[{\"type\":\"text\",\"text\":\"\"}]}", "message[0]",
	 "text must be"},
	{"{\"message\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"image\"}]}",
	 "message[1]", "either data (base64) or url"},
	{"{\"message\":[{\"type\":\"video\"}]}", "message[0]", "type \"text\" or"},
	{"{\"message\":[{\"type\":\"image\",\"data\":\"AAAA\",\"url\":\"https://x\"}]}",
	 "message[0]", "either data (base64) or url"},
	{"{\"message\":[{\"type\":\"image\",\"data\":\"AAA\",\"mediaType\":"
	 "\"image/png\"}]}",
	 "message[0]", "data must be base64"},
	{"{\"message\":[{\"type\":\"image\",\"data\":\"AAAA\",\"mediaType\":"
	 "\"text/html\"}]}",
	 "message[0]", "mediaType must be image/png"},
	{"{\"message\":[{\"type\":\"image\",\"url\":\"http://x\"}]}", "message[0]",
	 "begin with https://"},
	{"{\"message\":[{\"type\":\"image\",\"url\":\"https://x\",\"text\":\"y\"}]}",
	 "message[0]", "unknown member \"text\""},
	{"{\"message\":\"x\",\"model\":\"gpt\"}", "model", "provider/name"},
	{"{\"message\":\"x\",\"temperature\":3}", "temperature", "from 0 to 2"},
	{"{\"message\":\"x\",\"maxTokens\":0}", "maxTokens", "from 1 to"},
	{"{\"message\":\"x\",\"stop\":[]}", "stop", "list of 1 to 4"},
	{"{\"message\":\"x\",\"stop\":[\"\"]}", "stop", "list of 1 to 4"},
	{"{\"message\":\"x\",\"reasoningEffort\":\"most\"}", "reasoningEffort", "none,"},
	{"{\"message\":\"x\",\"responseSchema\":[]}", "responseSchema", "JSON schema"},
	{"{\"message\":\"x\",\"system\":\"\"}", "system", "a text of 1 to"},
	{"{\"message\":\"x\",\"tools\":[\"hammer\"]}", "tools", "no tool: \"hammer\""},
	{"{\"message\":\"x\",\"metadata\":7}", "metadata", "an object of at most"},
	{"{\"message\":\"x\",\"fallbacks\":[\"a\"]}", "fallbacks", "provider/name"},
	{"{\"message\":\"x\",\"systemPrompt\":\"a\"}", "systemPrompt", "no member"},
	{"{\"message\":[{\"type\":\"text\",\"text\":\"a\",\"evil\":1}]}", "message[0]",
	 "unknown member \"evil\""},
	{"{\"message\":\"x\",\"sessionKey\":\"\"}", "sessionKey", "1 to 512 bytes"},
	{"{\"message\":\"x\",\"sessionKey\":7}", "sessionKey", "must be a string"},
	{"{\"message\":\"x\",\"sessionKey\":\"a\\nb\"}", "sessionKey", "control"},
	{"{\"message\":\"x\",\"user\":\"\"}", "user", "1 to 256 bytes"},
	{"{\"message\":\"x\",\"priority\":101}", "priority", "from -100 to 100"},
	{"{\"message\":\"x\",\"priority\":-101}", "priority", "from -100 to 100"},
	{"{\"message\":\"x\",\"priority\":1.5}", "priority", "must be an integer"},
	{"{\"message\":\"x\",\"priority\":\"1\"}", "priority", "must be an integer"},
	{"{\"message\":\"x\",\"stream\":1}", "stream", "true or false"},
	{"{\"message\":\"x\",\"stream\":\"true\"}", "stream", "true or false"},
	{"{\"message\":\"x\",\"delayMs\":-1}", "delayMs", "from 0 to"},
	{"{\"message\":\"x\",\"delayMs\":9999999999}", "delayMs", "from 0 to"},
	{"{\"message\":\"x\",\"deadlineMs\":0}", "deadlineMs", "in the past"},
	{"{\"message\":\"x\",\"deadlineMs\":-1}", "deadlineMs", "in the past"},
	{"{\"message\":\"x\",\"deadlineMs\":1.5}", "deadlineMs", "from 1 to"},
	{"{\"message\":\"x\",\"deadlineMs\":2592000001}", "deadlineMs", "from 1 to"},
	{"{\"message\":\"x\",\"queueMode\":\"later\"}", "queueMode", "steer, followup"},
	{"{\"message\":\"x\",\"queueMode\":\"announce\"}", "queueMode",
	 "steer, followup"},
	{"{\"message\":\"x\",\"queueMode\":3}", "queueMode", "steer, followup"},
	{"{\"message\":\"x\",\"sessionkey\":\"a\"}", "sessionkey", "no member"},
	{"{\"message\":\"x\",\"tenant\":2}", "tenant", "no member \"tenant\""},
	{"{\"message\":\"x\\u0000\"}", "message", "U+0000 cannot be stored"},
	{"{\"message\":\"\xff\"}", "message", "not UTF-8"},
	{"{\"message\":\"x\",\"sessionKey\":\"a\\u0000b\"}", "sessionKey", "U+0000"},
	{"{\"sessionKey\":\"\xc3\x28\",\"message\":\"x\"}", "sessionKey", "not UTF-8"},
	{"{\"sessionKey\":\"\xed\xa0\x80\",\"message\":\"x\"}", "sessionKey",
	 "not UTF-8"},
	{"{\"message\":\"x\",\"sessionKey\":\"a\nb\"}", "sessionKey", "must be escaped"},
	{"{\"message\":\"x\",\"sessionKey\":\"\\ud800\"}", "sessionKey", "surrogate"},
	{"{\"message\":\"x\",\"sessionKey\":\"\\udc00a\"}", "sessionKey", "surrogate"},
	{"{\"message\":\"x\",\"sessionKey\":\"\\ud800\\ud800\"}", "sessionKey",
	 "surrogate"},
	{"{\"message\":[{\"type\":\"text\",\"text\":\"\\ud800\"}]}", "message",
	 "surrogate"},
	{"{\"message\":\"\\\\ud800\",\"user\":\"\\ud800\"}", "user", "surrogate"},
	{"{\"message\":\"\\ud83d\\ude00\",\"user\":\"\\ud800\"}", "user", "surrogate"},
	{"{\"message\":\"a\\q\"}", "", "no valid JSON"},
	{"{\"message\":\"x\",\"sessionKey\":\"a\\tb\"}", "sessionKey", "control"},
	{"{\"message\":\"x\",\"sessionKey\":\"a\\u007fb\"}", "sessionKey", "control"},
	{"{\"message\":\"x\",\"sessionKey\":\"a\\u0085b\"}", "sessionKey", "control"},
	{"{\"message\":\"x\",\"sessionKey\":\"subagent:1\"}", "sessionKey",
	 "\"subagent:\""},
	{"{\"message\":\"x\",\"sessionKey\":\"cron:1\"}", "sessionKey", "\"cron:\""},
	{"{\"message\":\"x\",\"sessionKey\":\"hook:1\"}", "sessionKey", "\"hook:\""},
	{"{\"message\":\"x\",\"sessionKey\":\"acp:\"}", "sessionKey", "\"acp:\""},
	{"{\"message\":\"x\",\"sessionKey\":\"agent:main:subagent:1\"}", "sessionKey",
	 "subagent:"},
	{"{\"message\":\"x\",\"sessionKey\":\"agent::subagent:\"}", "sessionKey",
	 "subagent:"},
	{"{\"message\":\"x\",\"clientTools\":{}}", "clientTools", "at most 128 tools"},
	{"{\"message\":\"x\",\"clientTools\":[7]}", "clientTools[0]", "an object"},
	{"{\"message\":\"x\",\"clientTools\":[{}]}", "clientTools[0].name", "1 to 64"},
	{"{\"message\":\"x\",\"clientTools\":[{\"name\":\"a.b\"}]}",
	 "clientTools[0].name", "letters, digits"},
	{"{\"message\":\"x\",\"clientTools\":[{\"name\":\"bash\"}]}",
	 "clientTools[0].name", "the runtime's own"},
	{"{\"message\":\"x\",\"clientTools\":[{\"name\":\"a\"},{\"name\":\"a\"}]}",
	 "clientTools[1].name", "as of one before"},
	{"{\"message\":\"x\",\"clientTools\":[{\"name\":\"a\",\"strict\":true}]}",
	 "clientTools[0]", "unknown member \"strict\""},
	{"{\"message\":\"x\",\"clientTools\":[{\"name\":\"a\",\"description\":7}]}",
	 "clientTools[0].description", "a text of at most"},
	{"{\"message\":\"x\",\"clientTools\":[{\"name\":\"a\",\"parameters\":[]}]}",
	 "clientTools[0].parameters", "JSON schema"},
	{"{\"message\":\"x\",\"toolChoice\":\"some\"}", "toolChoice",
	 "\"auto\", \"none\""},
	{"{\"message\":\"x\",\"toolChoice\":{\"name\":\"a\",\"b\":1}}", "toolChoice",
	 "\"auto\""},
	{"{\"message\":\"x\",\"toolChoice\":{\"name\":\"a\"}}", "toolChoice",
	 "names \"a\""},
	{"{\"message\":\"x\",\"toolChoice\":{\"name\":\"a\"},\"clientTools\":[{\"name\":"
	 "\"b\"}]}",
	 "toolChoice", "neither one of the client's tools"},
	{"{\"toolResults\":[]}", "toolResults", "1 to 256 results"},
	{"{\"toolResults\":[{\"toolCallId\":\"\",\"content\":\"x\"}]}",
	 "toolResults[0].toolCallId", "1 to 128 bytes"},
	{"{\"toolResults\":[{\"toolCallId\":\"a\"}]}", "toolResults[0].content",
	 "is missing"},
	{"{\"toolResults\":[{\"toolCallId\":\"a\",\"content\":7}]}",
	 "toolResults[0].content", "non-empty string or a list"},
	{"{\"toolResults\":[{\"toolCallId\":\"a\",\"content\":[{\"type\":\"video\"}]}]}",
	 "toolResults[0].content", "type \"text\" or"},
	{"{\"toolResults\":[{\"toolCallId\":\"a\",\"content\":[{\"type\":\"image\","
	 "\"url\":"
	 "\"https://x\"}]}]}",
	 "toolResults[0].content", "as data"},
	{"{\"toolResults\":[{\"toolCallId\":\"a\",\"content\":\"\",\"isError\":1}]}",
	 "toolResults[0].isError", "true or false"},
	{"{\"toolResults\":[{\"toolCallId\":\"a\",\"content\":\"\",\"name\":1}]}",
	 "toolResults[0]", "unknown member \"name\""},
	{"{\"toolResults\":[{\"toolCallId\":\"a\",\"content\":\"\"},{\"toolCallId\":"
	 "\"a\","
	 "\"content\":\"\"}]}",
	 "toolResults[1].toolCallId", "as of one before"},
	{"{\"message\":\"x\",\"clientTools\":[],\"queueMode\":\"steer\"}", "queueMode",
	 "run of its own"},
	{"{\"message\":\"x\",\"cancelOnDisconnect\":1}", "cancelOnDisconnect",
	 "true or false"},
	{"{\"message\":\"x\",\"cancelOnDisconnect\":true}", "cancelOnDisconnect",
	 "needs \"stream\": true"},
	{"{\"cancelOnDisconnect\":true,\"message\":\"x\",\"stream\":false}",
	 "cancelOnDisconnect", "needs \"stream\": true"},
};

static void test_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		struct arena *a = arena_new(1 << 20);
		struct order o;
		struct order_fault f = {"", ""};
		if (order_parse(slice_str(refused[i].body), a, &o, &f))
			fail_msg("taken: %s", refused[i].body);
		if (strcmp(f.param, refused[i].param) != 0 ||
		    !strstr(f.message, refused[i].says))
			fail_msg("%s: [%s] %s", refused[i].body, f.param, f.message);
		arena_free(a);
	}
}

static void test_taken(void **state)
{
	(void)state;
	struct arena *a = arena_new(1 << 20);
	struct order o;
	struct order_fault f;
	assert_true(order_parse(SLICE("{\"message\":\"say \\\"hi\\\"\"}"), a, &o, &f));
	assert_string_equal(o.content.p, "{\"blocks\":[{\"type\":\"text\",\"text\":"
					 "\"say \\\"hi\\\"\"}]}");
	assert_null(o.session_key.p);
	assert_null(o.user.p);
	assert_int_equal(o.mode, 0);
	assert_false(o.stream);
	assert_true(order_parse(
		SLICE("{\"sessionKey\":\"web:42\",\"message\":[{\"type\":\"text\","
		      "\"text\":"
		      "\"a\"},{\"text\":\"b\",\"type\":\"text\"}],\"priority\":-100,"
		      "\"stream\":true,\"delayMs\":10,\"deadlineMs\":20,"
		      "\"queueMode\":\"collect\",\"user\":\"u1\"}"),
		a, &o, &f));
	assert_string_equal(o.content.p,
			    "{\"blocks\":[{\"type\":\"text\",\"text\":\"a\"},"
			    "{\"type\":\"text\",\"text\":\"b\"}]}");
	assert_string_equal(o.session_key.p, "web:42");
	assert_string_equal(o.user.p, "u1");
	assert_int_equal(o.priority, -100);
	assert_int_equal(o.delay_ms, 10);
	assert_int_equal(o.deadline_ms, 20);
	assert_int_equal(o.mode, MODE_COLLECT);
	assert_true(o.stream);
	arena_free(a);
}

/* Its mode stays with the message, if it is not what every message's is. */
static void test_builder_mode(void **state)
{
	(void)state;
	struct arena *a = arena_new(1 << 20);
	struct order o;
	struct order_fault f;
	assert_true(order_parse(SLICE("{\"mode\":\"builder\",\"message\":\"x\"}"), a, &o,
				&f));
	assert_true(o.builder);
	assert_int_equal(o.mode, MODE_FOLLOWUP);
	assert_string_equal(o.content.p,
			    "{\"blocks\":[{\"type\":\"text\",\"text\":\"x\"}],\"mode\":"
			    "\"builder\"}");
	assert_true(order_parse(SLICE("{\"mode\":\"runtime\",\"message\":\"x\"}"), a, &o,
				&f));
	assert_false(o.builder);
	assert_string_equal(o.content.p,
			    "{\"blocks\":[{\"type\":\"text\",\"text\":\"x\"}]}");
	assert_false(order_parse(SLICE("{\"mode\":\"builder\",\"message\":\"x\","
				       "\"queueMode\":\"collect\"}"),
				 a, &o, &f));
	assert_string_equal(f.param, "queueMode");
	arena_free(a);
}

/* What it says of its client's tools stays with the message, whatever order it is said
 * in; results may be all it brings. Such a message is not merged into another's run. */
static void test_client_tools(void **state)
{
	(void)state;
	struct arena *a = arena_new(1 << 20);
	struct order o;
	struct order_fault f;
	assert_true(order_parse(
		SLICE("{\"toolChoice\":{\"name\":\"look\"},\"message\":\"x\","
		      "\"clientTools\":[{\"parameters\":{\"type\":\"object\"},\"name\":"
		      "\"look\",\"description\":\"d\"}]}"),
		a, &o, &f));
	assert_string_equal(o.content.p,
			    "{\"blocks\":[{\"type\":\"text\",\"text\":\"x\"}],"
			    "\"clientTools\":[{\"parameters\":{\"type\":\"object\"},"
			    "\"name\":\"look\",\"description\":\"d\"}],\"toolChoice\":{"
			    "\"name\":\"look\"}}");
	assert_int_equal(o.mode, MODE_FOLLOWUP);
	assert_true(order_parse(
		SLICE("{\"toolResults\":[{\"toolCallId\":\"a\",\"content\":\"\"}],"
		      "\"temperature\":1,\"queueMode\":\"interrupt\"}"),
		a, &o, &f));
	assert_string_equal(o.content.p,
			    "{\"blocks\":[],\"overrides\":{\"temperature\":1},"
			    "\"toolResults\":[{\"toolCallId\":\"a\",\"content\":\"\"}]}");
	assert_int_equal(o.mode, MODE_INTERRUPT);
	assert_true(order_parse(
		SLICE("{\"message\":\"x\",\"toolChoice\":{\"name\":\"bash\"}}"), a, &o,
		&f));
	arena_free(a);
}

static void test_the_longest_description(void **state)
{
	(void)state;
	struct arena *a = arena_new(1 << 20);
	struct order o;
	struct order_fault f;
	char most[CLIENT_TOOL_DESCRIPTION_MOST + 2], body[2 * sizeof most];
	memset(most, 'd', sizeof most);
	for (size_t more = 0; more <= 1; more++) {
		most[CLIENT_TOOL_DESCRIPTION_MOST + more] = 0;
		snprintf(body, sizeof body,
			 "{\"message\":\"x\",\"clientTools\":[{\"name\":\"a\","
			 "\"description\":\"%s\"}]}",
			 most);
		assert_int_equal(order_parse(slice_str(body), a, &o, &f), !more);
		most[CLIENT_TOOL_DESCRIPTION_MOST] = 'd';
	}
	assert_string_equal(f.param, "clientTools[0].description");
	arena_free(a);
}

/* How its model is asked stays with the message, as it was said. */
static void test_overrides(void **state)
{
	(void)state;
	struct arena *a = arena_new(1 << 20);
	struct order o;
	struct order_fault f;
	assert_true(order_parse(
		SLICE("{\"model\":\"openai/x\",\"message\":[{\"type\":\"image\",\"data\":"
		      "\"AAA=\",\"mediaType\":\"image/png\"},{\"type\":\"image\",\"url\":"
		      "\"https://x/y\"}],\"temperature\":0.5,\"tools\":[\"read\",\"group:"
		      "memory\"],\"stop\":[\"END\"],\"metadata\":{\"k\":[1]},"
		      "\"maxTokens\":null}"),
		a, &o, &f));
	assert_string_equal(
		o.content.p,
		"{\"blocks\":[{\"type\":\"image\",\"mediaType\":\"image/png\",\"data\":"
		"\"AAA=\"},{\"type\":\"image\",\"url\":\"https://x/y\"}],\"overrides\":{"
		"\"model\":\"openai/x\",\"temperature\":0.5,\"tools\":[\"read\",\"group:"
		"memory\"],\"stop\":[\"END\"],\"metadata\":{\"k\":[1]},\"maxTokens\":"
		"null}}");
	arena_free(a);
}

/* Session keys of any characters, and near the reserved ones. */
static void test_session_keys(void **state)
{
	(void)state;
	static const char *const keys[] = {"agent:main:main",
					   "agent:x:telegram:group:-1",
					   "agent:subagent:main",
					   "agent:a:b:subagent:c",
					   "agent:",
					   "agent",
					   "subagent",
					   "Cron:1",
					   "xcron:1",
					   "crontab",
					   " ",
					   "\"\\",
					   "\xc3\xa4\xf0\x9f\x98\x80",
					   "\xc2\xa0",
					   "../../etc",
					   "'; DROP TABLE x; --",
					   "\xef\xbf\xbe"};
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
		struct json_out out = json_out(&b);
		struct arena *a = arena_new(1 << 20);
		struct order o;
		struct order_fault f;
		json_obj(&out);
		json_kv_cstr(&out, "sessionKey", keys[i]);
		json_kv_cstr(&out, "message", "x");
		json_obj_end(&out);
		if (!order_parse(strbuf_slice(&b), a, &o, &f))
			fail_msg("%s: [%s] %s", keys[i], f.param, f.message);
		assert_string_equal(o.session_key.p, keys[i]);
		arena_free(a);
	}
}

static void test_cancel_on_disconnect(void **state)
{
	(void)state;
	struct arena *a = arena_new(1 << 20);
	struct order o;
	struct order_fault f;
	assert_true(order_parse(SLICE("{\"cancelOnDisconnect\":true,\"message\":\"x\","
				      "\"stream\":true}"),
				a, &o, &f));
	assert_true(o.cancel_on_disconnect);
	assert_true(order_parse(SLICE("{\"cancelOnDisconnect\":false,\"message\":\"x\"}"),
				a, &o, &f));
	assert_false(o.cancel_on_disconnect);
	arena_free(a);
}

static void test_bounds(void **state)
{
	(void)state;
	struct arena *a = arena_new(8 << 20);
	struct order o;
	struct order_fault f;
	for (int over = 0; over < 2; over++) {
		AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
		strbuf_add_str(&b, "{\"message\":\"x\",\"sessionKey\":\"");
		for (unsigned i = 0; i < LIMIT_SESSION_KEY + (unsigned)over; i++)
			strbuf_add_char(&b, 'k');
		strbuf_add_str(&b, "\"}");
		assert_int_equal(order_parse(strbuf_slice(&b), a, &o, &f), !over);
	}
	for (int over = 0; over < 2; over++) {
		AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
		strbuf_add_str(&b, "{\"message\":[");
		for (unsigned i = 0; i < BLOCKS_MOST + (unsigned)over; i++)
			strbuf_printf(&b, "%s{\"type\":\"text\",\"text\":\"x\"}",
				      i ? "," : "");
		strbuf_add_str(&b, "]}");
		assert_int_equal(order_parse(strbuf_slice(&b), a, &o, &f), !over);
	}
	AUTO(strbuf_fini) struct strbuf deep = STRBUF_INIT;
	strbuf_add_str(&deep, "{\"message\":");
	for (int i = 0; i < 100000; i++)
		strbuf_add_char(&deep, '[');
	assert_false(order_parse(strbuf_slice(&deep), a, &o, &f));
	arena_free(a);
}

static void test_keys(void **state)
{
	(void)state;
	char longest[300];
	struct order_fault f;
	memset(longest, 'k', sizeof longest);
	assert_true(order_check_key(SLICE("a"), &f));
	assert_true(order_check_key(slice_of(longest, 255), &f));
	assert_false(order_check_key(slice_of(longest, 256), &f));
	assert_string_equal(f.param, "Idempotency-Key");
	assert_false(order_check_key(SLICE(""), &f));
	assert_false(order_check_key(SLICE("a b"), &f));
	assert_false(order_check_key(SLICE("a\xc3\xa4"), &f));
}

static void hash(const char *body, uint8_t out[32])
{
	struct arena *a = arena_new(1 << 20);
	struct order o;
	struct order_fault f;
	struct uuid agent = {{1}};
	assert_true(order_parse(slice_str(body), a, &o, &f));
	order_hash(&o, agent, o.session_key.p ? o.session_key : SLICE("main"), out);
	arena_free(a);
}

static void test_hash(void **state)
{
	(void)state;
	static const struct {
		const char *a, *b;
		bool same;
	} cases[] = {
		{"{\"message\":\"x\"}", "{ \"message\" : \"x\" }", true},
		{"{\"message\":\"x\"}", "{\"message\":\"\\u0078\",\"stream\":true}",
		 true},
		{"{\"message\":\"x\"}", "{\"message\":\"x\",\"sessionKey\":\"main\"}",
		 true},
		{"{\"message\":\"x\"}",
		 "{\"message\":\"x\",\"stream\":true,\"cancelOnDisconnect\":true}", true},
		{"{\"message\":\"x\"}",
		 "{\"message\":[{\"type\":\"text\",\"text\":\"x\"}]}", true},
		{"{\"message\":\"x\",\"priority\":1,\"user\":\"u\"}",
		 "{\"user\":\"u\",\"priority\":1,\"message\":\"x\"}", true},
		{"{\"message\":\"x\"}", "{\"message\":\"y\"}", false},
		{"{\"message\":\"x\"}", "{\"message\":\"x\",\"priority\":1}", false},
		{"{\"message\":\"x\"}", "{\"message\":\"x\",\"user\":\"u\"}", false},
		{"{\"message\":\"x\"}", "{\"message\":\"x\",\"delayMs\":1}", false},
		{"{\"message\":\"x\",\"delayMs\":1}",
		 "{\"message\":\"x\",\"deadlineMs\":1}", false},
		{"{\"message\":\"x\"}", "{\"message\":\"x\",\"sessionKey\":\"s\"}",
		 false},
		{"{\"message\":\"x\"}", "{\"message\":\"x\",\"queueMode\":\"collect\"}",
		 false},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint8_t a[32], b[32];
		hash(cases[i].a, a);
		hash(cases[i].b, b);
		if ((memcmp(a, b, 32) == 0) != cases[i].same)
			fail_msg("%s and %s", cases[i].a, cases[i].b);
	}
}

int main(void)
{
	crypto_init();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_taken),
		cmocka_unit_test(test_overrides),
		cmocka_unit_test(test_builder_mode),
		cmocka_unit_test(test_client_tools),
		cmocka_unit_test(test_the_longest_description),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_hash),
		cmocka_unit_test(test_session_keys),
		cmocka_unit_test(test_cancel_on_disconnect),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
