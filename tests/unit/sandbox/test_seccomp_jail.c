/* SPDX-License-Identifier: Apache-2.0
 * Every rule of the jail's filters, by making the call: each number the kernel could
 * know against calls.tbl, and each argument that decides. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <cmocka.h>

#include "common/attr.h"
#include "sandbox/seccomp_jail.h"
#include "asked.h"

#define NUMBERS 1024 /* more than there are */
#define HIGH 0x100000000L

static const char *const allowed[] = {
#define CALLS(reason, ...) __VA_ARGS__,
#include "sandbox/jail/calls.tbl"
#undef CALLS
};
static const struct {
	const char *reason;
	const char *const names[64];
} groups[] = {
#define CALLS(reason, ...) {reason, {__VA_ARGS__}},
#include "sandbox/jail/calls.tbl"
#undef CALLS
};

/* Those whose arguments decide. With zeros these are allowed: */
static const char *const allowed_with_zeros[] = {"clone", "personality"};
static const char *const missing[] = {"clone3", "io_uring_setup"}; /* ENOSYS */

static struct jail_filters filters;

static const struct rule {
	const char *call;
	long a, b, c;
	int wants;
} rules[] = {
	/* a process, a thread, and no namespace of any kind */
	{"clone", SIGCHLD, 0, 0, ASKED_ALLOWED},
	{"clone", CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD, 0, 0,
	 ASKED_ALLOWED},
	{"clone", CLONE_VM | CLONE_VFORK | SIGCHLD, 0, 0, ASKED_ALLOWED},
	{"clone", CLONE_NEWNS | SIGCHLD, 0, 0, EPERM},
	{"clone", CLONE_NEWUSER | SIGCHLD, 0, 0, EPERM},
	{"clone", CLONE_NEWPID | SIGCHLD, 0, 0, EPERM},
	{"clone", CLONE_NEWNET | SIGCHLD, 0, 0, EPERM},
	{"clone", CLONE_NEWIPC | SIGCHLD, 0, 0, EPERM},
	{"clone", CLONE_NEWUTS | SIGCHLD, 0, 0, EPERM},
	{"clone", CLONE_NEWCGROUP | SIGCHLD, 0, 0, EPERM},
	{"clone", 0x80 /* CLONE_NEWTIME */, 0, 0, EPERM},
	{"clone", HIGH | CLONE_NEWUSER | SIGCHLD, 0, 0, EPERM},
	{"clone", CLONE_NEWUSER | CLONE_NEWNS | CLONE_THREAD, 0, 0, EPERM},
	{"socketpair", AF_UNIX, SOCK_STREAM, 0, ASKED_ALLOWED},
	{"socketpair", AF_INET, SOCK_STREAM, 0, EPERM},
	{"socketpair", 30 /* AF_TIPC */, SOCK_STREAM, 0, EPERM},
	{"mknod", 0, S_IFIFO | 0600, 0, ASKED_ALLOWED},
	{"mknod", 0, S_IFCHR | 0600, 0x103, EPERM},
	{"mknod", 0, S_IFBLK | 0600, 0x800, EPERM},
	{"mknod", 0, S_IFSOCK | 0600, 0, EPERM},
	{"mknod", 0, S_IFREG | 0600, 0, EPERM},
	{"mknod", 0, 0600, 0, EPERM},
	{"mknodat", 0, 0, S_IFIFO | 0600, ASKED_ALLOWED},
	{"mknodat", 0, 0, S_IFCHR | 0600, EPERM},
	{"mknodat", 0, 0, S_IFBLK | 0600, EPERM},
	{"mknodat", 0, 0, HIGH | S_IFCHR | 0600, EPERM},
	{"personality", 0, 0, 0, ASKED_ALLOWED},
	{"personality", 0xffffffff, 0, 0, ASKED_ALLOWED},
	{"personality", 0x0040000 /* ADDR_NO_RANDOMIZE */, 0, 0, EPERM},
	{"personality", 0x0400000 /* READ_IMPLIES_EXEC */, 0, 0, EPERM},
	{"personality", 8 /* PER_LINUX32 */, 0, 0, EPERM},
	{"ioctl", 0, TIOCSTI, 0, EPERM},
	{"ioctl", 0, TIOCSETD, 0, EPERM},
	{"ioctl", 0, 0x541c /* TIOCLINUX */, 0, EPERM},
	{"ioctl", 0, HIGH | TIOCSTI, 0, EPERM},
	{"ioctl", 5, FS_IOC_SETFLAGS, 0, EPERM},
	{"ioctl", 5, FS_IOC32_SETFLAGS, 0, EPERM},
	{"ioctl", 5, FS_IOC_FSSETXATTR, 0, EPERM},
	{"ioctl", 5, (long)0xffffffff00000000 | FS_IOC_FSSETXATTR, 0, EPERM},
	{"ioctl", 0, TIOCGWINSZ, 0, ASKED_ALLOWED},
	{"ioctl", 0, TCGETS, 0, ASKED_ALLOWED},
	{"ioctl", 0, FIONREAD, 0, ASKED_ALLOWED},
	{"ioctl", 0, FS_IOC_GETFLAGS, 0, ASKED_ALLOWED},
	{"ioctl", 0, FICLONE, 0, ASKED_ALLOWED},
	{"fcntl", 0, F_SETLEASE, F_WRLCK, EPERM},
	{"fcntl", 0, HIGH | F_SETLEASE, F_WRLCK, EPERM},
	{"fcntl", 0, F_GETFL, 0, ASKED_ALLOWED},
	{"fcntl", 0, F_SETLK, 0, ASKED_ALLOWED},
	{"fcntl", 0, F_DUPFD_CLOEXEC, 0, ASKED_ALLOWED},
};

static bool is_in(const char *const *list, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(list[i], name))
			return true;
	return false;
}

/* Of every number what the filters of a jail answer. */
static int answers[NUMBERS], by_rule[ARRAY_LEN(rules)], by_family[64];

static int ask_all(int out)
{
	if (asked_prepare() || jail_filters_load(&filters))
		return 10;
	for (long n = 0; n < NUMBERS; n++)
		answers[n] = asked(n, 0, 0, 0);
	for (size_t i = 0; i < ARRAY_LEN(rules); i++)
		by_rule[i] = asked(seccomp_syscall_resolve_name(rules[i].call),
				   rules[i].a, rules[i].b, rules[i].c);
	for (long i = 0; i < 64; i++)
		by_family[i] = asked(SYS_socket, i, SOCK_STREAM, 0);
	return write(out, answers, sizeof answers) != sizeof answers ||
	       write(out, by_rule, sizeof by_rule) != sizeof by_rule ||
	       write(out, by_family, sizeof by_family) != sizeof by_family;
}

static int setup(void **state)
{
	int ends[2], how;
	(void)state;
	jail_filters_compile(&filters);
	if (pipe(ends))
		return -1;
	pid_t pid = fork();
	if (pid == 0) {
		signal(SIGILL, SIG_DFL); /* cmocka's would go on here */
		_exit(ask_all(ends[1]));
	}
	close(ends[1]);
	bool whole = read(ends[0], answers, sizeof answers) == sizeof answers &&
		     read(ends[0], by_rule, sizeof by_rule) == sizeof by_rule &&
		     read(ends[0], by_family, sizeof by_family) == sizeof by_family;
	waitpid(pid, &how, 0);
	return !whole || how;
}

static void test_every_number(void **state)
{
	unsigned open = 0;
	(void)state;
	for (int n = 0; n < NUMBERS; n++) {
		char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, n);
		const char *known = name ? name : "?";
		bool is_open =
			is_in(allowed, ARRAY_LEN(allowed), known) ||
			is_in(allowed_with_zeros, ARRAY_LEN(allowed_with_zeros), known);
		int wants = is_open || is_in(missing, ARRAY_LEN(missing), known)
				    ? ASKED_ALLOWED
				    : EPERM;
		open += is_open;
		if (answers[n] != wants)
			fail_msg("%s (%d): %s, not %s", known, n, strerror(answers[n]),
				 strerror(wants));
		free(name);
	}
	/* The answers are of this kind, and of that. */
	assert_true(open > 200 && open < 340);
}

static void test_every_argument(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rules); i++)
		if (by_rule[i] != rules[i].wants)
			fail_msg("%s(%#lx, %#lx, %#lx): %s, not %s", rules[i].call,
				 rules[i].a, rules[i].b, rules[i].c, strerror(by_rule[i]),
				 strerror(rules[i].wants));
}

static void test_every_family(void **state)
{
	(void)state;
	for (int i = 0; i < 64; i++)
		assert_int_equal(by_family[i],
				 i == AF_UNIX || i == AF_INET || i == AF_INET6
					 ? ASKED_ALLOWED
					 : EPERM);
}

/* A name that is written wrong would be skipped in silence: it must be one of some
 * machine. */
static void test_the_table(void **state)
{
	(void)state;
	for (size_t g = 0; g < ARRAY_LEN(groups); g++) {
		assert_true(strlen(groups[g].reason) > 3);
		assert_null(groups[g].names[ARRAY_LEN(groups[g].names) - 1]);
	}
	for (size_t i = 0; i < ARRAY_LEN(allowed); i++) {
		for (size_t k = 0; k < i; k++)
			if (!strcmp(allowed[i], allowed[k]))
				fail_msg("%s stands there twice", allowed[i]);
		if (seccomp_syscall_resolve_name(allowed[i]) == __NR_SCMP_ERROR)
			print_message("%s is newer than this libseccomp\n", allowed[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_number),
		cmocka_unit_test(test_every_argument),
		cmocka_unit_test(test_every_family),
		cmocka_unit_test(test_the_table),
	};
	return cmocka_run_group_tests(tests, setup, NULL);
}
