/* SPDX-License-Identifier: Apache-2.0
 * What a role sees, and what is left of its rights: asked from inside, as root and as an
 * ordinary user. Each question is a child that prepares itself as a worker; its exit
 * status is the answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netdb.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/attr.h"
#include "sandbox/privileges.h"
#include "sandbox/sandbox.h"

#define OTHER 65534 /* the ordinary user of the second round */

static char base[64]; /* base/db: a directory of sockets; base/db/l: others' */

static void name(char out[108], const char *below)
{
	snprintf(out, 108, "%s/%s", base, below);
}

static void listen_at(const char *below)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	name(a.sun_path, below);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(chmod(a.sun_path, 0666), 0);
}

static bool connects(const char *below)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	name(a.sun_path, below);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool good = connect(fd, (struct sockaddr *)&a, sizeof a) == 0;
	close(fd);
	return good;
}

static int setup(void **state)
{
	char path[108];
	(void)state;
	snprintf(base, sizeof base, "/tmp/tbviewXXXXXX");
	if (!mkdtemp(base) || chmod(base, 0755))
		return -1;
	name(path, "db");
	mkdir(path, 0755);
	name(path, "db/l");
	mkdir(path, 0755);
	name(path, "secret");
	mkdir(path, 0755);
	listen_at("db/.s.PGSQL.5432");
	listen_at("db/l/mine");
	listen_at("db/l/others");
	return 0;
}

static int teardown(void **state)
{
	static const char *const all[] = {
		"db/l/mine", "db/l/others", "db/.s.PGSQL.5432", "db/.s.new",
		"db/l",      "db",          "secret",           ""};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		char path[108];
		name(path, all[i]);
		if (unlink(path) && rmdir(path) && errno != ENOENT)
			return -1;
	}
	return 0;
}

static void become_other(void)
{
	if (geteuid() == 0 && (setgroups(0, NULL) || setresgid(OTHER, OTHER, OTHER) ||
			       setresuid(OTHER, OTHER, OTHER) ||
			       prctl(PR_SET_DUMPABLE, 1))) /* as after an exec */
		_exit(99);
}

static void prepare(void)
{
	char path[108];
	name(path, "db/l/mine");
	sandbox_show(path);
	name(path, "db");
	sandbox_show(path);
	sandbox_prepare(SANDBOX_WORKER);
}

static int in_child(void (*before)(void), int (*ask)(void))
{
	int status;
	pid_t pid = fork();
	if (pid == 0) {
		signal(SIGSEGV, SIG_DFL);
		if (before)
			before();
		_exit(ask());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void ask_both(int (*ask)(void))
{
	assert_int_equal(in_child(NULL, ask), 0);
	assert_int_equal(in_child(become_other, ask), 0);
}

/* ---- questions; 0: as it shall be */

static int what_is_there(void)
{
	static const char *const gone[] = {"/etc/passwd", "/etc/shadow", "/usr/bin/env",
					   "/usr/lib",    "/bin/sh",     "/var",
					   "/sys",        "/proc/1",     "/proc/version",
					   "/root",       "/home",       "/dev/shm"};
	static const char *const there[] = {"/etc/hosts", "/etc/ssl", "/dev/null",
					    "/proc/self/task"};
	char path[108];
	prepare();
	for (size_t i = 0; i < ARRAY_LEN(gone); i++)
		if (faccessat(AT_FDCWD, gone[i], F_OK, AT_SYMLINK_NOFOLLOW) == 0)
			return 10 + (int)i;
	for (size_t i = 0; i < ARRAY_LEN(there); i++)
		if (access(there[i], R_OK))
			return 40 + (int)i;
	name(path, "secret");
	if (access(path, F_OK) == 0)
		return 50;
	return access("/etc/resolv.conf", R_OK) ? 51 : 0;
}

static int which_sockets(void)
{
	prepare();
	return !connects("db/.s.PGSQL.5432") ? 1
	       : !connects("db/l/mine")      ? 2
	       : connects("db/l/others")     ? 3
					     : 0;
}

static int can_write(void)
{
	static const char *const places[] = {"/x", "/etc/x", "/tmp/x", "/dev/x"};
	char path[108];
	prepare();
	for (size_t i = 0; i < ARRAY_LEN(places); i++)
		if (open(places[i], O_CREAT | O_WRONLY | O_CLOEXEC, 0600) >= 0)
			return 1 + (int)i;
	name(path, "db/x");
	if (open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600) >= 0)
		return 10;
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	name(a.sun_path, "db/l/new");
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(fd, (struct sockaddr *)&a, sizeof a) == 0)
		return 11;
	if (open("/etc/hosts", O_WRONLY | O_CLOEXEC) >= 0)
		return 12;
	return mkdir("/tmp/d", 0700) == 0 ? 13 : 0;
}

static int what_rights(void)
{
	char text[4096], *at;
	prepare();
	int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, text, sizeof text - 1);
	text[n > 0 ? n : 0] = 0;
	static const char *const lines[] = {
		"CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"};
	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		if (!(at = strstr(text, lines[i])) ||
		    strtoull(at + strlen(lines[i]), NULL, 16))
			return 1 + (int)i;
	if (!strstr(text, "NoNewPrivs:\t1"))
		return 10;
	if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0))
		return 11;
	if (unshare(CLONE_NEWNS) == 0 || chroot("/etc") == 0)
		return 12;
	return setuid(0) == 0 && geteuid() == 0 && access("/etc/hosts", W_OK) == 0 ? 13
										   : 0;
}

/* A server that was restarted has another socket by the same name. */
static int new_sockets(void)
{
	char byte;
	int go[2], done[2];
	if (pipe(go) || pipe(done))
		return 1;
	pid_t pid = fork();
	if (pid < 0)
		return 5;
	if (pid == 0) {
		close(go[1]);
		if (read(go[0], &byte, 1) == 1)
			listen_at("db/.s.new");
		if (write(done[1], "", 1) != 1)
			_exit(1);
		while (read(go[0], &byte, 1) > 0) /* until who asks has ended */
			;
		_exit(0);
	}
	prepare();
	if (connects("db/.s.new"))
		return 2;
	if (write(go[1], "", 1) != 1 || read(done[0], &byte, 1) != 1)
		return 3;
	return connects("db/.s.new") ? 0 : 4;
}

static int names_are_found(void)
{
	struct addrinfo *found;
	prepare();
	return getaddrinfo("localhost", "80", NULL, &found);
}

/* A user namespace in which no further one may be made. */
static void forbid_namespaces(void)
{
	if (unshare(CLONE_NEWUSER))
		_exit(99);
	int fd = open("/proc/sys/user/max_user_namespaces", O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "0", 1) != 1)
		_exit(98);
	privileges_drop();
}

static int prepare_refused(void)
{
	if (!freopen("/dev/null", "w", stderr))
		return 97;
	prepare();
	return 0;
}

static void test_what_is_seen(void **state)
{
	(void)state;
	ask_both(what_is_there);
}

static void test_sockets(void **state)
{
	(void)state;
	ask_both(which_sockets);
}

static void test_a_new_socket(void **state)
{
	(void)state;
	assert_int_equal(in_child(NULL, new_sockets), 0);
}

static void test_nothing_is_written(void **state)
{
	(void)state;
	ask_both(can_write);
}

static void test_rights(void **state)
{
	(void)state;
	ask_both(what_rights);
}

static void test_names(void **state)
{
	(void)state;
	ask_both(names_are_found);
}

/* Status 2: the supervisor gives up instead of trying again. */
static void test_no_namespaces(void **state)
{
	(void)state;
	assert_int_equal(in_child(forbid_namespaces, prepare_refused), 2);
}

static void test_root_is_refused(void **state)
{
	(void)state;
	int status;
	pid_t pid = fork();
	if (pid == 0) {
		if (!freopen("/dev/null", "w", stderr))
			_exit(97);
		privileges_refuse_root();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), geteuid() ? 0 : 2);
}

int main(void)
{
#ifdef __SANITIZE_THREAD__ /* which has a thread from the start: no view */
	return 0;
#endif
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_seen),
		cmocka_unit_test(test_sockets),
		cmocka_unit_test(test_a_new_socket),
		cmocka_unit_test(test_nothing_is_written),
		cmocka_unit_test(test_rights),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_no_namespaces),
		cmocka_unit_test(test_root_is_refused),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
