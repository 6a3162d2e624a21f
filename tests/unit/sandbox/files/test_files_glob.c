/* SPDX-License-Identifier: Apache-2.0
 * Patterns of names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "common/attr.h"
#include "sandbox/files/files_glob.h"

static const struct {
	const char *pattern, *path;
	bool fits;
} cases[] = {
	{"", "", true},
	{"", "a", false},
	{"a", "a", true},
	{"a", "A", false},
	{"*", "abc", true},
	{"*", "", true},
	{"*.c", "a.c", true},
	{"*.c", ".c", true},
	{"*.c", "a.h", false},
	{"*.c", "a.cc", false},
	{"a*b*c", "aXbYc", true},
	{"a*b*c", "acb", false},
	{"?", "a", true},
	{"?", "", false},
	{"?", "ab", false},
	{"?", "\xc3\xa9", true}, /* one character */
	{"??", "\xc3\xa9", false},
	{"?x", "\xf0\x9f\x98\x80x", true},
	{"[abc]", "b", true},
	{"[a-c]x", "bx", true},
	{"[!a-c]x", "bx", false},
	{"[^a-c]x", "dx", true},
	{"[]]", "]", true},
	{"[!]]", "]", false},
	{"[a-]", "-", true},
	{"[", "[", true},
	{"[abc", "[abc", true},
	{"\\*", "*", true},
	{"\\*", "x", false},
	{"\\", "\\", true},
	/* paths */
	{"src/*.c", "src/a.c", true},
	{"src/*.c", "src/x/a.c", false},
	{"src/?.c", "src//.c", false},
	{"src/[!x].c", "src//.c", false},
	{"**/*.c", "a.c", true},
	{"**/*.c", "x/y/a.c", true},
	{"src/**/*.c", "src/a.c", true},
	{"src/**/*.c", "src/x/y/a.c", true},
	{"src/**/*.c", "srcx/a.c", false},
	{"src/**", "src/x/y", true},
	{"src/**", "src", false},
	{"**", "a/b/c", true},
	{"**/x/**/y", "a/x/b/c/y", true},
	{"**/x/**/y", "x/y", true},
	{"**/x/**/y", "ax/y", false},
	{"a**b", "aXXb", true},
	{"a**b", "aX/Xb", false},
	/* alternatives */
	{"*.{c,h}", "a.h", true},
	{"*.{c,h}", "a.o", false},
	{"{a,b{c,d}}x", "bdx", true},
	{"{a,b{c,d}}x", "bx", false},
	{"{a,}x", "x", true},
	{"{a}", "{a}", true},
	{"{a", "{a", true},
	{"a}", "a}", true},
	{"./src/*.c", "src/a.c", true},
};

static void test_cases(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(files_globs_fini) struct files_globs g;
		struct files_why why;
		struct slice path = slice_str(cases[i].path);
		assert_true(files_globs_init(&g, slice_str(cases[i].pattern), &why));
		g.by_path = true;
		if (files_globs_match(&g, path, path) != cases[i].fits)
			fail_msg("%s on %s", cases[i].pattern, cases[i].path);
	}
}

static void test_names_and_paths(void **state)
{
	struct files_globs g;
	struct files_why why;
	(void)state;
	assert_true(files_globs_init(&g, SLICE("*.c"), &why));
	assert_true(files_globs_match(&g, SLICE("x/a.c"), SLICE("a.c")));
	files_globs_fini(&g);
	assert_true(files_globs_init(&g, SLICE("y/*.c"), &why));
	assert_false(files_globs_match(&g, SLICE("x/a.c"), SLICE("a.c")));
	files_globs_fini(&g);
}

static void test_limits(void **state)
{
	char text[400];
	struct files_globs g;
	struct files_why why;
	(void)state;
	memset(text, '*', sizeof text);
	assert_false(files_globs_init(&g, slice_of(text, 257), &why));
	assert_string_equal(why.text, "the glob is longer than 256 bytes");
	files_globs_fini(&g);
	assert_false(
		files_globs_init(&g, SLICE("{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}"), &why));
	assert_string_equal(why.text, "the glob has more than 64 alternatives");
	files_globs_fini(&g);
	memset(text, '{', sizeof text);
	text[255] = ',';
	assert_true(files_globs_init(&g, slice_of(text, 256), &why));
	files_globs_fini(&g);
}

/* What costs a matcher that goes back longer than the universe lasts. */
static void test_no_going_back(void **state)
{
	struct files_globs g;
	struct files_why why;
	char path[4000];
	clock_t begin = clock();
	(void)state;
	memset(path, 'a', sizeof path);
	assert_true(files_globs_init(&g,
				     SLICE("**/*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*"
					   "a*a*a*a*a*a*a*a*a*a*b"),
				     &why));
	assert_false(files_globs_match(&g, slice_of(path, sizeof path),
				       slice_of(path, sizeof path)));
	assert_true(clock() - begin < 2 * CLOCKS_PER_SEC);
	files_globs_fini(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_names_and_paths),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_no_going_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
