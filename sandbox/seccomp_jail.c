/* SPDX-License-Identifier: Apache-2.0
 * What is not named is refused with EPERM, never killed: a program that probes for a call
 * finds another way. clone3 and io_uring say ENOSYS, for libraries ask for them first and
 * then fall back to what a filter can look into. */
#include "sandbox/seccomp_jail.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/attr.h"
#include "common/die.h"
#include "sandbox/seccomp_rule.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

static const char *const calls[] = {
#define CALLS(reason, ...) __VA_ARGS__,
#include "sandbox/jail/calls.tbl"
#undef CALLS
};

static scmp_filter_ctx make_calls(void)
{
	static const int families[] = {AF_UNIX, AF_INET, AF_INET6};
	const uint64_t namespaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS |
				    CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |
				    CLONE_NEWNET | CLONE_NEWTIME;
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	check(f);
	seccomp_attr_set(f, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	for (size_t i = 0; i < ARRAY_LEN(calls); i++)
		seccomp_rule(f, SCMP_ACT_ALLOW, calls[i], 0, NULL);
	seccomp_rule_if(f, SCMP_ACT_ALLOW, "clone",
			SCMP_A0(SCMP_CMP_MASKED_EQ, namespaces, 0));
	seccomp_rule(f, SCMP_ACT_ERRNO(ENOSYS), "clone3", 0, NULL);
	seccomp_rule(f, SCMP_ACT_ERRNO(ENOSYS), "io_uring_setup", 0, NULL);
	for (size_t i = 0; i < ARRAY_LEN(families); i++)
		seccomp_rule_if(f, SCMP_ACT_ALLOW, "socket",
				SCMP_A0(SCMP_CMP_EQ, (unsigned)families[i]));
	seccomp_rule_if(f, SCMP_ACT_ALLOW, "socketpair", SCMP_A0(SCMP_CMP_EQ, AF_UNIX));
	/* Pipes with names; devices would need a capability besides. */
	seccomp_rule_if(f, SCMP_ACT_ALLOW, "mknod",
			SCMP_A1(SCMP_CMP_MASKED_EQ, S_IFMT, S_IFIFO));
	seccomp_rule_if(f, SCMP_ACT_ALLOW, "mknodat",
			SCMP_A2(SCMP_CMP_MASKED_EQ, S_IFMT, S_IFIFO));
	seccomp_rule_if(f, SCMP_ACT_ALLOW, "personality", SCMP_A0(SCMP_CMP_EQ, 0));
	seccomp_rule_if(f, SCMP_ACT_ALLOW, "personality",
			SCMP_A0(SCMP_CMP_EQ, 0xffffffff));
	return f;
}

/* Keystrokes pushed into a terminal that others read, and its line discipline. Attributes
 * of files that a quota by project hangs on, which an owner may change, and leases, which
 * make whoever opens a file wait. */
static scmp_filter_ctx make_arguments(void)
{
	static const unsigned requests[] = {TIOCSTI,           0x541C, /* TIOCLINUX */
					    TIOCSETD,          FS_IOC_SETFLAGS,
					    FS_IOC32_SETFLAGS, FS_IOC_FSSETXATTR};
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW);
	check(f);
	seccomp_attr_set(f, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	for (size_t i = 0; i < ARRAY_LEN(requests); i++)
		seccomp_rule_if(f, SCMP_ACT_ERRNO(EPERM), "ioctl",
				SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, requests[i]));
	seccomp_rule_if(f, SCMP_ACT_ERRNO(EPERM), "fcntl",
			SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, F_SETLEASE));
	return f;
}

/* libseccomp exports into a descriptor only. */
static struct sock_fprog compile(scmp_filter_ctx f)
{
	int fd = memfd_create("filter", MFD_CLOEXEC);
	if (fd < 0 || seccomp_export_bpf(f, fd))
		fatal("seccomp: the jail's filter cannot be compiled: %s",
		      strerror(errno));
	off_t n = lseek(fd, 0, SEEK_END);
	struct sock_filter *program = xmalloc((size_t)n);
	if (pread(fd, program, (size_t)n, 0) != n)
		fatal("seccomp: the jail's filter cannot be read: %s", strerror(errno));
	close(fd);
	seccomp_release(f);
	return (struct sock_fprog){.len = (unsigned short)((size_t)n / sizeof *program),
				   .filter = program};
}

void jail_filters_compile(struct jail_filters *f)
{
	f->calls = compile(make_calls());
	f->arguments = compile(make_arguments());
}

int jail_filters_load(const struct jail_filters *f)
{
	/* The second one has no `seccomp` among its calls. */
	if (syscall(SYS_seccomp, 1 /* SECCOMP_SET_MODE_FILTER */, 0, &f->arguments))
		return -1;
	return (int)syscall(SYS_seccomp, 1, 0, &f->calls);
}
