/* SPDX-License-Identifier: Apache-2.0
 * Directories of the machine that a jail may read: there, never writable, and only while
 * they are what was granted. */
#include "jail_case.h"

#include "common/attr.h"

static char tenant[120], node[120];

static void put(const char *dir, const char *name, const char *text)
{
	char path[200];
	snprintf(path, sizeof path, "%s/%s", dir, name);
	int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static struct jail_directory grant_of(const char *path)
{
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	return (struct jail_directory){path, st.st_dev, st.st_ino};
}

static const char *shell_with(struct jail_directory a, struct jail_directory b,
			      const char *script)
{
	char *argv[] = {(char[]){"/bin/bash"}, (char[]){"-c"}, strdup(script), NULL};
	struct jail_spec s = make_spec();
	s.argv = argv;
	s.shared[JAIL_SKILLS_TENANT] = a;
	s.shared[JAIL_SKILLS_NODE] = b;
	run(&s, &said, 20000);
	free(argv[2]);
	if (said.report.kind != JAIL_EXITED)
		fail_msg("%s: kind %u %d %s", script, said.report.kind,
			 said.report.number, said.report.text);
	return said.text;
}

static const struct jail_directory none;

static int make_shared(void **state)
{
	(void)state;
	snprintf(tenant, sizeof tenant, "%s/shared-t", base);
	snprintf(node, sizeof node, "%s/shared-n", base);
	/* The tenant's is its own: nothing but the mount keeps it from writing. */
	if (mkdir(tenant, 0755) || mkdir(node, 0755))
		return -1;
	put(tenant, "f", "of the tenant\n");
	put(node, "f", "of the node\n");
	if (geteuid() == 0) {
		char file[200];
		snprintf(file, sizeof file, "%s/f", tenant);
		if (chown(tenant, TENANT, TENANT) || chown(file, TENANT, TENANT))
			return -1;
	}
	return 0;
}

static int remove_shared(void **state)
{
	char command[400];
	(void)state;
	snprintf(command, sizeof command, "rm -rf %s %s", tenant, node);
	return system(command);
}

static void test_there(void **state)
{
	(void)state;
	assert_string_equal(shell_with(grant_of(tenant), grant_of(node),
				       "cat /skills/tenant/f /skills/node/f; ls /skills"),
			    "of the tenant\nof the node\nnode\ntenant\n");
	assert_string_equal(shell_with(none, grant_of(node), "ls /skills"), "node\n");
	assert_says("ls -d /skills 2>&1", "No such file");
}

static void test_never_written(void **state)
{
	static const char *const attempts[] = {
		"echo x >/skills/tenant/f",
		"echo x >>/skills/tenant/new",
		"rm -f /skills/tenant/f",
		"mv /skills/tenant/f /tmp/f",
		"ln /skills/tenant/f /workspace/f && echo x >/workspace/f",
		"chmod 777 /skills/tenant/f",
		"touch /skills/tenant/f",
		"mkdir /skills/tenant/d",
		"mkdir /skills/mine",
		"rmdir /skills/tenant",
		"mount -o remount,bind,rw /skills/tenant",
		"umount /skills/tenant",
		"truncate -s 0 /skills/tenant/f",
		"echo x >/proc/$$/cwd/../skills/tenant/f",
		"exec 3<>/skills/tenant/f",
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(attempts); i++) {
		char script[400];
		snprintf(
			script, sizeof script,
			"if (%s) 2>/dev/null; then echo done; else echo refused; fi; cat "
			"/skills/tenant/f",
			attempts[i]);
		const char *got = shell_with(grant_of(tenant), none, script);
		if (strcmp(got, "refused\nof the tenant\n") != 0)
			fail_msg("%s: %s", attempts[i], got);
	}
}

/* Another directory of its name, a link, none at all: it is left out, and the jail is as
 * good as ever. */
static void test_only_what_was_granted(void **state)
{
	char away[130];
	struct jail_directory g = grant_of(tenant);
	(void)state;
	snprintf(away, sizeof away, "%s.away", tenant);
	const char *script = "ls /skills/tenant 2>/dev/null; echo up";
	assert_int_equal(rename(tenant, away), 0);
	assert_string_equal(shell_with(g, none, script), "up\n");
	assert_int_equal(mkdir(tenant, 0755), 0);
	put(tenant, "other", "x");
	assert_string_equal(shell_with(g, none, script), "up\n");
	char file[140];
	snprintf(file, sizeof file, "%s/other", tenant);
	assert_int_equal(unlink(file), 0);
	assert_int_equal(rmdir(tenant), 0);
	assert_int_equal(symlink(away, tenant), 0);
	assert_string_equal(shell_with(g, none, script), "up\n");
	assert_int_equal(unlink(tenant), 0);
	assert_int_equal(rename(away, tenant), 0);
	assert_string_equal(shell_with(g, none, script), "f\nup\n");
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, make_shared, remove_shared)

static int all(const char *name)
{
	const struct CMUnitTest tests[] = {
		CASE(test_there),
		CASE(test_never_written),
		CASE(test_only_what_was_granted),
	};
	int failed = 0;
	if (jail_begin())
		return 1;
	for (int spare = 0; spare < 2; spare++) {
		from_spare = spare;
		failed += cmocka_run_group_tests_name(name, tests, NULL, NULL);
	}
	return failed + jail_finish(NULL);
}

int main(void)
{
	return in_both_modes(all);
}
