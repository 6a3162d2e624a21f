/* SPDX-License-Identifier: Apache-2.0
 * Counting and removing: figures, limits, depth, locked directories, links. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <fcntl.h>
#include <unistd.h>
#include <cmocka.h>

#include "sandbox/tree/tree.h"

static char home[] = "/tmp/tb-tree-XXXXXX";
static int top;

static int setup(void **state)
{
	(void)state;
	strcpy(home + strlen(home) - 6, "XXXXXX");
	if (!mkdtemp(home) || (top = open(home, O_RDONLY | O_DIRECTORY)) < 0)
		abort();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	tree_empty(top, NULL);
	close(top);
	return rmdir(home);
}

static void put(const char *path, size_t bytes)
{
	char block[4096];
	int fd = openat(top, path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	assert_true(fd >= 0);
	memset(block, 'x', sizeof block);
	for (; bytes >= sizeof block; bytes -= sizeof block)
		assert_int_equal(write(fd, block, sizeof block), sizeof block);
	close(fd);
}

static struct tree_sum count(uint64_t most)
{
	struct tree_sum s;
	tree_count(top, most, &s);
	return s;
}

/* Levels of "d" from where we stand. */
static void dig(unsigned levels)
{
	int at = dup(top);
	for (unsigned i = 0; i < levels; i++) {
		assert_int_equal(mkdirat(at, "d", 0700), 0);
		int next = openat(at, "d", O_RDONLY | O_DIRECTORY);
		assert_true(next >= 0);
		close(at);
		at = next;
	}
	close(at);
}

static void test_bytes_and_files(void **state)
{
	(void)state;
	assert_int_equal(mkdirat(top, "a", 0700), 0);
	put("a/f", 1 << 20);
	assert_int_equal(symlinkat("/usr", top, "link"), 0);
	struct tree_sum one = count(100);
	assert_int_equal(one.files, 3);
	assert_true(one.bytes >= 1 << 20 && one.bytes < (1 << 20) + 65536);
	/* Two names of one file are not twice its bytes. */
	assert_int_equal(linkat(top, "a/f", top, "second", 0), 0);
	struct tree_sum two = count(100);
	assert_int_equal(two.files, 4);
	assert_true(two.bytes >= one.bytes - 16 && two.bytes <= one.bytes);
	assert_false(two.stopped || two.too_deep || two.closed);
}

static void test_it_stops(void **state)
{
	char name[16];
	(void)state;
	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof name, "f%d", i);
		put(name, 0);
	}
	struct tree_sum s = count(100);
	assert_true(s.stopped);
	assert_int_equal(s.files, 101);
	s = count(300);
	assert_false(s.stopped);
	assert_int_equal(s.files, 300);
}

static void test_depth(void **state)
{
	(void)state;
	dig(TREE_DEPTH_MOST);
	assert_false(count(1000).too_deep);
	assert_int_equal(count(1000).files, TREE_DEPTH_MOST);
	assert_int_equal(tree_empty(top, NULL), 0);
	dig(TREE_DEPTH_MOST + 1);
	assert_true(count(1000).too_deep);
}

static void test_what_is_locked(void **state)
{
	(void)state;
	if (geteuid() == 0) { /* whom no mode stops */
		assert_int_equal(chown(home, 65534, 65534), 0);
		assert_int_equal(seteuid(65534), 0);
	}
	assert_int_equal(mkdirat(top, "l", 0700), 0);
	assert_int_equal(mkdirat(top, "l/m", 0700), 0);
	put("l/m/f", 0);
	assert_int_equal(fchmodat(top, "l/m", 0, 0), 0);
	assert_int_equal(fchmodat(top, "l", 0, 0), 0);
	struct tree_sum s = count(100);
	assert_int_equal(s.files, 3);
	assert_false(s.closed);
	assert_int_equal(fchmodat(top, "l/m", 0, 0), 0);
	assert_int_equal(fchmodat(top, "l", 0, 0), 0);
	uint64_t removed;
	assert_int_equal(tree_empty(top, &removed), 0);
	assert_int_equal(removed, 3);
	if (getuid() == 0)
		assert_int_equal(seteuid(0), 0);
}

/* No path to its end is short enough for the kernel, no stack deep enough. */
static void test_removal_of_any_depth(void **state)
{
	uint64_t removed;
	(void)state;
	dig(5000);
	put("d/f", 0);
	assert_int_equal(tree_empty(top, &removed), 0);
	assert_int_equal(removed, 5001);
	assert_int_equal(count(10).files, 0);
}

static void test_links_are_not_followed(void **state)
{
	char outside[] = "/tmp/tb-kept-XXXXXX", kept[64];
	(void)state;
	assert_non_null(mkdtemp(outside));
	snprintf(kept, sizeof kept, "%s/f", outside);
	close(open(kept, O_WRONLY | O_CREAT, 0600));
	assert_int_equal(mkdirat(top, "a", 0700), 0);
	assert_int_equal(symlinkat(outside, top, "link"), 0);
	assert_int_equal(symlinkat(outside, top, "a/link"), 0);
	assert_int_equal(mkfifoat(top, "a/pipe", 0600), 0);
	assert_int_equal(count(100).files, 4);
	assert_int_equal(tree_empty(top, NULL), 0);
	assert_int_equal(access(kept, F_OK), 0);
	unlink(kept);
	rmdir(outside);
}

/* Names that a removal gives itself may be there, of one that was cut short. */
static void test_it_goes_on(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		char name[32];
		snprintf(name, sizeof name, ".gone-%x", i);
		assert_int_equal(mkdirat(top, name, 0700), 0);
		snprintf(name, sizeof name, ".gone-%x/d", i);
		assert_int_equal(mkdirat(top, name, 0700), 0);
		snprintf(name, sizeof name, ".gone-%x/d/f", i);
		put(name, 0);
	}
	assert_int_equal(tree_empty(top, NULL), 0);
	assert_int_equal(count(10).files, 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {T(test_bytes_and_files),
					   T(test_it_stops),
					   T(test_depth),
					   T(test_what_is_locked),
					   T(test_removal_of_any_depth),
					   T(test_links_are_not_followed),
					   T(test_it_goes_on)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
