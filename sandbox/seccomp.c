/* SPDX-License-Identifier: Apache-2.0
 * The filter: rows of syscalls.tbl, and the calls whose arguments decide.
 *
 * A captured process shall not start programs, fork, write files, make executable memory,
 * watch or signal others, or enter namespaces. The first group kills in every mode: no
 * library update makes such a call by accident. The rest is refused with EPERM and
 * logged by the kernel, so that a new libc that adds a harmless call does not take
 * production down; tests run with TERABITS_SECCOMP=kill. */
#include "sandbox/seccomp.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/attr.h"
#include "common/die.h"
#include "sandbox/seccomp_rule.h"

enum { E = 1 << SANDBOX_EDGE, W = 1 << SANDBOX_WORKER, L = 1 << SANDBOX_LAUNCHER, S = 8 };

#ifdef TB_SANITIZED
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

static const struct row {
	const char *name;
	unsigned roles;
} rows[] = {
#define SYSCALL(name, roles, reason) {#name, roles},
#include "sandbox/syscalls.tbl"
#undef SYSCALL
};

static const char *const deadly[] = {
	"execve",
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
	"open_by_handle_at",
	"ptrace",
	"fsopen",
	"move_mount",
	"pidfd_getfd",
};

/* A jail's programs inherit its launcher's filter: what they may do, it may. */
static const char *const jail_calls[] = {
#define CALLS(reason, ...) __VA_ARGS__,
#include "sandbox/jail/calls.tbl"
#undef CALLS
};

static void allow_if(scmp_filter_ctx f, const char *name, struct scmp_arg_cmp cmp)
{
	seccomp_rule_if(f, SCMP_ACT_ALLOW, name, cmp);
}

static void add_sockets(scmp_filter_ctx f, enum sandbox_role role)
{
	static const int families[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK};
	size_t n = ARRAY_LEN(families) - (role == SANDBOX_LAUNCHER);
	for (size_t i = 0; i < n; i++)
		allow_if(f, "socket", SCMP_A0(SCMP_CMP_EQ, (unsigned)families[i]));
	if (role != SANDBOX_LAUNCHER)
		allow_if(f, "socketpair", SCMP_A0(SCMP_CMP_EQ, AF_UNIX));
}

static void add_memory(scmp_filter_ctx f)
{
	allow_if(f, "mmap", SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	allow_if(f, "mprotect", SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
}

/* Read-only. What asks to write gets EACCES, as from a read-only disk. */
static void add_files(scmp_filter_ctx f)
{
	allow_if(f, "openat",
		 SCMP_A2(SCMP_CMP_MASKED_EQ,
			 O_ACCMODE | O_CREAT | O_TRUNC | (O_TMPFILE & ~O_DIRECTORY), 0));
	seccomp_rule_if(f, SCMP_ACT_ERRNO(EACCES), "openat",
			SCMP_A2(SCMP_CMP_MASKED_EQ, O_WRONLY, O_WRONLY));
	seccomp_rule_if(f, SCMP_ACT_ERRNO(EACCES), "openat",
			SCMP_A2(SCMP_CMP_MASKED_EQ, O_RDWR, O_RDWR));
}

/* Not F_SETOWN, F_SETSIG and their like: by them a process has any signal sent to any
 * other of its user. */
static void add_descriptors(scmp_filter_ctx f)
{
	static const unsigned commands[] = {
		F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD,      F_SETFD,      F_GETFL,
		F_SETFL, F_GETLK,         F_GETPIPE_SZ, F_SETPIPE_SZ, F_GET_SEALS};
	/* Not TIOCSTI: the log may be a terminal at which somebody works. */
	static const unsigned requests[] = {FIONREAD, FIONBIO, TCGETS};
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		allow_if(f, "fcntl",
			 SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, commands[i]));
	for (size_t i = 0; i < ARRAY_LEN(requests); i++)
		allow_if(f, "ioctl",
			 SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, requests[i]));
}

static void add_threads(scmp_filter_ctx f)
{
	unsigned self = (unsigned)getpid();
	allow_if(f, "clone", SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
	/* glibc falls back to clone, whose flags a filter can see */
	seccomp_rule(f, SCMP_ACT_ERRNO(ENOSYS), "clone3", 0, NULL);
	allow_if(f, "tgkill", SCMP_A0(SCMP_CMP_EQ, self)); /* abort */
	allow_if(f, "prlimit64", SCMP_A0(SCMP_CMP_EQ, 0));
	allow_if(f, "prctl", SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME));
#ifdef PR_SET_VMA
	allow_if(f, "prctl", SCMP_A0(SCMP_CMP_EQ, PR_SET_VMA)); /* malloc names areas */
#endif
	if (SANITIZED)
		seccomp_rule(f, SCMP_ACT_ALLOW, "prctl", 0, NULL);
}

static unsigned roles_of(enum sandbox_role role)
{
	return 1u << role | (SANITIZED ? S : 0);
}

static void add_own(scmp_filter_ctx f, enum sandbox_role role)
{
	add_threads(f);
	add_sockets(f, role);
	add_memory(f);
	add_files(f);
	add_descriptors(f);
}

/* Without conditions: those are in the filters that its jails load themselves. */
static void add_launcher(scmp_filter_ctx f)
{
	static const char *const conditional[] = {"clone",       "clone3", "socketpair",
						  "personality", "mknod",  "mknodat"};
	for (size_t i = 0; i < ARRAY_LEN(jail_calls); i++)
		seccomp_rule(f, SCMP_ACT_ALLOW, jail_calls[i], 0, NULL);
	for (size_t i = 0; i < ARRAY_LEN(conditional); i++)
		seccomp_rule(f, SCMP_ACT_ALLOW, conditional[i], 0, NULL);
	/* a birth's, once it is in its control group; the jail's own filter refuses it */
	allow_if(f, "unshare", SCMP_A0(SCMP_CMP_EQ, CLONE_NEWCGROUP));
	add_sockets(f, SANDBOX_LAUNCHER);
	seccomp_rule(f, SCMP_ACT_ERRNO(ENOSYS), "io_uring_setup", 0, NULL);
}

void seccomp_confine(enum sandbox_role role, enum seccomp_else otherwise)
{
	if (role == SANDBOX_LAUNCHER) /* a jail's program is refused, not killed */
		otherwise = SECCOMP_ELSE_EPERM;
	scmp_filter_ctx f =
		seccomp_init(otherwise == SECCOMP_ELSE_KILL ? SCMP_ACT_KILL_PROCESS
							    : SCMP_ACT_ERRNO(EPERM));
	check(f);
	seccomp_attr_set(f, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	seccomp_attr_set(f, SCMP_FLTATR_CTL_TSYNC, 1);
	seccomp_attr_set(f, SCMP_FLTATR_CTL_LOG, role != SANDBOX_LAUNCHER);
	seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].roles & roles_of(role))
			seccomp_rule(f, SCMP_ACT_ALLOW, rows[i].name, 0, NULL);
	if (role == SANDBOX_LAUNCHER)
		add_launcher(f);
	else
		add_own(f, role);
	if (role != SANDBOX_LAUNCHER && otherwise == SECCOMP_ELSE_EPERM && !SANITIZED)
		for (size_t i = 0; i < ARRAY_LEN(deadly); i++)
			seccomp_rule(f, SCMP_ACT_KILL_PROCESS, deadly[i], 0, NULL);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		fatal("no-new-privileges is refused: %s", strerror(errno));
	int rv = seccomp_load(f);
	if (rv)
		fatal_usage("the kernel refuses the seccomp filter (%s): it needs "
			    "CONFIG_SECCOMP_FILTER; in a container, allow the seccomp "
			    "system call",
			    strerror(-rv));
	seccomp_release(f);
}

static int seccomp_mode_of(const char *tid)
{
	char path[64], text[4096], *at;
	snprintf(path, sizeof path, "/proc/self/task/%.20s/status", tid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) /* a thread that ended meanwhile */
		return errno == ENOENT ? 2 : -1;
	ssize_t n = read(fd, text, sizeof text - 1);
	close(fd);
	if (n <= 0)
		return errno == ESRCH ? 2 : -1;
	text[n] = 0;
	at = strstr(text, "\nSeccomp:");
	return at ? atoi(at + 9) : -1;
}

int seccomp_verify(void)
{
	DIR *d = opendir("/proc/self/task");
	int threads = 0;
	if (!d)
		fatal("/proc is not mounted: it is needed to check the confinement");
	for (const struct dirent *e; (e = readdir(d));) {
		if (!isdigit((unsigned char)e->d_name[0]))
			continue;
		if (seccomp_mode_of(e->d_name) != 2)
			fatal("thread %s is not confined by seccomp", e->d_name);
		threads++;
	}
	closedir(d);
	return threads;
}
