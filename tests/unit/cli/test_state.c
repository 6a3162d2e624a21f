/* SPDX-License-Identifier: Apache-2.0
 * Files of the state directory: rights, replacing as a whole, leftovers of a kill. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "cli/state.h"
#include "common/crypto.h"

static char root[] = "/tmp/test-state-XXXXXX";
static char *directory; /* two levels below, not there at first */

static unsigned mode_of(const char *name)
{
	struct stat st;
	char *path = state_path(directory, name);
	assert_int_equal(stat(path, &st), 0);
	free(path);
	return st.st_mode & 0777;
}

static int entries(const char *name)
{
	int n = 0;
	char *path = state_path(directory, name);
	DIR *d = opendir(path);
	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	free(path);
	return n - 2;
}

static void expect(const char *name, const char *text)
{
	char *got = state_read(directory, name);
	assert_non_null(got);
	assert_string_equal(got, text);
	state_forget(&got);
	assert_null(got);
}

static void test_prepare(void **state)
{
	(void)state;
	umask(0);
	assert_int_equal(state_prepare(directory), 0);
	assert_int_equal(mode_of("."), 0700);
	assert_int_equal(mode_of("secrets"), 0700);
	assert_int_equal(entries("."), 1);
	assert_int_equal(entries("secrets"), 0);
	char *secrets = state_path(directory, "secrets");
	assert_int_equal(chmod(secrets, 0755), 0);
	assert_int_equal(state_prepare(directory), 0);
	assert_int_equal(mode_of("secrets"), 0700);
	free(secrets);
	assert_int_equal(state_prepare("/proc/no/such/place"), -1);
}

static void test_write(void **state)
{
	(void)state;
	assert_null(state_read(directory, "secrets/x"));
	assert_int_equal(state_write(directory, "secrets/x", SLICE("one\ntwo\n")), 0);
	assert_int_equal(mode_of("secrets/x"), 0600);
	expect("secrets/x", "one");
	assert_int_equal(state_write(directory, "secrets/x", SLICE("three")), 0);
	expect("secrets/x", "three");
	assert_int_equal(entries("secrets"), 1);
	assert_int_equal(state_write(directory, "secrets/x", SLICE("")), 0);
	assert_null(state_read(directory, "secrets/x"));
	assert_int_equal(state_write(directory, "nowhere/x", SLICE("a")), -1);
}

/* What a killed writer left, or somebody laid out, does not become the secret. */
static void test_leftovers(void **state)
{
	(void)state;
	char *target = state_path(directory, "target");
	char *fresh = state_path(directory, "secrets/y.new");
	assert_int_equal(state_write(directory, "target", SLICE("old")), 0);
	assert_int_equal(symlink(target, fresh), 0);
	assert_int_equal(state_write(directory, "secrets/y", SLICE("new")), 0);
	expect("target", "old");
	expect("secrets/y", "new");
	FILE *f = fopen(fresh, "w");
	fputs("half a secr", f);
	fclose(f);
	chmod(fresh, 0644);
	expect("secrets/y", "new");
	assert_int_equal(state_write(directory, "secrets/y", SLICE("newer")), 0);
	expect("secrets/y", "newer");
	assert_int_equal(mode_of("secrets/y"), 0600);
	free(target);
	free(fresh);
}

/* Before the database's lock lets one of them go on, all of them were here. */
static void test_many_at_once(void **state)
{
	enum { PROCESSES = 8, TIMES = 50 };
	(void)state;
	for (int i = 0; i < PROCESSES; i++) {
		pid_t pid = fork();
		assert_true(pid >= 0);
		for (int n = 0; pid == 0 && n < TIMES; n++)
			if (state_prepare(directory))
				_exit(1);
		if (pid == 0)
			_exit(0);
	}
	for (int i = 0; i < PROCESSES; i++) {
		int status;
		assert_true(wait(&status) > 0);
		assert_int_equal(status, 0);
	}
}

int main(void)
{
	char command[64];
	crypto_init();
	if (!mkdtemp(root))
		return 1;
	directory = state_path(root, "a/b");
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_prepare), cmocka_unit_test(test_write),
		cmocka_unit_test(test_leftovers), cmocka_unit_test(test_many_at_once)};
	int rv = cmocka_run_group_tests(tests, NULL, NULL);
	free(directory);
	snprintf(command, sizeof command, "rm -r %s", root);
	return system(command) ? 1 : rv;
}
