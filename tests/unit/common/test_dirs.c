/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/dirs.h"

static char base[] = "/tmp/tb-dirs-XXXXXX";
static int at;

static int lowest_free(void)
{
	int fd = open("/dev/null", O_RDONLY);
	close(fd);
	return fd;
}

static void test_empty(void **state)
{
	(void)state;
	assert_true(dir_is_empty(at));
	assert_int_equal(mkdirat(at, "..x", 0700), 0);
	assert_false(dir_is_empty(at));
	int path_only = openat(at, "..x", O_PATH | O_DIRECTORY);
	assert_true(dir_is_empty(path_only));
	close(path_only);
	assert_false(dir_is_empty(-1));
}

static void test_what_is_no_directory(void **state)
{
	int before = lowest_free();
	(void)state;
	close(openat(at, "file", O_CREAT | O_WRONLY, 0600));
	assert_int_equal(symlinkat("..x", at, "link"), 0);
	assert_null(dir_open(at, "file"));
	assert_int_equal(errno, ENOTDIR);
	assert_null(dir_open(at, "link"));
	assert_null(dir_open(at, "missing"));
	assert_int_equal(errno, ENOENT);
	assert_null(dir_of(openat(at, "missing", O_RDONLY)));
	assert_int_equal(errno, ENOENT);
	/* taken over, although it is none */
	assert_null(dir_of(openat(at, "file", O_RDONLY)));
	assert_int_equal(errno, ENOTDIR);
	assert_int_equal(lowest_free(), before);
}

static void test_names(void **state)
{
	unsigned dots = 0, others = 0;
	(void)state;
	DIR *d = dir_open(at, ".");
	assert_non_null(d);
	for (const struct dirent *e; (e = readdir(d));)
		*(dir_is_dots(e->d_name) ? &dots : &others) += 1;
	closedir(d);
	assert_int_equal(dots, 2);
	assert_int_equal(others, 3);
}

static int setup(void **state)
{
	(void)state;
	if (!mkdtemp(base))
		return -1;
	at = open(base, O_RDONLY | O_DIRECTORY);
	return at < 0;
}

static int teardown(void **state)
{
	char command[64];
	(void)state;
	close(at);
	snprintf(command, sizeof command, "rm -rf %s", base);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_empty),
					   cmocka_unit_test(test_what_is_no_directory),
					   cmocka_unit_test(test_names)};
	return cmocka_run_group_tests(tests, setup, teardown);
}
