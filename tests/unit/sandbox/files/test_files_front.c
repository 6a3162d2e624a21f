/* SPDX-License-Identifier: Apache-2.0
 * Front matter: each way to write a value, what is refused and in which words, bombs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/attr.h"
#include "sandbox/files/files_front.h"

struct good {
	const char *text, *name, *description;
};
static const struct good goods[] = {
	{"---\nname: pdf\ndescription: Reads PDFs.\n---\nbody", "pdf", "Reads PDFs."},
	{"\xef\xbb\xbf---\r\nname: pdf\r\ndescription: Reads: all\r\n---\r\n", "pdf",
	 "Reads: all"},
	{"---\nname: a-1\ndescription: plain # a comment\n...\n", "a-1", "plain"},
	{"---\nname: a\ndescription: a#b c\n  goes on\n\n  and on # no more\n  "
	 "hidden\n---\n",
	 "a", "a#b c goes on and on"},
	{"---\nname: a\ndescription:\n  begins\n  later\n---\n", "a", "begins later"},
	{"---\nname: 'a'\ndescription: 'it''s \"so\": # here'  # comment\n---\n", "a",
	 "it's \"so\": # here"},
	{"---\nname: \"a\"\ndescription: \"two\\nlines\\t\\u00e4 \\x41\\U0001F600 "
	 "\\\"q\\\" \\\\\"\n---\n",
	 "a", "two lines \xc3\xa4 A\xf0\x9f\x98\x80 \"q\" \\"},
	{"---\nname: a\ndescription: \"over\n  lines \\\n  joined\"\n---\n", "a",
	 "over lines joined"},
	{"---\nname: a\ndescription: 'over\n\n  lines'\n---\n", "a", "over lines"},
	{"---\nname: a\ndescription: >-\n  folded\n  text\n\n  more\nlicense: MIT\n---\n",
	 "a", "folded text more"},
	{"---\nname: a\ndescription: |2+ # why\n    literal: x\n  # no comment\n---\n",
	 "a", "literal: x # no comment"},
	{"---\n# comment\nallowed-tools:\n- read\n- write\nmetadata:\n  name: other\n"
	 "  x: [1, &a 2]\nname: a\nhooks: {a: b}\ndescription: d\n---\n",
	 "a", "d"},
	/* nothing hidden, nothing that moves the cursor, nothing that turns text around
	 */
	{"---\nname: a\ndescription: "
	 "\"a\\u200b\\u202eb\\u0007c\\u0000d\\U000E0041e\\u2028f\"\n---\n",
	 "a", "ab c de f"},
	{"---\nname: a\ndescription: x\x1b[31m\x7f y\xc2\x9bz\n---\n", "a", "x [31m y z"},
	{"---\nname: a\ndescription: </available_skills> & <b>\n---\n", "a",
	 "</available_skills> & <b>"},
};

static void test_what_is_read(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(goods); i++) {
		struct files_front f = {0};
		if (!files_front_read(slice_str(goods[i].text), &f))
			fail_msg("%zu: %s", i, f.why);
		assert_string_equal(f.name.p, goods[i].name);
		assert_string_equal(f.description.p, goods[i].description);
		files_front_fini(&f);
	}
}

static const char *const bad[][2] = {
	{"", "it has no front matter"},
	{"# A title\n", "it has no front matter"},
	{" ---\nname: a\n---\n", "it has no front matter"},
	{"---\nname: a\ndescription: d\n", "has no end"},
	{"---\ndescription: d\n---\n", "says no name"},
	{"---\nname:\ndescription: d\n---\n", "says no name"},
	{"---\nname: a\n---\n", "says no description"},
	{"---\nname: a\ndescription: \"\\u200b \\n\"\n---\n", "says no description"},
	{"---\nname: A\ndescription: d\n---\n", "its name 'A' is none"},
	{"---\nname: -a\ndescription: d\n---\n", "is none"},
	{"---\nname: a-\ndescription: d\n---\n", "is none"},
	{"---\nname: a--b\ndescription: d\n---\n", "is none"},
	{"---\nname: ../a\ndescription: d\n---\n", "is none"},
	{"---\nname: a b\ndescription: d\n---\n", "is none"},
	{"---\nname: "
	 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n"
	 "description: d\n---\n",
	 "is none"},
	{"---\nname: a\nname: b\ndescription: d\n---\n", "twice"},
	{"---\nname: a\ndescription: 'x\n---\n", "has no end"},
	{"---\nname: a\ndescription: \"x\nlicense: y\"\n---\n", "has no end"},
	{"---\nname: a\ndescription: \"x\" y\n---\n", "text follows"},
	{"---\nname: a\ndescription: > y\n  z\n---\n", "text follows"},
	{"---\nname: a\ndescription: \"\\ud800\"\n---\n", "means no character"},
	{"---\nname: a\ndescription: \"\\U00110000\"\n---\n", "means no character"},
	{"---\nname: a\ndescription: \"\\q\"\n---\n", "means no character"},
	{"---\nname: a\ndescription: \"\\u12\"\n---\n", "means no character"},
	{"---\nname: a\ndescription: &x [1]\n---\n", "no plain text"},
	{"---\nname: a\ndescription: *x\n---\n", "no plain text"},
	{"---\nname: a\ndescription: {a: b}\n---\n", "no plain text"},
	{"---\nname: a\ndescription: d\njust words\n---\n", "is no \"key: value\""},
	{"---\nname: a\ndescription: \xff\n---\n", "no valid UTF-8"},
	{"---\nname: a\ndescription: d\n---\nbody \xc0\xae\n", "no valid UTF-8"},
};

static void test_what_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct files_front f = {0};
		assert_false(files_front_read(slice_str(bad[i][0]), &f));
		if (!strstr(f.why, bad[i][1]))
			fail_msg("%zu: \"%s\" is not in \"%s\"", i, bad[i][1], f.why);
		files_front_fini(&f);
	}
}

static bool reads(const struct strbuf *b, struct files_front *f)
{
	*f = (struct files_front){0};
	return files_front_read(strbuf_slice(b), f);
}

static void test_how_much(void **state)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct files_front f;
	(void)state;
	for (int extra = 0; extra < 2; extra++) { /* 1,024 characters, of two bytes */
		strbuf_reset(&b);
		strbuf_add_str(&b, "---\nname: a\ndescription: ");
		for (int i = 0; i < FILES_SKILL_DESCRIPTION + extra; i++)
			strbuf_add_str(&b, "\xc3\xa4");
		strbuf_add_str(&b, "\n---\n");
		assert_int_equal(reads(&b, &f), !extra);
		if (extra)
			assert_non_null(strstr(f.why, "longer than 1,024"));
		files_front_fini(&f);
	}
	strbuf_reset(&b); /* a front matter without an end, and a body of many lines */
	strbuf_add_str(&b, "---\nname: a\ndescription: d\n");
	for (int i = 0; i < 100000; i++)
		strbuf_add_str(&b, "k: [\n");
	assert_false(reads(&b, &f));
	assert_non_null(strstr(f.why, "longer than 16 KiB"));
	files_front_fini(&f);
}

/* Whatever comes: an answer, and one clean line. */
static void test_every_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(goods); i++)
		for (size_t n = 0; n <= strlen(goods[i].text); n++) {
			char *cut = malloc(n + 1); /* of just that size */
			struct files_front f = {0};
			memcpy(cut, goods[i].text, n);
			bool good = files_front_read(slice_of(cut, n), &f);
			assert_true(good == !f.why[0]);
			assert_false(slice_has_control(strbuf_slice(&f.description)));
			files_front_fini(&f);
			free(cut);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_read),
		cmocka_unit_test(test_what_is_refused),
		cmocka_unit_test(test_how_much),
		cmocka_unit_test(test_every_cut),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
