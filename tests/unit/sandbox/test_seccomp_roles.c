/* SPDX-License-Identifier: Apache-2.0
 * Every rule of the roles' filters, by making the call: each number the kernel could know
 * against syscalls.tbl, each argument that decides, in both modes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <cmocka.h>

#include "asked.h"
#include "common/attr.h"
#include "sandbox/seccomp.h"

#define NUMBERS 512
#define HIGH 0x100000000L
#define KILLED 1000

#ifdef TB_SANITIZED
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

/* See test_seccomp.c. */
#ifdef __SANITIZE_THREAD__
#define ROLES SANDBOX_LAUNCHER
#else
#define ROLES SANDBOX_ROLES
#endif

enum { E = 1 << SANDBOX_EDGE, W = 1 << SANDBOX_WORKER, L = 1 << SANDBOX_LAUNCHER, S = 8 };

static const struct {
	const char *name;
	unsigned roles;
} rows[] = {
#define SYSCALL(name, roles, reason) {#name, roles},
#include "sandbox/syscalls.tbl"
#undef SYSCALL
};
static const char *const of_jails[] = {
#define CALLS(reason, ...) __VA_ARGS__,
#include "sandbox/jail/calls.tbl"
#undef CALLS
};
/* What zeros are allowed, where arguments decide; fork of nothing is not. */
static const char *const with_zeros[] = {"fcntl", "openat", "mmap", "mprotect",
					 "prlimit64"};
static const char *const of_launchers[] = {"clone",         "clone3", "socketpair",
					   "personality",   "mknod",  "mknodat",
					   "io_uring_setup" /* says ENOSYS itself */};

#define NO EPERM
#define YES ASKED_ALLOWED
static const struct rule {
	const char *call;
	long a, b, c;
	int wants;
} rules[] = {
	{"openat", 0, 0, O_RDONLY, YES},
	{"openat", 0, 0, O_RDONLY | O_CLOEXEC | O_DIRECTORY | O_NONBLOCK, YES},
	{"openat", 0, 0, O_WRONLY, EACCES},
	{"openat", 0, 0, O_RDWR, EACCES},
	{"openat", 0, 0, O_WRONLY | O_APPEND, EACCES},
	{"openat", 0, 0, O_WRONLY | O_CREAT | O_TRUNC, EACCES},
	{"openat", 0, 0, O_RDONLY | O_CREAT, NO},
	{"openat", 0, 0, O_RDONLY | O_TRUNC, NO},
	{"openat", 0, 0, O_TMPFILE | O_RDONLY, NO},
	{"openat", 0, 0, O_TMPFILE | O_RDWR, EACCES},
	{"openat", 0, 0, HIGH | O_WRONLY, EACCES},
	{"openat", 0, 0, HIGH | O_CREAT, NO},
	{"mmap", 0, 4096, PROT_READ | PROT_WRITE, YES},
	{"mmap", 0, 4096, PROT_EXEC, NO},
	{"mmap", 0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, NO},
	{"mmap", 0, 4096, HIGH | PROT_EXEC, NO},
	{"mprotect", 0, 4096, PROT_NONE, YES},
	{"mprotect", 0, 4096, PROT_READ | PROT_EXEC, NO},
	{"mprotect", 0, 4096, HIGH | PROT_EXEC, NO},
	{"clone", CLONE_VM | CLONE_SIGHAND | CLONE_THREAD, 0, 0, YES},
	{"clone", CLONE_VM | CLONE_VFORK | SIGCHLD, 0, 0, NO},
	{"clone", CLONE_VM, 0, 0, NO},
	{"clone", CLONE_NEWUSER, 0, 0, NO},
	{"socketpair", AF_UNIX, SOCK_STREAM, 0, YES},
	{"socketpair", AF_INET, SOCK_STREAM, 0, NO},
	{"prctl", PR_SET_NAME, 0, 0, YES},
	{"prctl", PR_SET_DUMPABLE, 1, 0, NO},
	{"prctl", PR_SET_PDEATHSIG, 0, 0, NO},
	{"prctl", PR_SET_SECCOMP, 2, 0, NO},
	{"prctl", PR_SET_PTRACER, -1, 0, NO},
	{"prctl", PR_SET_MM, 0, 0, NO},
	{"prctl", PR_CAP_AMBIENT, 2, 0, NO},
	{"prctl", PR_SET_KEEPCAPS, 1, 0, NO},
	{"prctl", PR_SET_CHILD_SUBREAPER, 1, 0, NO},
	{"prlimit64", 0, 7, 0, YES},
	{"prlimit64", 1, 7, 0, NO},
	{"tgkill", 1, 1, SIGKILL, NO},
};

static int numbers[NUMBERS]; /* that are asked */

static int ask_number(enum sandbox_role role, int i)
{
	(void)role;
	return asked(numbers[i], 0, 0, 0);
}

static bool is_in(const char *const *list, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(list[i], name))
			return true;
	return false;
}

static bool is_open(enum sandbox_role role, const char *name)
{
	unsigned roles = 1u << role | (SANITIZED ? S : 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (!strcmp(rows[i].name, name) && rows[i].roles & roles)
			return true;
	if (role == SANDBOX_LAUNCHER)
		return is_in(of_jails, ARRAY_LEN(of_jails), name) ||
		       is_in(of_launchers, ARRAY_LEN(of_launchers), name);
	return is_in(with_zeros, ARRAY_LEN(with_zeros), name) ||
	       !strcmp(name, "clone3") || (SANITIZED && (!strcmp(name, "prctl")));
}

static bool is_deadly(const char *name)
{
	static const char *const deadly[] = {"execve",
					     "execveat",
					     "mount",
					     "umount2",
					     "pivot_root",
					     "chroot",
					     "unshare",
					     "setns",
					     "bpf",
					     "keyctl",
					     "add_key",
					     "request_key",
					     "io_uring_setup",
					     "init_module",
					     "finit_module",
					     "kexec_load",
					     "perf_event_open",
					     "userfaultfd",
					     "process_vm_writev",
					     "ptrace",
					     "open_by_handle_at",
					     "fsopen",
					     "move_mount",
					     "pidfd_getfd"};
	return is_in(deadly, ARRAY_LEN(deadly), name);
}

/* A child's answers to many questions, or KILLED to the one at which it died: then the
 * next child goes on after it. */
static void ask_all(enum sandbox_role role, enum seccomp_else otherwise, int count,
		    int (*ask)(enum sandbox_role role, int n), int *answers)
{
	for (int from = 0; from < count;) {
		int ends[2], how;
		assert_int_equal(pipe(ends), 0);
		pid_t pid = fork();
		if (pid == 0) {
			signal(SIGSYS, SIG_DFL);
			if (asked_prepare())
				_exit(10);
			seccomp_confine(role, otherwise);
			for (int i = from; i < count; i++) {
				int got = ask(role, i);
				if (write(ends[1], &got, sizeof got) != sizeof got)
					_exit(11);
			}
			_exit(0);
		}
		close(ends[1]);
		while (from < count &&
		       read(ends[0], &answers[from], sizeof(int)) == sizeof(int))
			from++;
		close(ends[0]);
		waitpid(pid, &how, 0);
		if (WIFSIGNALED(how) && WTERMSIG(how) == SIGSYS && from < count)
			answers[from++] = KILLED;
		else if (how)
			fail_msg("role %d ended with %#x at %d", role, how, from);
	}
}

static int wanted(enum sandbox_role role, enum seccomp_else otherwise, const char *name)
{
	bool kills = otherwise == SECCOMP_ELSE_KILL && role != SANDBOX_LAUNCHER;
	if (is_open(role, name))
		return YES;
	if (role != SANDBOX_LAUNCHER && !SANITIZED && is_deadly(name))
		return KILLED;
	return kills ? KILLED : NO;
}

/* Each death costs a process, and that some 20 ms: of those that die some, by turns; all
 * of them where there is time. */
static bool is_asked(int n, int wants)
{
	return wants != KILLED || n % 8 == getpid() % 8 || getenv("TB_LONG");
}

static void check_numbers(enum sandbox_role role, enum seccomp_else otherwise)
{
	int answers[NUMBERS], wants[NUMBERS], count = 0;
	unsigned open = 0;
	for (int n = 0; n < NUMBERS; n++) {
		char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, n);
		wants[count] = wanted(role, otherwise, name ? name : "?");
		free(name);
		if (n != 335 && n != 336 /* see asked.h */ && is_asked(n, wants[count]))
			numbers[count++] = n;
	}
	ask_all(role, otherwise, count, ask_number, answers);
	for (int i = 0; i < count; i++) {
		open += wants[i] == YES;
		if (answers[i] != wants[i])
			fail_msg("role %d, mode %d: call %d gives %d, not %d", role,
				 otherwise, numbers[i], answers[i], wants[i]);
	}
	assert_true(open > 50 && (role == SANDBOX_LAUNCHER || open < 110));
}

static void test_every_number(void **state)
{
	(void)state;
	for (int role = 0; role < (int)ROLES; role++) {
		check_numbers((enum sandbox_role)role, SECCOMP_ELSE_EPERM);
		check_numbers((enum sandbox_role)role, SECCOMP_ELSE_KILL);
	}
}

static int ask_rule(enum sandbox_role role, int i)
{
	(void)role;
	return asked(seccomp_syscall_resolve_name(rules[i].call), rules[i].a, rules[i].b,
		     rules[i].c);
}

static bool is_loose(const char *call)
{
	return SANITIZED && (!strcmp(call, "prctl") || !strcmp(call, "clone"));
}

static void test_every_argument(void **state)
{
	int answers[ARRAY_LEN(rules)];
	(void)state;
	for (int role = 0; role < SANDBOX_LAUNCHER; role++)
		for (int mode = 0; mode < 2; mode++) {
			ask_all((enum sandbox_role)role, (enum seccomp_else)mode,
				ARRAY_LEN(rules), ask_rule, answers);
			for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
				int wants = rules[i].wants;
				if (wants == NO && mode == SECCOMP_ELSE_KILL)
					wants = KILLED;
				if (answers[i] != wants && !is_loose(rules[i].call))
					fail_msg("role %d, mode %d: %s(%#lx, %#lx, %#lx) "
						 "gives %d, not %d",
						 role, mode, rules[i].call, rules[i].a,
						 rules[i].b, rules[i].c, answers[i],
						 wants);
			}
		}
}

static int ask_family(enum sandbox_role role, int i)
{
	(void)role;
	return asked(SYS_socket, i, SOCK_STREAM, 0);
}

static void test_every_family(void **state)
{
	int answers[64];
	(void)state;
	for (int role = 0; role < (int)ROLES; role++) {
		ask_all((enum sandbox_role)role, SECCOMP_ELSE_EPERM, 64, ask_family,
			answers);
		for (int i = 0; i < 64; i++) {
			bool open = i == AF_UNIX || i == AF_INET || i == AF_INET6 ||
				    (i == AF_NETLINK && role != SANDBOX_LAUNCHER);
			assert_int_equal(answers[i], open ? YES : NO);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_number),
		cmocka_unit_test(test_every_argument),
		cmocka_unit_test(test_every_family),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
