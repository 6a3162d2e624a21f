/* SPDX-License-Identifier: Apache-2.0
 * UI message chunks of a run: examples to the byte, and the rules for any events. */
#include "tests/unit/edge/some_events.h"

#include "edge/uistream/ui_chunks.h"

#define STARTED                                                                          \
	"data: "                                                                         \
	"{\"type\":\"start\",\"messageId\":\"m\",\"messageMetadata\":{\"runId\":"        \
	"\"" SOME_RUN "\"}}\n\n"
#define CHUNK(members) "data: {\"type\":" members "}\n\n"
#define DONE "data: [DONE]\n\n"

static void begin(struct ui *u, struct strbuf *out)
{
	struct uuid run;
	assert_true(uuid_parse(SLICE(SOME_RUN), &run));
	ui_init(u, out);
	ui_start(u, run, SLICE("m"));
}

static void tell(struct ui *u, const struct some_event *e)
{
	struct event_view v;
	read_event(e, &v);
	ui_event(u, &v);
	event_view_fini(&v);
}

static void check_told(const struct some_event *events, size_t n, const char *want)
{
	AUTO(strbuf_fini) struct strbuf out = STRBUF_INIT;
	struct ui u;
	begin(&u, &out);
	for (size_t i = 0; i < n; i++)
		tell(&u, &events[i]);
	ui_cut(&u);
	assert_string_equal(out.p, want);
	ui_fini(&u);
}

static void test_text(void **state)
{
	(void)state;
	static const struct some_event events[] = {
		{1, true, "lifecycle", PHASE("start")},
		{2, false, "assistant", TEXT("Hel")},
		{2, true, "assistant",
		 "{\"content\":\"lo\",\"metadata\":{\"stop\":\"length\"}}"},
		{3, true, "lifecycle",
		 "{\"phase\":\"end\",\"metadata\":{\"result\":\"completed\"}}"}};
	check_told(
		events, 4,
		STARTED CHUNK("\"start-step\"") CHUNK("\"text-start\",\"id\":\"text-1\"")
			CHUNK("\"text-delta\",\"id\":\"text-1\",\"delta\":\"Hel\"")
				CHUNK("\"text-delta\",\"id\":\"text-1\",\"delta\":"
				      "\"lo\"") CHUNK("\"text-end\",\"id\":\"text-1\"")
					CHUNK("\"finish-step\"")
						CHUNK("\"finish\",\"finishReason\":"
						      "\"length\"") DONE);
}

static void test_tools(void **state)
{
	(void)state;
	static const struct some_event events[] = {
		{2, true, "tool", TOOL("a", "running", "}") INPUT},
		{3, true, "tool",
		 TOOL("a", "error", "}") ",\"toolOutput\":{\"error\":\"no\"}}"},
		{4, true, "tool", TOOL("c", "pending", ",\"clientSide\":true}") INPUT},
		{5, true, "lifecycle",
		 "{\"phase\":\"end\",\"metadata\":{\"result\":\"completed\"}}"}};
	check_told(
		events, 4,
		STARTED CHUNK("\"start-step\"") CHUNK(
			"\"tool-input-start\",\"toolCallId\":\"a\",\"toolName\":\"read\","
			"\"providerExecuted\":true,\"dynamic\":true")
			CHUNK("\"tool-input-available\",\"toolCallId\":\"a\","
			      "\"toolName\":"
			      "\"read\",\"input\":{\"path\":\"a\"},\"providerExecuted\":"
			      "true,\"dynamic\":true")
				CHUNK("\"tool-output-error\",\"toolCallId\":\"a\","
				      "\"errorText\":\"no\",\"providerExecuted\":true,"
				      "\"dynamic\":true") CHUNK("\"tool-input-start\","
								"\"toolCallId\":\"c\","
								"\"toolName\":\"read\"")
					CHUNK("\"tool-input-available\","
					      "\"toolCallId\":\"c\",\"toolName\":"
					      "\"read\",\"input\":{\"path\":\"a\"}")
						CHUNK("\"finish-step\"")
							CHUNK("\"finish\","
							      "\"finishReason\":"
							      "\"tool-calls\"") DONE);
}

static void test_approval(void **state)
{
	(void)state;
	static const struct some_event
		asked[] = {{2, true, "tool",
			    TOOL("d", "pending",
				 ",\"approval\":{\"id\":\"" SOME_RUN
				 "\",\"state\":\"pending\"}}") INPUT}},
		answered[] = {{3, true, "tool",
			       TOOL("d", "pending",
				    ",\"approval\":{\"id\":\"" SOME_RUN
				    "\",\"state\":\"denied\"}}") "}"},
			      {4, true, "tool", TOOL("d", "error", "}") OUTPUT},
			      {5, true, "assistant", TEXT("well")}};
	AUTO(strbuf_fini) struct strbuf out = STRBUF_INIT;
	struct ui u;
	begin(&u, &out);
	tell(&u, &asked[0]);
	assert_non_null(strstr(out.p, CHUNK("\"tool-approval-request\",\"toolCallId\":"
					    "\"d\",\"approvalId\":\"" SOME_RUN "\"")));
	/* The client has that: what follows is what follows the answer. */
	ui_forget(&u);
	for (size_t i = 0; i < ARRAY_LEN(answered); i++)
		tell(&u, &answered[i]);
	ui_pause(&u);
	assert_string_equal(
		out.p,
		CHUNK("\"tool-output-denied\",\"toolCallId\":\"d\"") CHUNK(
			"\"start-step\"") CHUNK("\"text-start\",\"id\":\"text-1\"")
			CHUNK("\"text-delta\",\"id\":\"text-1\",\"delta\":\"well\"")
				CHUNK("\"text-end\",\"id\":\"text-1\"")
					CHUNK("\"finish-step\"")
						CHUNK("\"finish\",\"finishReason\":"
						      "\"tool-calls\"") DONE);
	ui_fini(&u);
}

/* ---- what the client's reader checks */

struct verifier {
	char open[80];
	bool in_step, finished;
	bool known[8]; /* calls, by their letter */
	size_t count;
};

static bool is(json_t chunk, const char *type)
{
	return slice_is(json_str(json_get(chunk, "type")), type);
}

static void verify_text(struct verifier *v, json_t c)
{
	const char *id = json_cstr(json_get(c, "id"), NULL);
	assert_non_null(id);
	assert_true(v->in_step);
	if (is(c, "text-start")) {
		assert_string_equal(v->open, "");
		snprintf(v->open, sizeof v->open, "%s", id);
		return;
	}
	assert_string_equal(v->open, id);
	if (is(c, "text-end"))
		v->open[0] = 0;
}

static void verify_call(struct verifier *v, json_t c)
{
	const char *id = json_cstr(json_get(c, "toolCallId"), NULL);
	assert_non_null(id);
	bool *known = &v->known[(id[0] - 'a') * 2 + (id[1] != 0)];
	assert_true(is(c, "tool-input-start") != *known);
	*known = true;
}

static void verify(struct verifier *v, json_t c)
{
	struct slice type = json_str(json_get(c, "type"));
	assert_false(v->finished);
	assert_true(is(c, "start") == (v->count++ == 0));
	if (is(c, "start-step") || is(c, "finish-step")) {
		assert_true(v->in_step == is(c, "finish-step"));
		assert_string_equal(v->open, "");
		v->in_step = is(c, "start-step");
	} else if (slice_has_prefix(type, SLICE("text-"))) {
		verify_text(v, c);
	} else if (slice_has_prefix(type, SLICE("tool-"))) {
		verify_call(v, c);
	} else if (is(c, "finish")) {
		v->finished = true;
		assert_false(v->in_step);
	}
}

static void test_any_events_in_any_order(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2000; i++) {
		AUTO(strbuf_fini) struct strbuf out = STRBUF_INIT;
		unsigned seed = i;
		uint32_t seq = 1;
		struct ui u;
		struct verifier v = {0};
		begin(&u, &out);
		for (int n = rand_r(&seed) % 30; n > 0; n--) {
			struct some_event e = some_event(&seed, &seq);
			tell(&u, &e);
		}
		(i % 2 ? ui_cut : ui_pause)(&u);
		struct slice rest = strbuf_slice(&out), line;
		while ((line = next_data(&rest)).p && !slice_is(line, "[DONE]")) {
			AUTO(auto_json_free)
			struct json_doc *doc = json_parse(line, line.n, NULL, 0);
			assert_non_null(doc);
			verify(&v, json_root(doc));
		}
		assert_true(v.finished && line.p && rest.n == 0);
		ui_fini(&u);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_tools),
		cmocka_unit_test(test_approval),
		cmocka_unit_test(test_any_events_in_any_order),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
