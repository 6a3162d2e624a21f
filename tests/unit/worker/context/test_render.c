/* SPDX-License-Identifier: Apache-2.0
 * A conversation as text, and the question for its summary. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/json.h"
#include "worker/context/render.h"

static void expect(enum plan_role role, const char *content, size_t most,
		   const char *text)
{
	struct strbuf b = STRBUF_INIT;
	render_message(&b, role, slice_str(content), most);
	assert_string_equal(b.p ? b.p : "", text);
	strbuf_fini(&b);
}

static void test_messages(void **state)
{
	(void)state;
	expect(PLAN_USER, "{\"blocks\":[{\"type\":\"text\",\"text\":\"hello\"}]}", 100,
	       "[user] hello\n");
	expect(PLAN_USER,
	       "{\"blocks\":[{\"type\":\"text\",\"text\":\"look\"},{\"type\":\"image\","
	       "\"mediaType\":\"image/png\",\"data\":\"AAAA\"}]}",
	       100, "[user] look\n[user] [an image]\n");
	expect(PLAN_ASSISTANT,
	       "{\"blocks\":[{\"type\":\"reasoning\",\"text\":\"hm\"},{\"type\":\"tool_"
	       "call\",\"callId\":\"c\",\"name\":\"read\",\"arguments\":{\"path\":\"a\"}}"
	       "]}",
	       100, "[assistant] calls read {\"path\":\"a\"}\n");
	expect(PLAN_TOOL,
	       "{\"blocks\":[{\"type\":\"tool_result\",\"callId\":\"c\",\"name\":"
	       "\"read\","
	       "\"isError\":true,\"text\":\"no such file\"}]}",
	       100, "[tool] read failed: no such file\n");
	expect(PLAN_SUMMARY, "{\"blocks\":[{\"type\":\"text\",\"text\":\"old\"}]}", 100,
	       "");
	expect(PLAN_MARK, "{\"blocks\":[]}", 100, "");
	/* beginning and end, whole characters */
	expect(PLAN_USER, "{\"blocks\":[{\"type\":\"text\",\"text\":\"äöüäöüäöüäöü\"}]}",
	       9, "[user] äöü\n[... left out ...]\nöü\n");
}

static void test_the_request(void **state)
{
	(void)state;
	struct strbuf b = STRBUF_INIT;
	struct render_wish w = {
		.text = SLICE("[user] hi\n"), .words = 120, .fence = 0xabc};
	render_summary_request(&b, &w);
	assert_non_null(strstr(b.p, "at most 120 words"));
	assert_non_null(strstr(b.p, "<<<CONVERSATION 0000000000000abc>>>\n[user] hi\n"
				    "<<<END CONVERSATION 0000000000000abc>>>"));
	assert_null(strstr(b.p, "<<<SUMMARY"));
	assert_null(strstr(b.p, "heed"));
	strbuf_reset(&b);
	w.focus = SLICE("the port numbers");
	w.previous = SLICE("before");
	render_summary_request(&b, &w);
	assert_non_null(strstr(b.p, "heed this: the port numbers\n"));
	assert_non_null(strstr(b.p, "<<<SUMMARY 0000000000000abc>>>\nbefore\n"));
	strbuf_fini(&b);
}

static void test_a_stored_summary(void **state)
{
	(void)state;
	struct strbuf content = STRBUF_INIT, kept = STRBUF_INIT;
	struct json_out o = json_out(&content);
	json_obj(&o);
	json_key(&o, "blocks");
	json_arr(&o);
	json_obj(&o);
	json_kv_cstr(&o, "type", "text");
	json_kv_cstr(&o, "text", RENDER_SUMMARY_HEAD "what was");
	json_obj_end(&o);
	json_arr_end(&o);
	json_obj_end(&o);
	assert_true(
		slice_is(render_summary_text(&kept, strbuf_slice(&content)), "what was"));
	strbuf_reset(&kept);
	assert_true(slice_is(
		render_summary_text(&kept, SLICE("{\"blocks\":[{\"type\":\"text\","
						 "\"text\":\"another's\"}]}")),
		"another's"));
	strbuf_fini(&content);
	strbuf_fini(&kept);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_the_request),
		cmocka_unit_test(test_a_stored_summary),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
