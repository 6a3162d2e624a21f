/* SPDX-License-Identifier: Apache-2.0
 * What a chat posts, as an order or as decisions. */
#include "tests/unit/edge/some_events.h"

#include "edge/uistream/ui_input.h"

#define HEAD "{\"id\":\"c\","
#define USER                                                                             \
	"{\"id\":\"1\",\"role\":\"user\",\"parts\":[{\"type\":\"text\",\"text\":\"hi\"}" \
	",{"                                                                             \
	"\"type\":\"data-x\",\"data\":1}]}"
#define HI "{\"type\":\"text\",\"text\":\"hi\"}"

static void takes(const char *body, const char *content, const char *message)
{
	struct arena *a = arena_new(1 << 20);
	struct ui_input in;
	struct order_fault fault;
	if (!ui_input_read(slice_str(body), a, &in, &fault))
		fail_msg("%s: %s", body, fault.message);
	assert_string_equal(in.order.content.p, content);
	assert_string_equal(in.order.session_key.p, "ui:c");
	assert_true(slice_is(in.message, message));
	arena_free(a);
}

static void refuses(const char *body, const char *param, const char *says)
{
	struct arena *a = arena_new(1 << 20);
	struct ui_input in;
	struct order_fault fault;
	assert_false(ui_input_read(slice_str(body), a, &in, &fault));
	assert_string_equal(fault.param, param);
	if (!strstr(fault.message, says))
		fail_msg("%s says: %s", body, fault.message);
	arena_free(a);
}

static void test_messages(void **state)
{
	(void)state;
	takes(HEAD "\"messages\":[" USER "],\"trigger\":\"submit-message\",\"messageId\":"
		   "\"1\"}",
	      "{\"blocks\":[" HI "]}", "");
	takes(HEAD
	      "\"messages\":[{\"role\":\"system\",\"parts\":[{\"type\":\"text\","
	      "\"text\":\"be brief\"}]}," USER
	      ",{\"id\":\"2\",\"role\":\"assistant\",\"parts\":[]},{\"role\":\"user\","
	      "\"parts\":[{\"type\":\"file\",\"mediaType\":\"image/png\",\"url\":"
	      "\"data:image/png;base64,AAAA\"}]}]}",
	      "{\"blocks\":[{\"type\":\"image\",\"mediaType\":\"image/png\",\"data\":"
	      "\"AAAA\"}],\"overrides\":{\"system\":\"be brief\"}}",
	      "");
	takes(HEAD "\"messages\":[" USER "],\"trigger\":\"regenerate-message\"}", "{}",
	      "");
}

static void test_outputs_of_the_last_step(void **state)
{
	(void)state;
	takes(HEAD
	      "\"messages\":[" USER
	      ",{\"id\":\"2\",\"role\":\"assistant\",\"parts\":[{\"type\":\"step-start\"}"
	      ",{\"type\":\"tool-w\",\"toolCallId\":\"old\",\"state\":\"output-"
	      "available\",\"output\":1},{\"type\":\"step-start\"},{\"type\":\"dynamic-"
	      "tool\",\"toolCallId\":\"ours\",\"providerExecuted\":true,\"state\":"
	      "\"output-available\",\"output\":1},{\"type\":\"tool-w\",\"toolCallId\":"
	      "\"a\",\"state\":\"output-available\",\"output\":{\"city\":\"Ghent\"}},{"
	      "\"type\":\"tool-w\",\"toolCallId\":\"b\",\"state\":\"output-error\","
	      "\"errorText\":\"no\"}]}]}",
	      "{\"blocks\":[],\"toolResults\":[{\"toolCallId\":\"a\",\"content\":\"{"
	      "\\\"city\\\":\\\"Ghent\\\"}\"},{\"toolCallId\":\"b\",\"content\":\"no\","
	      "\"isError\":true}]}",
	      "2");
}

#define ASKED(id, rest)                                                                  \
	HEAD "\"messages\":[" USER ",{\"id\":\"2\",\"role\":\"assistant\",\"parts\":[{"  \
	     "\"type\":\"dynamic-tool\","                                                \
	     "\"providerExecuted\":true,\"state\":\"approval-responded\",\"approval\":{" \
	     "\"id\":\"" id "\"" rest "}}]}]}"

static void test_decisions(void **state)
{
	(void)state;
	struct arena *a = arena_new(1 << 20);
	struct ui_input in;
	struct order_fault fault;
	assert_true(ui_input_read(
		SLICE(ASKED(SOME_RUN, ",\"approved\":false,\"reason\":\"not now\"")), a,
		&in, &fault));
	assert_int_equal(in.decision_count, 1);
	assert_false(in.decisions[0].approved);
	assert_true(slice_is(in.decisions[0].reason, "not now"));
	assert_true(slice_is(in.message, "2"));
	assert_null(in.order.content.p);
	arena_free(a);
	refuses(ASKED("x", ",\"approved\":true"), "messages[1].parts[0]",
		"id and approved");
	refuses(ASKED(SOME_RUN, ""), "messages[1].parts[0]", "id and approved");
}

static void test_refusals(void **state)
{
	(void)state;
	refuses("", "", "no valid JSON");
	refuses("{}", "id", "is missing");
	refuses("{\"id\":\"\\t\"}", "id", "control");
	refuses(HEAD "\"x\":1}", "x", "no member");
	refuses("{\"id\":\"c\"}", "messages", "is missing");
	refuses(HEAD "\"messages\":[]}", "messages", "must end with");
	refuses(HEAD "\"messages\":[],\"trigger\":\"x\"}", "trigger", "submit-message");
	refuses(HEAD "\"messages\":[{\"role\":\"tool\"}]}", "messages",
		"messages[0].role");
	refuses(HEAD "\"messages\":[{\"role\":\"user\"}]}", "messages", "must be a list");
	refuses(HEAD "\"messages\":[{\"role\":\"user\",\"parts\":[{}]}]}",
		"messages[0].parts[0]", "have a type");
	refuses(HEAD "\"messages\":[{\"role\":\"user\",\"parts\":[{\"type\":\"file\","
		     "\"mediaType\":\"text/plain\",\"url\":\"https://x\"}]}]}",
		"messages[0].parts[0]", "images are taken");
	refuses(HEAD "\"messages\":[{\"role\":\"user\",\"parts\":[{\"type\":\"file\","
		     "\"mediaType\":\"image/png\",\"url\":\"data:x\"}]}]}",
		"messages[0].parts[0]", "https://");
	refuses(HEAD "\"tools\":{}}", "tools", "a list");
	refuses(HEAD "\"messages\":[" USER "],\"tools\":[7]}", "tools[0].name",
		"letters, digits");
	refuses(HEAD "\"messages\":[" USER "],\"tools\":[{\"name\":\"a\","
		     "\"description\":7}]}",
		"tools[0].description", "at most 16384 bytes");
	refuses(HEAD "\"user\":\"\"}", "user", "1 to 256");
	refuses(HEAD "\"cancelOnDisconnect\":1}", "cancelOnDisconnect", "true or false");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_outputs_of_the_last_step),
		cmocka_unit_test(test_decisions),
		cmocka_unit_test(test_refusals),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
