/* SPDX-License-Identifier: Apache-2.0
 * Versions of files: what makes another one, and what a request may mean. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "sandbox/files/files_tag.h"

static struct stat file(ino_t inode, off_t size, long nanoseconds)
{
	return (struct stat){.st_mode = S_IFREG | 0644,
			     .st_ino = inode,
			     .st_size = size,
			     .st_ctim = {.tv_sec = 1796000000, .tv_nsec = nanoseconds}};
}

static void test_what_makes_another(void **state)
{
	(void)state;
	const struct stat all[] = {file(1, 2, 3), file(2, 2, 3), file(1, 3, 3),
				   file(1, 2, 4), file(0x12, 0x3, 3)};
	char tag[5][FILES_TAG_BYTES];
	for (int i = 0; i < 5; i++) {
		files_tag(&all[i], tag[i]);
		for (int k = 0; k < i; k++)
			assert_string_not_equal(tag[i], tag[k]);
	}
	struct stat most = file((ino_t)-1, INT64_MAX, 999999999);
	most.st_ctim.tv_sec = 4000000000;
	files_tag(&most, tag[0]);
	assert_true(strlen(tag[0]) < FILES_TAG_BYTES - 1);
}

static bool fits(const char *line, const struct stat *st)
{
	struct json_doc *d = json_parse(slice_str(line), 1000, NULL, 0);
	struct files_transfer t = {.args = json_root(d), .path = SLICE("a")};
	bool yes = files_tag_fits(&t, st);
	assert_int_equal(t.is_stale, !yes);
	assert_int_equal(t.why.text[0] != 0, !yes);
	json_free(d);
	return yes;
}

static void test_what_is_meant(void **state)
{
	(void)state;
	struct stat st = file(0xab, 0x10, 5), folder = {.st_mode = S_IFDIR | 0755};
	char tag[FILES_TAG_BYTES], line[100];
	files_tag(&st, tag);
	snprintf(line, sizeof line, "{\"ifMatch\":\"%s\"}", tag);
	assert_true(fits(line, &st));
	assert_false(fits(line, NULL));
	assert_false(fits(line, &folder));
	st.st_size++;
	assert_false(fits(line, &st));
	assert_true(fits("{}", &st));
	assert_true(fits("{}", NULL));
	assert_true(fits("{\"ifMatch\":\"0\"}", NULL));
	assert_false(fits("{\"ifMatch\":\"0\"}", &st));
	assert_true(fits("{\"ifMatch\":\"*\"}", &st));
	assert_true(fits("{\"ifMatch\":\"*\"}", &folder));
	assert_false(fits("{\"ifMatch\":\"*\"}", NULL));
	assert_false(fits("{\"ifMatch\":\"\"}", &st));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_what_makes_another),
					   cmocka_unit_test(test_what_is_meant)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
