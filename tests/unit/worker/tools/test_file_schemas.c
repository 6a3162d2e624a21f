/* SPDX-License-Identifier: Apache-2.0
 * The schemas of the file tools as the worker's validator understands them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "common/attr.h"
#include "worker/tools/args.h"

static const struct {
	const char *name, *schema;
} tools[] = {
#define FILE_TOOL(name, effect, description, schema) {#name, schema},
#include "sandbox/files/files.tbl"
#undef FILE_TOOL
};

static const struct {
	const char *tool, *args;
	const char *says; /* NULL: fits */
} cases[] = {
	{"read", "{\"path\":\"a\"}", NULL},
	{"read", "{\"path\":\"a\",\"from_line\":3,\"lines\":2000}", NULL},
	{"read", "{}", "argument 'path' is missing"},
	{"read", "{\"path\":\"a\",\"lines\":2001}", "argument 'lines' is out of bounds"},
	{"read", "{\"path\":\"a\",\"offset\":1}",
	 "argument 'offset' is not known to this tool"},
	{"write", "{\"path\":\"a\",\"content\":\"\"}", NULL},
	{"write", "{\"path\":\"a\"}", "argument 'content' is missing"},
	{"edit", "{\"path\":\"a\",\"old_text\":\"x\",\"new_text\":\"\"}", NULL},
	{"edit",
	 "{\"path\":\"a\",\"edits\":[{\"old_text\":\"x\",\"new_text\":\"y\","
	 "\"replace_all\":true}]}",
	 NULL},
	{"edit", "{\"path\":\"a\",\"edits\":[{\"old_text\":\"x\"}]}",
	 "argument 'edits[0].new_text' is missing"},
	{"edit", "{\"path\":\"a\",\"edits\":[]}", "argument 'edits' is out of bounds"},
	{"list_directory", "{}", NULL},
	{"list_directory",
	 "{\"path\":\"\",\"depth\":50,\"glob\":\"*\",\"hidden\":true,\"all\":true,"
	 "\"contains\":\"x\",\"ignore_case\":false}",
	 NULL},
	{"list_directory", "{\"depth\":51}", "argument 'depth' is out of bounds"},
};

static json_t schema_of(const char *name, struct json_doc **doc)
{
	for (size_t i = 0; i < ARRAY_LEN(tools); i++)
		if (strcmp(tools[i].name, name) == 0)
			*doc = json_parse_unique(slice_str(tools[i].schema), 1 << 20,
						 NULL, 0);
	assert_non_null(*doc);
	return json_root(*doc);
}

static void test_cases(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(auto_json_free) struct json_doc *doc = NULL;
		AUTO(auto_json_free)
		struct json_doc *args =
			json_parse(slice_str(cases[i].args), 1 << 20, NULL, 0);
		char why[300] = "";
		enum err e = args_check(schema_of(cases[i].tool, &doc), json_root(args),
					why, sizeof why);
		if (!e != !cases[i].says ||
		    (e && strncmp(why, cases[i].says, strlen(cases[i].says)) != 0))
			fail_msg("%s %s: %s", cases[i].tool, cases[i].args, why);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
