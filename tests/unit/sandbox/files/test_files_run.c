/* SPDX-License-Identifier: Apache-2.0
 * The process around a tool: arguments from a pipe until it ends, one answer, and the
 * table of tools. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <cmocka.h>

#include "bed.h"

/* Through pipes, as a jail has it; the answer. */
static json_t run(enum files_tool which, struct slice args)
{
	int in[2], out[2], how;
	char err[200];
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	pid_t tool = fork();
	if (tool == 0) {
		close(in[1]);
		files_run(which, ws, in[0], out[1]);
		_exit(0);
	}
	pid_t writer = fork();
	if (writer == 0) {
		while (args.n) {
			ssize_t n = write(in[1], args.p, args.n < 1000 ? args.n : 1000);
			if (n < 0)
				_exit(1);
			args = slice_of(args.p + n, args.n - (size_t)n);
		}
		_exit(0);
	}
	close(in[0]);
	close(in[1]);
	close(out[1]);
	strbuf_reset(&said);
	json_free(doc);
	for (ssize_t n; (n = read(out[0], strbuf_reserve(&said, 4096), 4096)) > 0;)
		said.n += (size_t)n;
	close(out[0]);
	assert_int_equal(waitpid(writer, &how, 0), writer);
	assert_int_equal(how, 0);
	assert_int_equal(waitpid(tool, &how, 0), tool);
	assert_int_equal(how, 0);
	doc = json_parse(strbuf_slice(&said), 1 << 20, err, sizeof err);
	if (!doc)
		fail_msg("%s", err);
	return json_root(doc);
}

static void test_pipes(void **state)
{
	(void)state;
	json_t a = run(FILES_TOOL_write, SLICE("{\"path\":\"f\",\"content\":\"hello\"}"));
	assert_int_equal(number_of(a, "bytes"), 5);
	a = run(FILES_TOOL_read, SLICE("{\"path\":\"f\"}"));
	assert_string_equal(text_of(a), "hello\n");
	a = run(FILES_TOOL_read, SLICE(""));
	assert_string_equal(error_of(a), "read: the arguments are not valid JSON: input "
					 "length is 0 at byte 0");
}

static void test_limit_of_arguments(void **state)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	(void)state;
	strbuf_add_str(&b, "{\"path\":\"f\",\"old_text\":\"");
	char *fill = strbuf_reserve(&b, 5 << 20);
	memset(fill, 'x', 5 << 20);
	size_t before = b.n, most = FILES_ARGS_MOST;
	b.n = most - strlen("\",\"new_text\":\"\"}");
	strbuf_add_str(&b, "\",\"new_text\":\"\"}");
	assert_int_equal(b.n, most);
	put("f", "x");
	json_t a = run(FILES_TOOL_edit, strbuf_slice(&b));
	assert_non_null(strstr(error_of(a), "edit: old_text is not in f"));
	memset(b.p + before, 'x', 5 << 20);
	b.n = before + (5 << 20);
	a = run(FILES_TOOL_edit, strbuf_slice(&b)); /* all of it is taken nevertheless */
	assert_string_equal(error_of(a),
			    "edit: the arguments are not valid JSON: 2097153 bytes of "
			    "JSON, at most 2097152 are taken");
}

static void test_nonsense(void **state)
{
	static const char *const texts[] = {"x",
					    "{",
					    "[[[[",
					    "null",
					    "7",
					    "{\"path\":",
					    "{\"path\":\"\xff\"}",
					    "{\"path\":\"a\\ud800\"}",
					    "{}{}",
					    "{\"path\":\"a\"}x"};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		for (int tool = 0; tool < FILES_TOOL__COUNT; tool++) {
			json_t a = ask((enum files_tool)tool, texts[i]);
			assert_non_null(strstr(error_of(a), ": the arguments "));
		}
}

/* Each schema is JSON of the form that the worker's validator knows, and each of its
 * properties is known to the tool. */
static void test_table(void **state)
{
	(void)state;
	dir_at("d");
	for (int i = 0; i < FILES_TOOL__COUNT; i++) {
		enum files_tool tool = (enum files_tool)i, found;
		AUTO(auto_json_free)
		struct json_doc *schema = json_parse_unique(
			slice_str(files_tool_schema(tool)), 1 << 20, NULL, 0);
		assert_non_null(schema);
		assert_true(strlen(files_tool_description(tool)) > 40);
		assert_true(files_tool_find(slice_str(files_tool_name(tool)), &found));
		assert_int_equal(found, tool);
		json_t root = json_root(schema);
		assert_false(json_bool(json_get(root, "additionalProperties"), true));
		struct json_iter it = json_iter(json_get(root, "properties"));
		struct slice key;
		while (json_next(&it, &key)) {
			char args[100];
			snprintf(args, sizeof args, "{\"%.*s\":null}", SLICE_ARG(key));
			json_t a = ask(tool, args);
			if (strstr(error_of(a), "there is no argument"))
				fail_msg("%s: %s", files_tool_name(tool), error_of(a));
		}
	}
	enum files_tool none;
	assert_false(files_tool_find(SLICE("exec"), &none));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_pipes),
		CASE(test_limit_of_arguments),
		CASE(test_nonsense),
		CASE(test_table),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
