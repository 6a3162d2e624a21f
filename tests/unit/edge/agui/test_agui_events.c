/* SPDX-License-Identifier: Apache-2.0
 * AG-UI's events of a run: examples to the byte, and the rules for any events. */
#include "tests/unit/edge/some_events.h"

#include "edge/agui/agui_events.h"

#define R "\"" SOME_RUN
#define STARTED                                                                          \
	"data: {\"type\":\"RUN_STARTED\",\"threadId\":\"t\",\"runId\":\"r\","            \
	"\"protocolVersion\":\"1.0\",\"metadata\":{\"runId\":" R "\"}}\n\n"

static void begin(struct agui *a, struct strbuf *out)
{
	struct uuid run;
	assert_true(uuid_parse(SLICE(SOME_RUN), &run));
	agui_init(a, out, SLICE("t"), SLICE("r"));
	agui_start(a, run);
}

static void tell(struct agui *a, const struct some_event *e)
{
	struct event_view v;
	read_event(e, &v);
	agui_event(a, &v);
	event_view_fini(&v);
}

static void check_told(const struct some_event *events, size_t n, const char *want)
{
	AUTO(strbuf_fini) struct strbuf out = STRBUF_INIT;
	struct agui a;
	begin(&a, &out);
	for (size_t i = 0; i < n; i++)
		tell(&a, &events[i]);
	agui_cut(&a);
	assert_string_equal(out.p, want);
	agui_fini(&a);
}

static void test_text(void **state)
{
	(void)state;
	static const struct some_event events[] = {
		{1, true, "lifecycle", PHASE("start")},
		{2, false, "assistant", TEXT("Hel")},
		{2, true, "assistant", TEXT("lo")},
		{3, true, "lifecycle",
		 "{\"phase\":\"end\",\"metadata\":{\"result\":\"completed\",\"tokensIn\":"
		 "3,"
		 "\"tokensOut\":4}}"}};
	check_told(events, 4,
		   STARTED
		   "data: {\"type\":\"TEXT_MESSAGE_START\",\"messageId\":" R
		   "-2\",\"role\":\"assistant\"}\n\n"
		   "data: {\"type\":\"TEXT_MESSAGE_CONTENT\",\"messageId\":" R
		   "-2\",\"delta\":\"Hel\"}\n\n"
		   "data: {\"type\":\"TEXT_MESSAGE_CONTENT\",\"messageId\":" R
		   "-2\",\"delta\":\"lo\"}\n\n"
		   "data: {\"type\":\"TEXT_MESSAGE_END\",\"messageId\":" R "-2\"}\n\n"
		   "data: {\"type\":\"RUN_FINISHED\",\"threadId\":\"t\",\"runId\":"
		   "\"r\",\"outcome\":{\"type\":\"success\"},\"usage\":[{"
		   "\"inputTokens\":3,\"outputTokens\":4,\"totalTokens\":7}]}\n\n");
}

static void test_tools(void **state)
{
	(void)state;
	static const struct some_event events[] = {
		{2, true, "tool", TOOL("a", "running", "}") INPUT},
		{3, true, "tool", TOOL("a", "completed", "}") OUTPUT},
		{4, true, "tool", TOOL("c", "pending", ",\"clientSide\":true}") INPUT},
		{5, true, "lifecycle",
		 "{\"phase\":\"end\",\"metadata\":{\"result\":\"completed\",\"stop\":"
		 "\"client_tools\"}}"}};
	check_told(events, 4,
		   STARTED
		   "data: {\"type\":\"TOOL_CALL_START\",\"toolCallId\":\"a\","
		   "\"toolCallName\":\"read\"}\n\n"
		   "data: {\"type\":\"TOOL_CALL_ARGS\",\"toolCallId\":\"a\",\"delta\":"
		   "\"{\\\"path\\\":\\\"a\\\"}\"}\n\n"
		   "data: {\"type\":\"TOOL_CALL_END\",\"toolCallId\":\"a\"}\n\n"
		   "data: {\"type\":\"TOOL_CALL_RESULT\",\"messageId\":" R
		   "-3\",\"toolCallId\":\"a\",\"content\":\"{\\\"text\\\":\\\"b\\\"}\","
		   "\"role\":\"tool\"}\n\n"
		   "data: {\"type\":\"TOOL_CALL_START\",\"toolCallId\":\"c\","
		   "\"toolCallName\":\"read\"}\n\n"
		   "data: {\"type\":\"TOOL_CALL_ARGS\",\"toolCallId\":\"c\",\"delta\":"
		   "\"{\\\"path\\\":\\\"a\\\"}\"}\n\n"
		   "data: {\"type\":\"TOOL_CALL_END\",\"toolCallId\":\"c\"}\n\n"
		   "data: {\"type\":\"RUN_FINISHED\",\"threadId\":\"t\",\"runId\":\"r\","
		   "\"outcome\":{\"type\":\"success\",\"pendingToolCallIds\":[\"c\"]}}"
		   "\n\n");
}

static void test_reset_and_failure(void **state)
{
	(void)state;
	static const struct some_event events[] = {
		{2, false, "assistant", TEXT("x")},
		{2, true, "assistant", "{\"metadata\":{\"reset\":true}}"},
		{3, false, "assistant", TEXT("y")},
		{3, true, "error",
		 "{\"error\":\"it broke\",\"metadata\":{\"code\":\"model\"}}"},
		{4, true, "lifecycle", "{\"phase\":\"error\",\"metadata\":{}}"}};
	check_told(events, 5,
		   STARTED
		   "data: {\"type\":\"TEXT_MESSAGE_START\",\"messageId\":" R
		   "-2\",\"role\":\"assistant\"}\n\n"
		   "data: {\"type\":\"TEXT_MESSAGE_CONTENT\",\"messageId\":" R
		   "-2\",\"delta\":\"x\"}\n\n"
		   "data: {\"type\":\"TEXT_MESSAGE_END\",\"messageId\":" R "-2\"}\n\n"
		   "data: {\"type\":\"CUSTOM\",\"name\":\"message_reset\",\"value\":"
		   "{\"messageId\":" R "-2\"}}\n\n"
		   "data: {\"type\":\"TEXT_MESSAGE_START\",\"messageId\":" R
		   "-3-1\",\"role\":\"assistant\"}\n\n"
		   "data: {\"type\":\"TEXT_MESSAGE_CONTENT\",\"messageId\":" R
		   "-3-1\",\"delta\":\"y\"}\n\n"
		   "data: {\"type\":\"TEXT_MESSAGE_END\",\"messageId\":" R "-3-1\"}\n\n"
		   "data: {\"type\":\"RUN_ERROR\",\"message\":\"it broke\","
		   "\"code\":\"model\"}\n\n");
}

static void test_cut(void **state)
{
	(void)state;
	static const struct some_event events[] = {{2, false, "assistant", TEXT("x")}};
	check_told(events, 1,
		   STARTED
		   "data: {\"type\":\"TEXT_MESSAGE_START\",\"messageId\":" R
		   "-2\",\"role\":\"assistant\"}\n\n"
		   "data: {\"type\":\"TEXT_MESSAGE_CONTENT\",\"messageId\":" R
		   "-2\",\"delta\":\"x\"}\n\n"
		   "data: {\"type\":\"TEXT_MESSAGE_END\",\"messageId\":" R "-2\"}\n\n"
		   "data: {\"type\":\"RUN_ERROR\",\"message\":\"the connection ends "
		   "here; the run goes on\",\"code\":\"interrupted\"}\n\n");
}

/* ---- what the client's own verifier checks */

struct verifier {
	char open[80]; /* the message that is open */
	char call[80]; /* the call that is open */
	size_t count;
	bool ended;
};

static bool is(json_t event, const char *type)
{
	return slice_is(json_str(json_get(event, "type")), type);
}

static const char *text(json_t event, const char *name)
{
	const char *s = json_cstr(json_get(event, name), NULL);
	assert_non_null(s);
	return s;
}

static void verify_text(struct verifier *v, json_t e)
{
	if (is(e, "TEXT_MESSAGE_START")) {
		assert_string_equal(v->open, "");
		snprintf(v->open, sizeof v->open, "%s", text(e, "messageId"));
		return;
	}
	assert_string_equal(v->open, text(e, "messageId"));
	if (is(e, "TEXT_MESSAGE_CONTENT"))
		assert_true(*text(e, "delta"));
	else
		v->open[0] = 0;
}

static void verify_call(struct verifier *v, json_t e)
{
	if (is(e, "TOOL_CALL_START")) {
		assert_string_equal(v->open, "");
		assert_string_equal(v->call, "");
		assert_true(*text(e, "toolCallName"));
		snprintf(v->call, sizeof v->call, "%s", text(e, "toolCallId"));
		return;
	}
	if (is(e, "TOOL_CALL_RESULT")) {
		assert_string_equal(v->call, "");
		text(e, "messageId");
		text(e, "content");
		return;
	}
	assert_string_equal(v->call, text(e, "toolCallId"));
	if (is(e, "TOOL_CALL_END"))
		v->call[0] = 0;
}

static void verify(struct verifier *v, json_t e)
{
	assert_false(v->ended);
	assert_true(is(e, "RUN_STARTED") == (v->count == 0));
	v->count++;
	v->ended = is(e, "RUN_FINISHED") || is(e, "RUN_ERROR");
	if (v->ended) {
		assert_string_equal(v->open, "");
		assert_string_equal(v->call, "");
	}
	if (slice_has_prefix(json_str(json_get(e, "type")), SLICE("TEXT_")))
		verify_text(v, e);
	else if (slice_has_prefix(json_str(json_get(e, "type")), SLICE("TOOL_")))
		verify_call(v, e);
}

static void test_any_events_in_any_order(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2000; i++) {
		AUTO(strbuf_fini) struct strbuf out = STRBUF_INIT;
		unsigned seed = i;
		uint32_t seq = 1;
		struct agui a;
		struct verifier v = {0};
		begin(&a, &out);
		for (int n = rand_r(&seed) % 30; n > 0; n--) {
			struct some_event e = some_event(&seed, &seq);
			tell(&a, &e);
		}
		agui_cut(&a);
		struct slice rest = strbuf_slice(&out), line;
		while ((line = next_data(&rest)).p) {
			AUTO(auto_json_free)
			struct json_doc *doc = json_parse(line, line.n, NULL, 0);
			assert_non_null(doc);
			verify(&v, json_root(doc));
		}
		assert_true(v.ended);
		agui_fini(&a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_tools),
		cmocka_unit_test(test_reset_and_failure),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_any_events_in_any_order),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
