/* SPDX-License-Identifier: Apache-2.0
 * What a kernel that refuses a jail comes to: a sentence that names the setting. And the
 * birth into a control group of v2, which needs no controllers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "sandbox/cgroup/cgroup.h"
#include "sandbox/jail/jail.h"

#define NOBODY 65534

/* What a process says of a jail that it cannot have, after `spoil` (0: it did). */
static const char *refusal(enum jail_identity identity, int (*spoil)(void))
{
	static char said[400];
	int ends[2];
	assert_int_equal(pipe(ends), 0);
	pid_t child = fork();
	if (child == 0) {
		struct jail_host h = {.identity = identity};
		struct jail j;
		char err[300] = "it was made";
		if (spoil())
			snprintf(err, sizeof err, "not to be tried here: %s",
				 strerror(errno));
		else if (jail_birth(&h, NULL, &j, err, sizeof err) == 0)
			jail_kill(&j);
		_exit(write(ends[1], err, strlen(err)) < 0);
	}
	close(ends[1]);
	ssize_t n = read(ends[0], said, sizeof said - 1);
	said[n > 0 ? n : 0] = 0;
	close(ends[0]);
	waitpid(child, NULL, 0);
	return said;
}

static void expect(const char *said, const char *cause, const char *setting)
{
	if (strstr(said, "not to be tried")) {
		print_message("%s\n", said);
		return;
	}
	if (!strstr(said, cause) || !strstr(said, setting))
		fail_msg("%s", said);
}

static int put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	ssize_t n = fd < 0 ? -1 : write(fd, text, strlen(text));
	close(fd);
	return n < 0 ? -1 : 0;
}

static int leave_root(void)
{
	return geteuid() ? 0 : setresuid(NOBODY, NOBODY, NOBODY);
}

static int switch_off_user_namespaces(void)
{
	char map[32];
	unsigned uid = geteuid() ? geteuid() : NOBODY;
	if (leave_root() || unshare(CLONE_NEWUSER))
		return -1;
	snprintf(map, sizeof map, "0 %u 1", uid);
	put("/proc/self/uid_map", map);
	return put("/proc/sys/user/max_user_namespaces", "0");
}

static int leave_no_process(void)
{
	return leave_root() || setrlimit(RLIMIT_NPROC, &(struct rlimit){0, 0});
}

static int leave_admin(void)
{
	struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct none[2];
	memset(none, 0, sizeof none);
	return (int)syscall(SYS_capset, &head, none);
}

static void test_refusals(void **state)
{
	(void)state;
	expect(refusal(JAIL_USER_NAMESPACE, switch_off_user_namespaces),
	       strerrordesc_np(ENOSPC), "user.max_user_namespaces");
	expect(refusal(JAIL_USER_NAMESPACE, leave_no_process), strerrordesc_np(EAGAIN),
	       "LimitNPROC=");
	expect(refusal(JAIL_SWITCH_UID, leave_admin), strerrordesc_np(EPERM),
	       "CAP_SYS_ADMIN");
}

static void test_into_a_group(void **state)
{
	char path[CGROUP_PATH + 32], file[64], text[4096], err[300];
	struct cgroup_places own;
	(void)state;
	cgroup_find("/proc/self", &own);
	snprintf(path, sizeof path, "%s/tb-birth-%d", own.unified, (int)getpid());
	if (!*own.unified || mkdir(path, 0755)) {
		print_message("no group of cgroup v2 can be made here\n");
		return;
	}
	static struct jail_host host;
	struct jail j;
	struct jail_report r;
	jail_host_prepare(&host);
	struct cgroup_way g = {.into = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
			       .join = {-1, -1}};
	assert_true(jail_group_works(&host, &g, err, sizeof err));
	assert_int_equal(jail_birth(&host, &g, &j, err, sizeof err), 0);
	snprintf(file, sizeof file, "/proc/%d/cgroup", (int)j.guard);
	int fd = open(file, O_RDONLY);
	ssize_t n = read(fd, text, sizeof text - 1);
	text[n > 0 ? n : 0] = 0;
	close(fd);
	jail_kill(&j);
	jail_wait(&j, &r);
	close(g.into);
	assert_int_equal(rmdir(path), 0); /* nobody is left in it */
	assert_non_null(strstr(text, strrchr(path, '/')));
	/* One that is not there, or cannot be joined. */
	g.into = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_false(jail_group_works(&host, &g, err, sizeof err));
	close(g.into);
	g.into = -1;
	g.join[0] = open("/dev/full", O_WRONLY | O_CLOEXEC);
	assert_false(jail_group_works(&host, &g, err, sizeof err));
	assert_non_null(strstr(err, "join the control group"));
	close(g.join[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_into_a_group),
	};
	signal(SIGPIPE, SIG_IGN); /* as a launcher: a guard may end before its release */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
