/* SPDX-License-Identifier: Apache-2.0
 * RunAgentInput as an order: what is new in it, and that each refusal names its member.
 */
#include "tests/unit/edge/some_events.h"

#include "edge/agui/agui_input.h"
#include "edge/client_tools.h"

#define HEAD "{\"threadId\":\"t\",\"runId\":\"r\","
#define ASKED "\"messages\":[" USER "],"
#define USER "{\"id\":\"1\",\"role\":\"user\",\"content\":\"hi\"}"

static bool read(const char *body, struct arena *a, struct agui_input *in,
		 struct order_fault *fault)
{
	return agui_input_read(slice_str(body), SLICE("main"), a, in, fault);
}

static void takes(const char *body, const char *content)
{
	struct arena *a = arena_new(1 << 20);
	struct agui_input in;
	struct order_fault fault;
	if (!read(body, a, &in, &fault))
		fail_msg("%s: %s", body, fault.message);
	assert_string_equal(in.order.content.p, content);
	assert_string_equal(in.order.session_key.p, "agui:t");
	arena_free(a);
}

static void refuses(const char *body, const char *param, const char *says)
{
	struct arena *a = arena_new(1 << 20);
	struct agui_input in;
	struct order_fault fault;
	assert_false(read(body, a, &in, &fault));
	assert_string_equal(fault.param, param);
	if (!strstr(fault.message, says))
		fail_msg("%s says: %s", body, fault.message);
	arena_free(a);
}

static void test_what_is_new(void **state)
{
	(void)state;
	takes(HEAD "\"messages\":[" USER "]}",
	      "{\"blocks\":[{\"type\":\"text\",\"text\":\"hi\"}]}");
	takes(HEAD
	      "\"protocolVersion\":\"1.0\",\"state\":{\"a\":1},\"forwardedProps\":{"
	      "\"any\":1},\"resume\":[],\"messages\":[{\"role\":\"user\",\"content\":"
	      "\"old\"},{\"role\":\"assistant\",\"content\":\"x\"}," USER
	      ",{\"role\":\"reasoning\",\"content\":\"x\"},{\"role\":\"user\","
	      "\"content\":[{\"type\":\"text\",\"text\":\"there\"},{\"type\":\"image\","
	      "\"source\":{\"type\":\"data\",\"value\":\"AAAA\",\"mimeType\":\"image/"
	      "png\"}},{\"type\":\"image\",\"source\":{\"type\":\"url\",\"value\":"
	      "\"https://x/y\"}}]}]}",
	      "{\"blocks\":[{\"type\":\"text\",\"text\":\"hi\"},{\"type\":\"text\","
	      "\"text\":"
	      "\"there\"},{\"type\":\"image\",\"mediaType\":\"image/"
	      "png\",\"data\":\"AAAA\"}"
	      ",{\"type\":\"image\",\"url\":\"https://x/y\"}]}");
}

static void test_instructions_and_context(void **state)
{
	(void)state;
	takes(HEAD "\"messages\":[{\"role\":\"system\",\"content\":\"be brief\"}," USER
		   "],\"context\":[{\"description\":\"page\",\"value\":\"7\"}]}",
	      "{\"blocks\":[{\"type\":\"text\",\"text\":\"hi\"}],\"overrides\":{"
	      "\"system\":"
	      "\"be brief\\n\\nWhat the application says of its state:\\npage: 7\"}}");
}

static void test_tools_and_results(void **state)
{
	(void)state;
	takes(HEAD "\"tools\":[{\"name\":\"where\",\"description\":\"place\","
		   "\"parameters\":{\"type\":\"object\"}}],\"forwardedProps\":{"
		   "\"toolChoice\":\"required\"},\"messages\":[" USER "]}",
	      "{\"blocks\":[{\"type\":\"text\",\"text\":\"hi\"}],\"clientTools\":[{"
	      "\"name\":"
	      "\"where\",\"description\":\"place\",\"parameters\":{\"type\":\"object\"}}]"
	      ","
	      "\"toolChoice\":\"required\"}");
	takes(HEAD "\"messages\":[" USER
		   ",{\"role\":\"assistant\",\"toolCalls\":[]},{\"role\":\"tool\","
		   "\"toolCallId\":\"c\",\"content\":\"here\"},{\"role\":\"tool\","
		   "\"toolCallId\":\"d\",\"content\":\"\",\"error\":\"no\"}]}",
	      "{\"blocks\":[],\"toolResults\":[{\"toolCallId\":\"c\",\"content\":"
	      "\"here\"},{"
	      "\"toolCallId\":\"d\",\"content\":\"no\",\"isError\":true}]}");
}

static void test_refusals(void **state)
{
	(void)state;
	refuses("", "", "no valid JSON");
	refuses("[]", "", "must be a JSON object");
	refuses("{}", "threadId", "is missing");
	refuses("{\"threadId\":\"t\"}", "runId", "is missing");
	refuses(HEAD "\"x\":1}", "x", "no member");
	refuses("{\"threadId\":\"\"}", "threadId", "1 to 480 bytes");
	refuses("{\"runId\":\"\\n\"}", "runId", "control");
	refuses("{\"threadId\":\"\\u0000\"}", "threadId", "valid text");
	refuses(HEAD "\"messages\":{}}", "messages", "a list");
	refuses(HEAD "\"messages\":[]}", "messages", "must end with");
	refuses(HEAD "\"messages\":[" USER ",{\"role\":\"assistant\"}]}", "messages",
		"must end with");
	refuses(HEAD "\"messages\":[{\"role\":\"robot\"}]}", "messages",
		"messages[0].role");
	refuses(HEAD "\"messages\":[{\"role\":\"user\",\"content\":5}]}", "messages",
		"messages[0].content");
	refuses(HEAD
		"\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"audio\"}]}]}",
		"messages[0].content[0]", "\"text\" or \"image\"");
	refuses(HEAD
		"\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image\","
		"\"source\":{\"type\":\"data\",\"value\":\"AAA\",\"mimeType\":\"image/"
		"png\"}}]}]}",
		"messages", "base64");
	refuses(HEAD "\"messages\":[{\"role\":\"tool\",\"content\":\"x\"}]}",
		"messages[0]", "must name the call");
	refuses(HEAD ASKED "\"tools\":[{\"name\":\"a b\"}]}", "tools[0].name",
		"letters, digits");
	refuses(HEAD ASKED "\"tools\":[{\"name\":\"read\"}]}", "tools[0].name",
		"tools[0].name is \"read\", a tool of the runtime");
	refuses(HEAD ASKED "\"tools\":[{\"name\":\"a\"},{\"name\":\"a\"}]}",
		"tools[1].name", "as of one before it");
	refuses(HEAD ASKED "\"tools\":[{\"name\":\"a\",\"parameters\":[]}]}",
		"tools[0].parameters", "JSON schema");
	refuses(HEAD "\"messages\":[" USER "],\"tools\":[{\"name\":\"a\"}],"
		     "\"forwardedProps\":{\"toolChoice\":{\"name\":\"b\"}}}",
		"toolChoice", "neither one of the client's tools");
	refuses(HEAD "\"context\":[{\"description\":\"x\"}]}", "context", "context[0]");
	refuses(HEAD "\"forwardedProps\":{\"cancelOnDisconnect\":1}}",
		"forwardedProps.cancelOnDisconnect", "true or false");
	refuses(HEAD "\"forwardedProps\":{\"queueMode\":\"x\"}}",
		"forwardedProps.queueMode", "followup");
	refuses(HEAD ASKED "\"forwardedProps\":{\"toolChoice\":\"x\"}}", "toolChoice",
		"auto");
	refuses(HEAD "\"resume\":[{\"interruptId\":\"x\"}]}", "resume", "/v1/approvals");
}

static void test_the_longest_description(void **state)
{
	(void)state;
	char most[CLIENT_TOOL_DESCRIPTION_MOST + 2], body[2 * sizeof most],
		content[2 * sizeof most];
	memset(most, 'd', sizeof most);
	most[CLIENT_TOOL_DESCRIPTION_MOST] = 0;
	snprintf(body, sizeof body,
		 HEAD "\"messages\":[" USER "],\"tools\":[{\"name\":\"a\","
		      "\"description\":\"%s\"}]}",
		 most);
	snprintf(content, sizeof content,
		 "{\"blocks\":[{\"type\":\"text\",\"text\":\"hi\"}],"
		 "\"clientTools\":[{\"name\":\"a\",\"description\":\"%s\"}]}",
		 most);
	takes(body, content);
	snprintf(body, sizeof body,
		 HEAD "\"messages\":[" USER "],\"tools\":[{\"name\":\"a\","
		      "\"description\":\"%sd\"}]}",
		 most);
	refuses(body, "tools[0].description", "at most 16384 bytes");
}

static void test_the_same_request_has_the_same_key(void **state)
{
	(void)state;
	struct arena *a = arena_new(1 << 20);
	struct agui_input one, two, other;
	struct order_fault fault;
	assert_true(read(HEAD "\"messages\":[" USER "]}", a, &one, &fault));
	assert_true(read(HEAD "\"messages\":[" USER "]}", a, &two, &fault));
	assert_true(read("{\"threadId\":\"t\",\"runId\":\"s\",\"messages\":[" USER "]}",
			 a, &other, &fault));
	assert_true(slice_eq(one.idem_key, two.idem_key));
	assert_false(slice_eq(one.idem_key, other.idem_key));
	assert_true(order_check_key(one.idem_key, &fault));
	arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_new),
		cmocka_unit_test(test_instructions_and_context),
		cmocka_unit_test(test_tools_and_results),
		cmocka_unit_test(test_the_longest_description),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_the_same_request_has_the_same_key),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
