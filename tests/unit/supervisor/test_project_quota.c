/* SPDX-License-Identifier: Apache-2.0
 * Project quotas: on a file system that has them, made for the test; the choice where
 * there is none, everywhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/disk_quota.h"
#include "supervisor/project_quota.h"

static char home[] = "/tmp/tb-quota-XXXXXX";

static void test_none(void **state)
{
	(void)state;
	int proc = open("/proc", O_RDONLY | O_DIRECTORY);
	assert_true(proc >= 0);
	assert_int_equal(disk_quota_kind(proc), DISK_QUOTA_NONE);
	assert_int_equal(project_quota_set(proc, 1 << 20, 100), PROJECT_QUOTA_NONE);
	close(proc);
}

static int run(const char *format)
{
	char command[400];
	snprintf(command, sizeof command, format, home, home);
	return system(command);
}

static int fill(int dir, size_t bytes)
{
	static char block[65536];
	int fd = openat(dir, "f", O_WRONLY | O_CREAT, 0600), error = 0;
	while (bytes && !error) {
		ssize_t n = write(fd, block, sizeof block);
		error = n < 0 ? errno : 0;
		bytes -= n > 0 ? (size_t)n : 0;
	}
	error = error ? error : fsync(fd) ? errno : 0;
	close(fd);
	return error;
}

static int make(const char *name, uid_t owner)
{
	char path[128];
	snprintf(path, sizeof path, "%s/m/%s", home, name);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(chown(path, owner, owner), 0);
	return open(path, O_RDONLY | O_DIRECTORY);
}

/* A directory that comes after a removed one has its inode, from which numbers are
 * chosen, and the limits of that one are still known to the file system. */
static void check_numbers_come_back(void)
{
	char path[128];
	snprintf(path, sizeof path, "%s/m/again", home);
	for (int i = 0; i < 100; i++) {
		int dir = make("again", 65534);
		assert_int_equal(project_quota_set(dir, 1 << 20, 10), PROJECT_QUOTA_SET);
		close(dir);
		assert_int_equal(rmdir(path), 0);
	}
	/* One beside another has limits of its own. */
	int one = make("one", 65534), two = make("two", 65534);
	assert_int_equal(project_quota_set(one, 1 << 20, 10), PROJECT_QUOTA_SET);
	assert_int_equal(project_quota_set(two, 1 << 20, 10), PROJECT_QUOTA_SET);
	assert_int_equal(seteuid(65534), 0);
	assert_int_equal(fill(one, 2 << 20), EDQUOT);
	assert_int_equal(fill(two, 1 << 19), 0);
	assert_int_equal(seteuid(0), 0);
	/* One that holds files of no project is not made one. */
	int old = make("old", 65534);
	assert_int_equal(fill(old, 65536), 0);
	assert_int_equal(project_quota_set(old, 1 << 20, 10), PROJECT_QUOTA_NONE);
	close(old);
	close(two);
	close(one);
}

static void test_the_kernel_counts(void **state)
{
	char path[128], name[32];
	(void)state;
	if (geteuid() != 0 || !mkdtemp(home) ||
	    run("truncate -s 64M %s/i && mkfs.ext4 -q -O quota,project %s/i") ||
	    run("mkdir %s/m") || run("mount -o loop,prjquota %s/i %s/m 2>/dev/null")) {
		print_message("SKIPPED: this machine mounts no ext4 with project quotas "
			      "(needs root, loop devices, CONFIG_QFMT_V2): they are not "
			      "tested here\n");
		run("rm -rf %s");
		skip();
	}
	snprintf(path, sizeof path, "%s/m/w", home);
	assert_int_equal(mkdir(path, 0700), 0);
	int dir = open(path, O_RDONLY | O_DIRECTORY);
	assert_int_equal(disk_quota_kind(dir), DISK_QUOTA_PROJECT);
	assert_int_equal(project_quota_set(dir, 4 << 20, 20), PROJECT_QUOTA_SET);
	/* Also for somebody who is not root, whom no quota binds. */
	assert_int_equal(fchown(dir, 65534, 65534), 0);
	assert_int_equal(seteuid(65534), 0);
	assert_int_equal(fill(dir, 8 << 20), EDQUOT);
	unlinkat(dir, "f", 0);
	assert_int_equal(fill(dir, 1 << 20), 0);
	int error = 0;
	for (int i = 0; i < 30 && !error; i++) {
		snprintf(name, sizeof name, "n%d", i);
		int fd = openat(dir, name, O_WRONLY | O_CREAT, 0600);
		error = fd < 0 ? errno : 0;
		close(fd);
	}
	assert_int_equal(error, EDQUOT);
	assert_int_equal(seteuid(0), 0);
	/* The limits follow what is asked; the project stays. */
	assert_int_equal(project_quota_set(dir, 16 << 20, 100), PROJECT_QUOTA_SET);
	assert_int_equal(seteuid(65534), 0);
	assert_int_equal(fill(dir, 8 << 20), 0);
	assert_int_equal(seteuid(0), 0);
	close(dir);
	check_numbers_come_back();
	run("umount %s/m");
	run("rm -rf %s");
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_none),
					   cmocka_unit_test(test_the_kernel_counts)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
