/* SPDX-License-Identifier: Apache-2.0
 * list_directory: order, depth, what is left out and said to be, and the search. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "bed.h"

static void make_tree(void)
{
	dir_at("src");
	dir_at("src/deep");
	dir_at("src/deep/deeper");
	dir_at("node_modules");
	dir_at("node_modules/p");
	dir_at(".git");
	dir_at("build");
	put("README.md", "read me\n");
	put("src/b.c", "int b;\n");
	put("src/a.h", "int a;\nint b;\n");
	put("src/deep/c.c", "int c;\n");
	put("src/deep/deeper/d.c", "INT d;\n");
	put("src-old", "int old;\n");
	put("node_modules/p/x.c", "int x;\n");
	put("build/out.o", "o");
	put(".env", "int secret;\n");
	put(".git/config", "int git;\n");
	put("debug.log", "int log;\n");
	put("keep.log", "");
	put(".gitignore", "# what is made\r\n/build/\n*.log\n!keep.log\nc.c\n");
	put("src/.gitignore", "!c.c\n/a.h\n");
	link_at("src", "link");
	link_at("../secret", "out");
	assert_int_equal(mkfifoat(ws, "pipe", 0666), 0);
}

static const struct {
	const char *args, *answer;
} cases[] = {
	{"{}",
	 "{\"path\":\".\",\"entries\":[{\"path\":\"README.md\",\"bytes\":8},"
	 "{\"path\":\"keep.log\",\"bytes\":0},{\"path\":\"link\",\"link_to\":\"src\"},"
	 "{\"path\":\"out\",\"link_to\":\"../"
	 "secret\"},{\"path\":\"pipe\",\"type\":\"pipe\"},"
	 "{\"path\":\"src/\"},{\"path\":\"src-old\",\"bytes\":9}],"
	 "\"hidden\":2,\"ignored\":4}"},
	{"{\"path\":\"src\"}",
	 "{\"path\":\"src\",\"entries\":[{\"path\":\"src/b.c\",\"bytes\":7},"
	 "{\"path\":\"src/deep/\"}],\"hidden\":1,\"ignored\":1}"},
	{"{\"path\":\"link/\",\"depth\":2}",
	 "{\"path\":\"src\",\"entries\":[{\"path\":\"src/b.c\",\"bytes\":7},"
	 "{\"path\":\"src/deep/\"},{\"path\":\"src/deep/c.c\",\"bytes\":7},"
	 "{\"path\":\"src/deep/deeper/\"}],\"hidden\":1,\"ignored\":1}"},
	{"{\"path\":\"/workspace/src\",\"depth\":9,\"glob\":\"*.{c,h}\",\"all\":true}",
	 "{\"path\":\"src\",\"entries\":[{\"path\":\"src/a.h\",\"bytes\":14},"
	 "{\"path\":\"src/b.c\",\"bytes\":7},{\"path\":\"src/deep/c.c\",\"bytes\":7},"
	 "{\"path\":\"src/deep/deeper/d.c\",\"bytes\":7}],\"hidden\":1}"},
	{"{\"glob\":\"src/**/*.c\"}",
	 "{\"path\":\".\",\"entries\":[{\"path\":\"src/b.c\",\"bytes\":7},"
	 "{\"path\":\"src/deep/c.c\",\"bytes\":7},{\"path\":\"src/deep/deeper/d.c\","
	 "\"bytes\":7}],\"hidden\":3,\"ignored\":5}"},
	{"{\"path\":\"src/deep\",\"glob\":\"deeper/*\"}",
	 "{\"path\":\"src/deep\",\"entries\":[{\"path\":\"src/deep/deeper/d.c\","
	 "\"bytes\":7}]}"},
	{"{\"glob\":\"*.log\",\"all\":true,\"hidden\":true}",
	 "{\"path\":\".\",\"entries\":[{\"path\":\"debug.log\",\"bytes\":9},"
	 "{\"path\":\"keep.log\",\"bytes\":0}]}"},
	{"{\"path\":\"node_modules\",\"depth\":2}",
	 "{\"path\":\"node_modules\",\"entries\":[{\"path\":\"node_modules/p/\"},"
	 "{\"path\":\"node_modules/p/x.c\",\"bytes\":7}]}"},
	{"{\"path\":\"src/deep/deeper\",\"glob\":\"zzz\"}",
	 "{\"path\":\"src/deep/deeper\",\"entries\":[]}"},
	{"{\"hidden\":true,\"glob\":\".*\"}",
	 "{\"path\":\".\",\"entries\":[{\"path\":\".env\",\"bytes\":12},"
	 "{\"path\":\".gitignore\",\"bytes\":44}],\"ignored\":4}"},
	/* search */
	{"{\"contains\":\"int b\"}", "{\"path\":\".\",\"matches\":[{\"path\":\"src/"
				     "b.c\",\"line\":1,\"text\":\"int b;\"}],"
				     "\"files_searched\":6,\"hidden\":3,\"ignored\":5}"},
	{"{\"contains\":\"int\",\"path\":\"src\",\"all\":true}",
	 "{\"path\":\"src\",\"matches\":[{\"path\":\"src/a.h\",\"line\":1,\"text\":\"int "
	 "a;\"},{\"path\":\"src/a.h\",\"line\":2,\"text\":\"int "
	 "b;\"},{\"path\":\"src/b.c\","
	 "\"line\":1,\"text\":\"int b;\"},{\"path\":\"src/deep/c.c\",\"line\":1,\"text\":"
	 "\"int c;\"}],\"files_searched\":4,\"hidden\":1}"},
	{"{\"contains\":\"iNT D\",\"ignore_case\":true,\"glob\":\"*.c\"}",
	 "{\"path\":\".\",\"matches\":[{\"path\":\"src/deep/deeper/"
	 "d.c\",\"line\":1,\"text\":"
	 "\"INT d;\"}],\"files_searched\":3,\"hidden\":3,\"ignored\":5}"},
	{"{\"contains\":\"nowhere to be found\",\"path\":\"src/deep\",\"depth\":1}",
	 "{\"path\":\"src/deep\",\"matches\":[],\"files_searched\":1}"},
};

static void test_cases(void **state)
{
	(void)state;
	make_tree();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		expect(FILES_TOOL_list_directory, cases[i].args, cases[i].answer);
}

static const struct {
	const char *args, *says;
} refusals[] = {
	{"{\"path\":\"README.md\"}",
	 "list_directory: README.md is a file, not a directory; read shows it"},
	{"{\"path\":\"scr\"}", "list_directory: there is no scr; list_directory shows "
			       "what the workspace holds"},
	{"{\"path\":\"src/depe\"}",
	 "list_directory: there is no src/depe; src holds a similar deep"},
	{"{\"path\":\"src/deepr\"}",
	 "list_directory: there is no src/deepr; src holds a similar deep"},
	{"{\"depth\":0}", "list_directory: argument 'depth' is 0; it is from 1 to 50"},
	{"{\"depth\":51}", "list_directory: argument 'depth' is 51; it is from 1 to 50"},
	{"{\"depth\":\"all\"}",
	 "list_directory: argument 'depth' must be a whole number, it is a string"},
	{"{\"hidden\":1}",
	 "list_directory: argument 'hidden' must be true or false, it is a number"},
	{"{\"contains\":\"\"}",
	 "list_directory: contains has 0 bytes; it is 1 to 1000 bytes of plain text"},
	{"{\"contains\":\"a\\nb\"}",
	 "list_directory: contains holds a line break; it is looked for in single lines"},
	{"{\"recursive\":true}",
	 "list_directory: there is no argument 'recursive'; there are path, depth, glob, "
	 "hidden, all, contains, ignore_case"},
	{"{\"glob\":\"{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}\"}",
	 "list_directory: the glob has more than 64 alternatives"},
};

static void test_refusals(void **state)
{
	(void)state;
	make_tree();
	for (size_t i = 0; i < ARRAY_LEN(refusals); i++)
		expect_error(FILES_TOOL_list_directory, refusals[i].args,
			     refusals[i].says);
}

/* The first names in order, and the number of the others. */
static void test_many_entries(void **state)
{
	(void)state;
	dir_at("big");
	for (int i = 1499; i >= 0; i--) {
		char name[40];
		snprintf(name, sizeof name, "big/f%04d", i);
		put(name, "");
	}
	json_t a = ask(FILES_TOOL_list_directory, "{\"path\":\"big\"}");
	json_t list = json_get(a, "entries");
	assert_int_equal(json_len(list), 1000);
	assert_int_equal(number_of(a, "left_out"), 500);
	for (size_t i = 0; i < 1000; i++) {
		char name[40];
		snprintf(name, sizeof name, "big/f%04zu", i);
		assert_string_equal(json_cstr(json_get(json_at(list, i), "path"), ""),
				    name);
	}
	/* What is near the top comes before what is deep. */
	put("zzz", "");
	a = ask(FILES_TOOL_list_directory, "{\"depth\":3}");
	assert_int_equal(json_len(json_get(a, "entries")), 1000);
	assert_string_equal(
		json_cstr(json_get(json_at(json_get(a, "entries"), 999), "path"), ""),
		"zzz");
	assert_int_equal(number_of(a, "left_out"), 502);
}

/* Names that no path argument may have are shown, escaped. */
static void test_odd_names(void **state)
{
	(void)state;
	put("a\nb", "");
	put("c\xff", "");
	put("\xc3\xa4.md", "");
	put(".tb-write-0011223344556677", "of a write that was killed");
	expect(FILES_TOOL_list_directory, "{\"hidden\":true}",
	       "{\"path\":\".\",\"entries\":[{\"path\":\"a\\nb\",\"bytes\":0},"
	       "{\"path\":\"c\xef\xbf\xbd\",\"bytes\":0},{\"path\":\"\xc3\xa4.md\","
	       "\"bytes\":0}]}");
}

static void test_answers_stay_small(void **state)
{
	char name[256];
	(void)state;
	dir_at("big");
	memset(name, 1, sizeof name); /* six bytes each as JSON */
	memcpy(name, "big/", 4);
	for (int i = 0; i < 900; i++) {
		snprintf(name + 240, sizeof name - 240, "%04d", i);
		put(name, "needle\n");
	}
	json_t a = ask(FILES_TOOL_list_directory, "{\"path\":\"big\"}");
	assert_true(said.n < 200 << 10);
	assert_int_equal(
		json_len(json_get(a, "entries")) + (size_t)number_of(a, "left_out"), 900);
	a = ask(FILES_TOOL_list_directory, "{\"path\":\"big\",\"contains\":\"needle\"}");
	assert_true(said.n < 200 << 10);
	assert_int_equal(
		json_len(json_get(a, "matches")) + (size_t)number_of(a, "left_out"), 900);
}

static void test_search_details(void **state)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	(void)state;
	for (int i = 0; i < 300; i++)
		strbuf_add_str(&b, "x needle needle\r\n");
	put("many", b.p);
	strbuf_reset(&b);
	for (int i = 0; i < 1000; i++)
		strbuf_add_str(&b, "\xc3\xa9");
	strbuf_add_str(&b, "needle");
	for (int i = 0; i < 1000; i++)
		strbuf_add_str(&b, "\xc3\xa9");
	put("long", b.p);
	put_at(ws, "binary", "needle\0", 7);
	put("empty", "");
	json_t a = ask(FILES_TOOL_list_directory, "{\"contains\":\"needle\"}");
	json_t list = json_get(a, "matches");
	assert_int_equal(json_len(list), 21); /* twenty of a file */
	assert_int_equal(number_of(a, "left_out"), 280);
	assert_int_equal(number_of(a, "files_searched"), 3);
	assert_int_equal(number_of(a, "files_not_searched"), 1);
	struct slice text = json_str(json_get(json_at(list, 0), "text"));
	assert_true(text.n <= 300 && slice_find(text, SLICE("needle")) > 0);
	assert_string_equal(text_of(json_at(list, 1)), "x needle needle");
	assert_int_equal(number_of(json_at(list, 20), "line"), 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_cases),
		CASE(test_refusals),
		CASE(test_many_entries),
		CASE(test_odd_names),
		CASE(test_answers_stay_small),
		CASE(test_search_details),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
