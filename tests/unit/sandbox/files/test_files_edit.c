/* SPDX-License-Identifier: Apache-2.0
 * edit: replacements, line ends, several at once, and what each refusal says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <cmocka.h>

#include "bed.h"

static const struct {
	const char *before;
	const char *edits; /* arguments beside the path */
	const char *after; /* NULL: as before */
	const char *says;  /* NULL: no error */
} cases[] = {
	/* one */
	{"a b c", "\"old_text\":\"b\",\"new_text\":\"B\"", "a B c", NULL},
	{"a b c", "\"old_text\":\" b\",\"new_text\":\"\"", "a c", NULL},
	{"abc", "\"old_text\":\"abc\",\"new_text\":\"\"", "", NULL},
	{"a\nb\nc\n", "\"old_text\":\"a\\nb\",\"new_text\":\"x\"", "x\nc\n", NULL},
	{"a\nb\n", "\"old_text\":\"b\\n\",\"new_text\":\"b\\nc\\n\"", "a\nb\nc\n", NULL},
	{"x x x", "\"old_text\":\"x\",\"new_text\":\"yy\",\"replace_all\":true",
	 "yy yy yy", NULL},
	{"aaaa", "\"old_text\":\"aa\",\"new_text\":\"b\",\"replace_all\":true", "bb",
	 NULL},
	{"a", "\"old_text\":\"a\",\"new_text\":\"aa\",\"edits\":null", "aa", NULL},
	/* several, each in the text as it was */
	{"a b c",
	 "\"edits\":[{\"old_text\":\"a\",\"new_text\":\"b\"},{\"old_text\":\"b\","
	 "\"new_text\":\"c\"},{\"old_text\":\"c\",\"new_text\":\"a\"}]",
	 "b c a", NULL},
	{"a b c",
	 "\"edits\":[{\"old_text\":\"c\",\"new_text\":\"3\"},{\"old_text\":\"a\","
	 "\"new_text\":\"1\"}]",
	 "1 b 3", NULL},
	{"x y x",
	 "\"edits\":[{\"old_text\":\"x\",\"new_text\":\"y\",\"replace_all\":true},"
	 "{\"old_text\":\"y\",\"new_text\":\"x\"}]",
	 "y x y", NULL},
	{"ab",
	 "\"edits\":[{\"old_text\":\"a\",\"new_text\":\"1\"},{\"old_text\":\"b\","
	 "\"new_text\":\"2\"}]",
	 "12", NULL},
	/* line ends and marks */
	{"a\r\nb\r\nc\r\n", "\"old_text\":\"a\\nb\",\"new_text\":\"x\\ny\\nz\"",
	 "x\r\ny\r\nz\r\nc\r\n", NULL},
	{"a\r\nb\r\n", "\"old_text\":\"a\\r\\nb\",\"new_text\":\"x\\r\\ny\"",
	 "x\r\ny\r\n", NULL},
	{"a\nb\n", "\"old_text\":\"a\\r\\nb\",\"new_text\":\"x\\r\\ny\"", "x\ny\n", NULL},
	{"a\r\nb\nc\r\n", "\"old_text\":\"b\\nc\",\"new_text\":\"x\\ny\"",
	 "a\r\nx\r\ny\r\n", NULL},
	{"a\nb\nc\r\nd\n", "\"old_text\":\"c\\nd\",\"new_text\":\"x\\ny\"",
	 "a\nb\nx\ny\n", NULL},
	{"a\r\nb\nc", "\"old_text\":\"c\",\"new_text\":\"d\"", "a\r\nb\nd", NULL},
	{"a\rb\r\r\nc", "\"old_text\":\"c\",\"new_text\":\"d\"", "a\rb\r\r\nd", NULL},
	{"\xef\xbb\xbf"
	 "a b",
	 "\"old_text\":\"a\",\"new_text\":\"x\"",
	 "\xef\xbb\xbf"
	 "x b",
	 NULL},
	{"\xef\xbb\xbf"
	 "a b",
	 "\"old_text\":\"\xef\xbb\xbf"
	 "a\",\"new_text\":\"\xef\xbb\xbf"
	 "x\"",
	 "\xef\xbb\xbf"
	 "x b",
	 NULL},
	{"abcdefghijk \xff lmnopqrst", "\"old_text\":\"lmn\",\"new_text\":\"LMN\"",
	 "abcdefghijk \xff LMNopqrst", NULL},
	/* not once */
	{"x\na\nb\nx\nc\nd\nx\n", "\"old_text\":\"x\",\"new_text\":\"y\"", NULL,
	 "old_text occurs 3 times in notes.md (lines 1, 4, 7); give more context, or set "
	 "replace_all"},
	{"aaa", "\"old_text\":\"aa\",\"new_text\":\"y\"", NULL,
	 "old_text occurs 2 times in notes.md (lines 1, 1); give more context, or set "
	 "replace_all"},
	{"1\n1\n1\n1\n1\n1\n1\n1\n1\n1\n1\n1\n", "\"old_text\":\"1\",\"new_text\":\"y\"",
	 NULL,
	 "old_text occurs 12 times in notes.md (lines 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, "
	 "...); "
	 "give more context, or set replace_all"},
	{"a b b",
	 "\"edits\":[{\"old_text\":\"a\",\"new_text\":\"1\"},{\"old_text\":\"b\","
	 "\"new_text\":\"2\"}]",
	 NULL,
	 "edits[1].old_text occurs 2 times in notes.md (lines 1, 1); give more context, "
	 "or "
	 "set replace_all"},
	/* not at all */
	{"alpha\nbeta gamma\ndelta\n", "\"old_text\":\"beta gama\",\"new_text\":\"\"",
	 NULL, "old_text is not in notes.md; the nearest is line 2: \"beta gamma\""},
	{"int main(void)\n{\n\treturn 0;\n}\n",
	 "\"old_text\":\"        return 0;\",\"new_text\":\"\"", NULL,
	 "old_text is not in notes.md; the nearest is line 3: \"\treturn 0;\"; they "
	 "differ in white space only"},
	{"Alpha\n", "\"old_text\":\"alpha\",\"new_text\":\"\"", NULL,
	 "old_text is not in notes.md; the nearest is line 1: \"Alpha\""},
	{"one line\ntwo line\nthree line of text\nfour line\n",
	 "\"old_text\":\"two line\\nthree line of text\\nfive line\",\"new_text\":\"\"",
	 NULL,
	 "old_text is not in notes.md; it is nearest to line 4, \"four line\", where it "
	 "has "
	 "(in its line 3) \"five line\""},
	{"one line\ntwo line\nthree line of text\nfour line\n",
	 "\"old_text\":\"TWO line\\nthree line of text\\nfour\",\"new_text\":\"\"", NULL,
	 "old_text is not in notes.md; it is nearest to line 2, \"two line\", where it "
	 "has "
	 "(in its line 1) \"TWO line\""},
	{"if (x) {\n    y();\n}\n",
	 "\"old_text\":\"if (x) {\\n\\ty();\\n}\",\"new_text\":\"\"", NULL,
	 "old_text is not in notes.md; it is nearest to line 2, \"    y();\", where it "
	 "has "
	 "(in its line 2) \"\ty();\"; they differ in white space only"},
	{"the last line", "\"old_text\":\"the last line\\n\",\"new_text\":\"\"", NULL,
	 "old_text is not in notes.md: it goes on where the file ends, after line 1 (is "
	 "there a line break at the end of the file?)"},
	{"first of all\nthe last line\n",
	 "\"old_text\":\"the last line\\nand more\",\"new_text\":\"\"", NULL,
	 "old_text is not in notes.md; it is nearest to line 3, \"\", where it has (in "
	 "its "
	 "line 2) \"and more\""},
	{"alpha\nbeta\n", "\"old_text\":\"zzzzzz qqqqq\",\"new_text\":\"\"", NULL,
	 "old_text is not in notes.md, nor is a line like \"zzzzzz qqqqq\"; read the "
	 "file "
	 "again"},
	{"", "\"old_text\":\"a\",\"new_text\":\"b\"", NULL,
	 "old_text is not in notes.md, which is empty; use write"},
	{"a b c",
	 "\"edits\":[{\"old_text\":\"a\",\"new_text\":\"1\"},{\"old_text\":\"qqqq\","
	 "\"new_text\":\"2\"}]",
	 NULL,
	 "edits[1].old_text is not in notes.md, nor is a line like \"qqqq\"; read the "
	 "file "
	 "again"},
	/* overlaps and nothing to do */
	{"abc\nxyz",
	 "\"edits\":[{\"old_text\":\"yz\",\"new_text\":\"1\"},{\"old_text\":\"xy\","
	 "\"new_text\":\"2\"}]",
	 NULL, "edits[0] and edits[1] overlap at line 2 of notes.md; make them one"},
	{"abc",
	 "\"edits\":[{\"old_text\":\"b\",\"new_text\":\"1\"},{\"old_text\":\"b\","
	 "\"new_text\":\"2\"}]",
	 NULL, "edits[0] and edits[1] overlap at line 1 of notes.md; make them one"},
	{"abc", "\"old_text\":\"b\",\"new_text\":\"b\"", NULL,
	 "old_text is the same as its new_text; nothing would change"},
	{"a\nb", "\"old_text\":\"a\\n\",\"new_text\":\"a\\r\\n\"", NULL,
	 "old_text is the same as its new_text; nothing would change"},
	{"abc", "\"old_text\":\"\",\"new_text\":\"b\"", NULL,
	 "old_text is empty; give the text that shall be replaced (write replaces a "
	 "whole "
	 "file)"},
	{"abc", "\"edits\":[{\"old_text\":\"\",\"new_text\":\"b\"}]", NULL,
	 "edits[0].old_text is empty; give the text that shall be replaced (write "
	 "replaces "
	 "a whole file)"},
	/* arguments */
	{"abc", "\"old_text\":\"b\"", NULL, "argument 'new_text' is missing"},
	{"abc", "\"new_text\":\"b\"", NULL, "argument 'old_text' is missing"},
	{"abc", "\"edits\":[{\"old_text\":\"b\"}]", NULL,
	 "argument 'edits[0].new_text' is missing"},
	{"abc", "\"edits\":[]", NULL, "edits has 0 elements; it takes 1 to 100"},
	{"abc", "\"edits\":{\"old_text\":\"b\",\"new_text\":\"x\"}", NULL,
	 "argument 'edits' must be an array of {old_text, new_text, replace_all}"},
	{"abc", "\"edits\":[\"b\"]", NULL,
	 "edits[0] must be {old_text, new_text, replace_all}"},
	{"abc", "\"edits\":[{\"oldText\":\"b\",\"newText\":\"x\"}]", NULL,
	 "there is no argument 'oldText'; there are old_text, new_text, replace_all"},
	{"abc", "\"old_string\":\"b\",\"new_string\":\"x\"", NULL,
	 "there is no argument 'old_string'; there are path, edits, old_text, new_text, "
	 "replace_all"},
	{"abc", "\"old_text\":\"b\",\"new_text\":\"x\",\"edits\":[]", NULL,
	 "give either edits, or old_text and new_text, not both"},
	{"abc", "\"old_text\":\"b\",\"new_text\":\"x\",\"replace_all\":\"yes\"", NULL,
	 "argument 'replace_all' must be true or false, it is a string"},
	{"abc", "\"old_text\":7,\"new_text\":\"x\"", NULL,
	 "argument 'old_text' must be a string, it is a number"},
};

static void test_cases(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(strbuf_fini) struct strbuf args = STRBUF_INIT, says = STRBUF_INIT;
		put("notes.md", cases[i].before);
		strbuf_printf(&args, "{\"path\":\"notes.md\",%s}", cases[i].edits);
		strbuf_printf(&says, "edit: %s", cases[i].says ? cases[i].says : "");
		json_t a = ask(FILES_TOOL_edit, args.p);
		if (strcmp(error_of(a), cases[i].says ? says.p : "(no error)") != 0)
			fail_msg("%s\n  said %s\n  not  %s", args.p, error_of(a), says.p);
		const char *want = cases[i].after ? cases[i].after : cases[i].before;
		if (strcmp(got("notes.md"), want) != 0)
			fail_msg("%s\n  made %s\n  not  %s", args.p, got("notes.md"),
				 want);
	}
}

static void test_result(void **state)
{
	(void)state;
	put("f", "a\nb\nc\nb\n");
	assert_int_equal(fchmodat(ws, "f", 0600, 0), 0);
	expect(FILES_TOOL_edit,
	       "{\"path\":\"./f\",\"edits\":[{\"old_text\":\"b\",\"new_text\":\"x\\ny\","
	       "\"replace_all\":true},{\"old_text\":\"c\",\"new_text\":\"\"}]}",
	       "{\"path\":\"f\",\"edits\":[{\"replaced\":2,\"line\":2},{\"replaced\":1,"
	       "\"line\":3}],\"bytes\":11,\"total_lines\":6}");
	assert_string_equal(got("f"), "a\nx\ny\n\nx\ny\n");
	struct stat st;
	assert_int_equal(fstatat(ws, "f", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
}

static void test_files_it_refuses(void **state)
{
	(void)state;
	put("locked", "x");
	assert_int_equal(fchmodat(ws, "locked", 0444, 0), 0);
	put_at(ws, "binary", "x\0y", 3);
	dir_at("dir");
	expect_error(FILES_TOOL_edit,
		     "{\"path\":\"locked\",\"old_text\":\"x\",\"new_text\":\"y\"}",
		     "edit: locked is read-only (mode 0444); it was not changed");
	expect_error(FILES_TOOL_edit,
		     "{\"path\":\"binary\",\"old_text\":\"x\",\"new_text\":\"y\"}",
		     "edit: binary is a binary file; edit works on text");
	expect_error(FILES_TOOL_edit,
		     "{\"path\":\"dir\",\"old_text\":\"x\",\"new_text\":\"y\"}",
		     "edit: dir is a directory, not a file; list_directory shows what it "
		     "holds");
	expect_error(FILES_TOOL_edit,
		     "{\"path\":\"lockd\",\"old_text\":\"x\",\"new_text\":\"y\"}",
		     "edit: there is no lockd; the workspace holds a similar locked");
	int fd = openat(ws, "large", O_WRONLY | O_CREAT, 0644);
	assert_int_equal(ftruncate(fd, (10 << 20) + 1), 0);
	close(fd);
	expect_error(FILES_TOOL_edit,
		     "{\"path\":\"large\",\"old_text\":\"x\",\"new_text\":\"y\"}",
		     "edit: large has 10485761 bytes; edit works on files of at most 10 "
		     "MiB");
	expect_error(FILES_TOOL_edit, "{\"old_text\":\"x\",\"new_text\":\"y\"}",
		     "edit: argument 'path' is missing");
}

static double cpu_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Ten megabytes, in the forms that cost most: the answers come in bounded time. */
static void test_large_files(void **state)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	(void)state;
	while (b.n < (10 << 20) - 100)
		strbuf_printf(&b, "line %zu of a large file with some words in it\r\n",
			      b.n);
	strbuf_add_str(&b, "needle\r\n");
	put_at(ws, "large", b.p, b.n);
	double begin = cpu_s();
	json_t a =
		ask(FILES_TOOL_edit,
		    "{\"path\":\"large\",\"old_text\":\"lines 77777 of the large file\","
		    "\"new_text\":\"\"}");
	assert_non_null(
		strstr(error_of(a), "edit: old_text is not in large; the nearest is"));
	a = ask(FILES_TOOL_edit,
		"{\"path\":\"large\",\"old_text\":\"words\",\"new_text\":\"\"}");
	assert_non_null(strstr(error_of(a), "occurs at least 1000 times"));
	a = ask(FILES_TOOL_edit,
		"{\"path\":\"large\",\"old_text\":\"\\n\",\"new_text\":\"\\n\\n\","
		"\"replace_all\":true}");
	assert_non_null(strstr(error_of(a), "more than 100000 replacements in large"));
	a = ask(FILES_TOOL_edit, "{\"path\":\"large\",\"old_text\":\"it\\nneedle\","
				 "\"new_text\":\"thread\"}");
	assert_int_equal(number_of(a, "bytes"), b.n - 4);
	strbuf_reset(&b); /* one character over and over, and a text that nearly fits */
	char *fill = strbuf_reserve(&b, 10 << 20);
	memset(fill, 'a', 10 << 20);
	put_at(ws, "large", fill, 10 << 20);
	b.n = 0;
	strbuf_add_str(&b, "{\"path\":\"large\",\"new_text\":\"\",\"old_text\":\"");
	for (int i = 0; i < 200; i++)
		strbuf_add_char(&b, i == 100 ? 'b' : 'a');
	strbuf_add_str(&b, "\"}");
	a = ask(FILES_TOOL_edit, b.p);
	assert_non_null(
		strstr(error_of(a), "edit: old_text is not in large, nor is a line"));
	assert_true(cpu_s() - begin < 20); /* with sanitizers, on a busy machine */
}

static void test_result_too_large(void **state)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	(void)state;
	for (int i = 0; i < 50000; i++)
		strbuf_add_str(&b, "x\n");
	put("f", b.p);
	strbuf_reset(&b);
	strbuf_add_str(&b, "{\"path\":\"f\",\"old_text\":\"x\",\"replace_all\":true,"
			   "\"new_text\":\"");
	for (int i = 0; i < 1000; i++)
		strbuf_add_char(&b, 'y');
	strbuf_add_str(&b, "\"}");
	expect_error(FILES_TOOL_edit, b.p, "edit: f would become larger than 20 MiB");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_cases),
		CASE(test_result),
		CASE(test_files_it_refuses),
		CASE(test_large_files),
		CASE(test_result_too_large),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
