/* SPDX-License-Identifier: Apache-2.0
 * What memory_store refuses before it asks the database: names of documents that are
 * none. (What it stores is a scenario test's matter.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "common/attr.h"
#include "common/loop.h"
#include "worker/tools/registry.h"

static int done;
static enum err got;

static void on_done(struct op *op, enum err result, void *arg)
{
	(void)op, (void)arg;
	done++;
	got = result;
}

static void test_paths(void **state)
{
	(void)state;
	static const struct {
		const char *path, *says;
	} cases[] = {
		{"/etc/passwd", "relative"},
		{"/", "relative"},
		{"..", "'..'"},
		{"../x", "'..'"},
		{"a/../b", "'..'"},
		{"a/..", "'..'"},
		{".", "'.'"},
		{"./a", "'.'"},
		{"a/./b", "'.'"},
		{"a//b", "empty"},
		{"a/", "empty"},
		{"a\\nb", "control"},
		{"a\\tb", "control"},
		{"a\\\\b", "backslash"},
		{"..\\\\x", "backslash"},
		{"\\u001b[0m", "control"},
	};
	struct loop *loop = loop_new();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct strbuf text = STRBUF_INIT;
		struct op op;
		struct tool_env env = {.loop = loop}; /* no pool: it must not be asked */
		strbuf_printf(&text, "{\"text\":\"x\",\"path\":\"%s\"}", cases[i].path);
		AUTO(auto_json_free)
		struct json_doc *args = json_parse(strbuf_slice(&text), text.n, NULL, 0);
		assert_non_null(args);
		struct tool_call c = {.tool = tool_find(SLICE("memory_store")),
				      .env = &env,
				      .args = json_root(args),
				      .op = &op};
		done = 0;
		op_init(&op, loop, on_done, NULL);
		tool_starter(c.tool)(&c);
		if (done != 1 || got != ERR_TOOL_ARGUMENTS ||
		    !strstr(c.output.p, cases[i].says) || !strstr(c.output.p, "'path'"))
			fail_msg("%s: %s", cases[i].path, c.output.p);
		strbuf_fini(&c.output);
		strbuf_fini(&text);
	}
	loop_turn(loop, 0);
	loop_free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
