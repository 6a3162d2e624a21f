/* SPDX-License-Identifier: Apache-2.0
 * The filters, from inside: a child confines itself as a role and makes one system call.
 * Expectations are those of a plain build; a build with sanitizers allows what
 * syscalls.tbl says under S and kills nothing in the mode eperm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <netdb.h>
#include <pthread.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/attr.h"
#include "sandbox/seccomp.h"

#ifdef TB_SANITIZED
#define SANITIZED true
#else
#define SANITIZED false
#endif

/* A runtime that starts a thread after each fork: in the launcher's filter, made for one
 * thread, that is a matter of luck. */
#ifdef __SANITIZE_THREAD__
#define ROLES SANDBOX_LAUNCHER
#else
#define ROLES SANDBOX_ROLES
#endif

enum { E = 1 << SANDBOX_EDGE, W = 1 << SANDBOX_WORKER, L = 1 << SANDBOX_LAUNCHER, S = 8 };
#define OK 0
#define KILLED 1000

static int null_fd, pipe_fds[2];
static char *page;

/* ---- what is tried. Raw calls: 0 or an errno. */

#define TRY(name, ...)                                                                   \
	static int name(void)                                                            \
	{                                                                                \
		errno = 0;                                                               \
		return syscall(__VA_ARGS__) < 0 ? errno : OK;                            \
	}

TRY(try_getpid, SYS_getpid)
TRY(try_write, SYS_write, pipe_fds[1], "x", 1)
TRY(try_fcntl, SYS_fcntl, null_fd, F_GETFL, 0)
TRY(try_duplicate, SYS_fcntl, null_fd, F_DUPFD_CLOEXEC, 100)
TRY(try_set_owner, SYS_fcntl, null_fd, F_SETOWN, getppid())
TRY(try_set_signal, SYS_fcntl, null_fd, F_SETSIG, SIGKILL)
TRY(try_lease, SYS_fcntl, null_fd, F_SETLEASE, F_RDLCK)
TRY(try_is_terminal, SYS_ioctl, null_fd, TCGETS, page)
TRY(try_pending, SYS_ioctl, pipe_fds[0], FIONREAD, page)
TRY(try_type, SYS_ioctl, null_fd, TIOCSTI, "x")
TRY(try_type_high_bits, SYS_ioctl, null_fd, 0x100000000L | TIOCSTI, "x")
TRY(try_async_owner, SYS_ioctl, null_fd, FIOSETOWN, page)
TRY(try_read_file, SYS_openat, AT_FDCWD, "/proc/self/status", O_RDONLY | O_CLOEXEC)
TRY(try_write_file, SYS_openat, AT_FDCWD, "/dev/null", O_WRONLY)
TRY(try_rdwr_file, SYS_openat, AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC)
TRY(try_append_file, SYS_openat, AT_FDCWD, "/dev/null", O_WRONLY | O_APPEND)
TRY(try_access_3, SYS_openat, AT_FDCWD, "/dev/null", O_ACCMODE)
TRY(try_create_file, SYS_openat, AT_FDCWD, "/dev/null", O_RDONLY | O_CREAT, 0600)
TRY(try_truncate_file, SYS_openat, AT_FDCWD, "/dev/null", O_RDONLY | O_TRUNC)
TRY(try_tmpfile, SYS_openat, AT_FDCWD, "/tmp", O_RDONLY | O_TMPFILE, 0600)
TRY(try_high_bits_file, SYS_openat, AT_FDCWD, "/dev/null", 0x100000000L | O_WRONLY)
TRY(try_openat2, SYS_openat2, AT_FDCWD, "/dev/null", NULL, 0)
TRY(try_creat, SYS_creat, "/dev/null", 0600)
TRY(try_unlink, SYS_unlinkat, AT_FDCWD, "/nonexistent", 0)
TRY(try_rename, SYS_renameat2, AT_FDCWD, "/nonexistent", AT_FDCWD, "/nonexistent2", 0)
TRY(try_chmod, SYS_fchmodat, AT_FDCWD, "/nonexistent", 0600)
TRY(try_memfd, SYS_memfd_create, "x", 0)
TRY(try_map, SYS_mmap, NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
    -1, 0)
TRY(try_map_exec, SYS_mmap, NULL, 4096, PROT_READ | PROT_EXEC,
    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
TRY(try_map_high_bits, SYS_mmap, NULL, 4096, 0x100000000L | PROT_EXEC,
    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
TRY(try_protect, SYS_mprotect, page, 4096, PROT_READ)
TRY(try_protect_exec, SYS_mprotect, page, 4096, PROT_READ | PROT_EXEC)
TRY(try_pkey_protect, SYS_pkey_mprotect, page, 4096, PROT_READ | PROT_EXEC, -1)
TRY(try_personality, SYS_personality, 0x0400000)
TRY(try_execve, SYS_execve, "/nonexistent", NULL, NULL)
TRY(try_execveat, SYS_execveat, AT_FDCWD, "/nonexistent", NULL, NULL, 0)
TRY(try_fork, SYS_fork)
static int try_vfork(void)
{
	pid_t p = vfork(); /* the library's: a raw one returns twice on one stack */
	if (p == 0)
		_exit(0);
	return p < 0 ? errno : OK;
}
TRY(try_clone, SYS_clone, SIGCHLD, NULL, NULL, NULL, 0)
TRY(try_clone3, SYS_clone3, NULL, 0)
TRY(try_ptrace, SYS_ptrace, PTRACE_ATTACH, 1, NULL, NULL)
TRY(try_vm_read, SYS_process_vm_readv, 1, NULL, 0, NULL, 0, 0)
TRY(try_vm_write, SYS_process_vm_writev, 1, NULL, 0, NULL, 0, 0)
TRY(try_pidfd, SYS_pidfd_open, 1, 0)
TRY(try_kill, SYS_kill, getppid(), 0)
TRY(try_tgkill_self, SYS_tgkill, getpid(), getpid(), 0)
TRY(try_tgkill_other, SYS_tgkill, getppid(), getppid(), 0)
TRY(try_limit_self, SYS_prlimit64, 0, 7, NULL, NULL)
TRY(try_limit_other, SYS_prlimit64, getppid(), 7, NULL, NULL)
TRY(try_unshare, SYS_unshare, CLONE_NEWUSER)
TRY(try_unshare_group, SYS_unshare, CLONE_NEWCGROUP)
TRY(try_unshare_two, SYS_unshare, CLONE_NEWCGROUP | CLONE_NEWNS)
TRY(try_setns, SYS_setns, -1, 0)
TRY(try_mount, SYS_mount, NULL, "/nonexistent", NULL, 0, NULL)
TRY(try_chroot, SYS_chroot, "/nonexistent")
TRY(try_bpf, SYS_bpf, 0, NULL, 0)
TRY(try_keyctl, SYS_keyctl, 0, 0, 0, 0, 0)
TRY(try_io_uring, SYS_io_uring_setup, 1, NULL)
TRY(try_userfaultfd, SYS_userfaultfd, 0)
TRY(try_setuid, SYS_setuid, 0)
TRY(try_capset, SYS_capset, NULL, NULL)
TRY(try_set_name, SYS_prctl, PR_SET_NAME, "x", 0, 0, 0)
TRY(try_dumpable, SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0)
TRY(try_seccomp, SYS_seccomp, 99, 0, NULL)
TRY(try_unix, SYS_socket, AF_UNIX, SOCK_STREAM, 0)
TRY(try_inet, SYS_socket, AF_INET, SOCK_STREAM, 0)
TRY(try_inet6_dgram, SYS_socket, AF_INET6, SOCK_DGRAM, 0)
TRY(try_packet, SYS_socket, AF_PACKET, SOCK_RAW, 0)
TRY(try_packet_high_bits, SYS_socket, 0x100000000L | AF_PACKET, SOCK_RAW, 0)
TRY(try_vsock, SYS_socket, AF_VSOCK, SOCK_STREAM, 0)
TRY(try_alg, SYS_socket, AF_ALG, SOCK_SEQPACKET, 0)
TRY(try_listen, SYS_listen, null_fd, 1)
TRY(try_accept4, SYS_accept4, null_fd, NULL, NULL, 0)
TRY(try_bind, SYS_bind, null_fd, NULL, 0)
TRY(try_shutdown, SYS_shutdown, null_fd, SHUT_RDWR)

static int foreign_architecture(void)
{
#ifdef __x86_64__
	long rv;
	__asm__ volatile("int $0x80" : "=a"(rv) : "a"(20) : "memory"); /* getpid */
	return rv < 0 ? (int)-rv : OK;
#else
	raise(SIGSYS);
	return OK;
#endif
}

#ifdef __x86_64__
TRY(try_x32, 0x40000000L | SYS_getpid)
#endif

#define DENIED (-1) /* EPERM, or death in the mode kill */
#define DEADLY (-2) /* death in both modes */
/* What comes out of a call that is let through; from the kernel it is EPERM for who is
 * not root. */
#define PRIVILEGED(e) (-100 - (e))

static const struct attempt {
	const char *name;
	int (*fn)(void);
	/* OK, DENIED, DEADLY or the errno that shows it was let through or refused so */
	int edge, worker, launcher;
	bool sanitizers; /* S: they may */
} attempts[] = {
	{"getpid", try_getpid, OK, OK, OK, false},
	{"write", try_write, OK, OK, OK, false},
	{"fcntl", try_fcntl, OK, OK, OK, false},
	{"duplicate", try_duplicate, OK, OK, OK, false},
	{"owner of signals", try_set_owner, DENIED, DENIED, OK, false},
	{"signal of a descriptor", try_set_signal, DENIED, DENIED, OK, false},
	{"lease", try_lease, DENIED, DENIED, EINVAL, false},
	{"is it a terminal", try_is_terminal, ENOTTY, ENOTTY, ENOTTY, false},
	{"bytes pending", try_pending, OK, OK, OK, false},
	{"type at a terminal", try_type, DENIED, DENIED, ENOTTY, false},
	{"type, high bits", try_type_high_bits, DENIED, DENIED, ENOTTY, false},
	{"owner by ioctl", try_async_owner, DENIED, DENIED, ENOTTY, false},
	{"open to read", try_read_file, OK, OK, OK, false},
	{"open to write", try_write_file, EACCES, EACCES, OK, false},
	{"open to read and write", try_rdwr_file, EACCES, EACCES, OK, false},
	{"open to append", try_append_file, EACCES, EACCES, OK, false},
	{"open with access 3", try_access_3, EACCES, EACCES, OK, false},
	{"create", try_create_file, DENIED, DENIED, OK, false},
	{"truncate", try_truncate_file, DENIED, DENIED, OK, false},
	{"temporary file", try_tmpfile, DENIED, DENIED, EINVAL, false},
	{"open with high bits", try_high_bits_file, EACCES, EACCES, OK, false},
	{"openat2", try_openat2, DENIED, DENIED, EINVAL, false},
	{"creat", try_creat, DENIED, DENIED, OK, false},
	{"unlink", try_unlink, DENIED, DENIED, ENOENT, false},
	{"rename", try_rename, DENIED, DENIED, ENOENT, false},
	{"chmod", try_chmod, DENIED, DENIED, ENOENT, false},
	{"memfd", try_memfd, DENIED, DENIED, DENIED, false},
	{"map", try_map, OK, OK, OK, false},
	{"map executable", try_map_exec, DENIED, DENIED, OK, false},
	{"map with high bits", try_map_high_bits, DENIED, DENIED, OK, false},
	{"protect", try_protect, OK, OK, OK, false},
	{"protect executable", try_protect_exec, DENIED, DENIED, OK, false},
	{"pkey_mprotect", try_pkey_protect, DENIED, DENIED, OK, false},
	{"personality", try_personality, DENIED, DENIED, OK, false},
	{"execve", try_execve, DEADLY, DEADLY, ENOENT, false},
	{"execveat", try_execveat, DEADLY, DEADLY, ENOENT, false},
	{"fork", try_fork, DENIED, DENIED, OK, false},
	{"vfork", try_vfork, DENIED, DENIED, OK, false},
	{"clone of a process", try_clone, DENIED, DENIED, OK, true},
	{"clone3", try_clone3, ENOSYS, ENOSYS, EINVAL, false},
	{"ptrace", try_ptrace, DEADLY, DEADLY, DENIED, true},
	{"process_vm_readv", try_vm_read, DENIED, DENIED, DENIED, true},
	{"process_vm_writev", try_vm_write, DEADLY, DEADLY, DENIED, false},
	{"pidfd_open", try_pidfd, DENIED, DENIED, OK, false},
	{"kill", try_kill, DENIED, DENIED, OK, true},
	{"tgkill of oneself", try_tgkill_self, OK, OK, OK, false},
	{"tgkill of another", try_tgkill_other, DENIED, DENIED, OK, false},
	{"own limits", try_limit_self, OK, OK, OK, false},
	{"another's limits", try_limit_other, DENIED, DENIED, OK, false},
	{"unshare", try_unshare, DEADLY, DEADLY, DENIED, false},
	{"unshare of groups", try_unshare_group, DEADLY, DEADLY, PRIVILEGED(OK), false},
	{"unshare of groups and more", try_unshare_two, DEADLY, DEADLY, DENIED, false},
	{"setns", try_setns, DEADLY, DEADLY, DENIED, false},
	{"mount", try_mount, DEADLY, DEADLY, PRIVILEGED(ENOENT), false},
	{"chroot", try_chroot, DEADLY, DEADLY, DENIED, false},
	{"bpf", try_bpf, DEADLY, DEADLY, DENIED, false},
	{"keyctl", try_keyctl, DEADLY, DEADLY, DENIED, false},
	{"io_uring", try_io_uring, DEADLY, DEADLY, ENOSYS, false},
	{"userfaultfd", try_userfaultfd, DEADLY, DEADLY, DENIED, false},
	{"setuid", try_setuid, DENIED, DENIED, PRIVILEGED(OK), false},
	{"capset", try_capset, DENIED, DENIED, EFAULT, false},
	{"thread name", try_set_name, OK, OK, OK, false},
	{"dumpable", try_dumpable, DENIED, DENIED, OK, true},
	{"another filter", try_seccomp, DENIED, DENIED, EINVAL, false},
	{"unix socket", try_unix, OK, OK, OK, false},
	{"inet socket", try_inet, OK, OK, OK, false},
	{"inet6 datagram socket", try_inet6_dgram, OK, OK, OK, false},
	{"packet socket", try_packet, DENIED, DENIED, DENIED, false},
	{"packet socket, high bits", try_packet_high_bits, DENIED, DENIED, DENIED, false},
	{"vsock", try_vsock, DENIED, DENIED, DENIED, false},
	{"crypto socket", try_alg, DENIED, DENIED, DENIED, false},
	{"listen", try_listen, DENIED, DENIED, ENOTSOCK, false},
	{"accept4", try_accept4, ENOTSOCK, DENIED, ENOTSOCK, false},
	{"bind", try_bind, ENOTSOCK, ENOTSOCK, ENOTSOCK, false},
	{"shutdown", try_shutdown, ENOTSOCK, ENOTSOCK, ENOTSOCK, false},
	{"32-bit call", foreign_architecture, DEADLY, DEADLY, DEADLY, false},
#ifdef __x86_64__
	{"x32 call", try_x32, DEADLY, DEADLY, DEADLY, false},
#endif
};

/* ---- children */

/* The child's exit status, or KILLED when the filter ended it. */
static int end_of(pid_t pid)
{
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status))
		return WTERMSIG(status) == SIGSYS ? KILLED : -WTERMSIG(status);
	return WEXITSTATUS(status);
}

/* fn in a child confined so; fn's value. */
static int confined(enum sandbox_role role, enum seccomp_else otherwise, int (*fn)(void))
{
	pid_t pid = fork();
	if (pid == 0) {
		signal(SIGSEGV,
		       SIG_DFL); /* cmocka's handler would run the next test here */
		seccomp_confine(role, otherwise);
		_exit(fn());
	}
	return end_of(pid);
}

/* A kernel without 32-bit emulation answers int $0x80 itself, before any filter. */
static bool kernel_has_no_32_bit(void)
{
	pid_t pid = fork();
	if (pid == 0) {
		signal(SIGSEGV, SIG_DFL);
		_exit(foreign_architecture());
	}
	return end_of(pid) == -SIGSEGV;
}

static int expected(const struct attempt *a, enum sandbox_role role, bool kills)
{
	int want = role == SANDBOX_EDGE     ? a->edge
		   : role == SANDBOX_WORKER ? a->worker
					    : a->launcher;
	if (role == SANDBOX_LAUNCHER) /* its jails inherit this: nothing of it kills */
		kills = false;
	if (want <= PRIVILEGED(0))
		return geteuid() ? EPERM : PRIVILEGED(0) - want;
	/* Another architecture is killed by a rule of its own, in every build. */
	bool foreign = strstr(a->name, "32") != NULL;
	if (want == DEADLY)
		return kills || foreign || !SANITIZED ? KILLED : EPERM;
	return want == DENIED ? (kills ? KILLED : EPERM) : want;
}

/* Each death costs a process that some 20 ms: of what kills a third, by turns; all of it
 * where there is time. */
static bool is_asked(size_t i)
{
	return i % 3 == (size_t)getpid() % 3 || getenv("TB_LONG");
}

static void check_role(enum sandbox_role role, enum seccomp_else otherwise)
{
	for (size_t i = 0; i < ARRAY_LEN(attempts); i++) {
		const struct attempt *a = &attempts[i];
		if (SANITIZED && a->sanitizers)
			continue;
		int want = expected(a, role, otherwise == SECCOMP_ELSE_KILL);
		if (want == KILLED && !is_asked(i))
			continue;
		if (a->fn == foreign_architecture && kernel_has_no_32_bit())
			want = -SIGSEGV;
		int got = confined(role, otherwise, a->fn);
		if (got != want)
			fail_msg("role %d, %s: %s gives %d, not %d", role,
				 otherwise == SECCOMP_ELSE_KILL ? "kill" : "eperm",
				 a->name, got, want);
	}
}

static void test_refused_calls_fail(void **state)
{
	(void)state;
	for (int role = 0; role < (int)ROLES; role++)
		check_role((enum sandbox_role)role, SECCOMP_ELSE_EPERM);
}

static void test_refused_calls_kill(void **state)
{
	(void)state;
	for (int role = 0; role < (int)ROLES; role++)
		check_role((enum sandbox_role)role, SECCOMP_ELSE_KILL);
}

/* ---- a process at work */

static void *do_nothing(void *arg)
{
	return arg;
}

/* What the libraries do all day, in the mode that forgives nothing. */
static int work(void)
{
	pthread_t t;
	void *big = malloc(4 << 20), *grown;
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(1)};
	if (!big || !(grown = realloc(big, 16 << 20)))
		return 10;
	free(grown);
	if (pthread_create(&t, NULL, do_nothing, NULL) || pthread_join(t, NULL))
		return 11;
	if (getaddrinfo("localhost", "80", &hints, &found))
		return 12;
	freeaddrinfo(found);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), pair[2];
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	connect(fd, (struct sockaddr *)&a, sizeof a);
	int ep = epoll_create1(EPOLL_CLOEXEC), ev = eventfd(1, EFD_CLOEXEC);
	struct epoll_event e = {.events = EPOLLIN};
	if (fd < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, ev, &e) ||
	    epoll_wait(ep, &e, 1, 1000) != 1)
		return 13;
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) || send(pair[0], "x", 1, 0) != 1)
		return 14;
	close(fd);
	return 0;
}

static void test_work_goes_on(void **state)
{
	(void)state;
	struct addrinfo *found;
	/* as sandbox_enter's callers do: the resolver is loaded before */
	assert_int_equal(getaddrinfo("localhost", "80", NULL, &found), 0);
	freeaddrinfo(found);
	assert_int_equal(confined(SANDBOX_EDGE, SECCOMP_ELSE_KILL, work), 0);
	assert_int_equal(confined(SANDBOX_WORKER, SECCOMP_ELSE_KILL, work), 0);
}

/* ---- threads that were there before */

#define THREADS 3

static int gate[2];
static int thread_saw[THREADS];

static void *wait_and_try(void *arg)
{
	char c;
	int *saw = arg;
	if (read(gate[0], &c, 1) != 1)
		return NULL;
	*saw = try_memfd();
	return NULL;
}

static int confine_with_threads(void)
{
	pthread_t t[THREADS];
	if (pipe(gate))
		return 10;
	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&t[i], NULL, wait_and_try, &thread_saw[i]))
			return 11;
	seccomp_confine(SANDBOX_WORKER, SECCOMP_ELSE_EPERM);
	int seen = seccomp_verify(); /* sanitizers have threads of their own */
	if (SANITIZED ? seen < THREADS + 1 : seen != THREADS + 1)
		return 12;
	if (write(gate[1], "123", 3) != 3)
		return 13;
	for (int i = 0; i < THREADS; i++) {
		pthread_join(t[i], NULL);
		if (thread_saw[i] != EPERM)
			return 14;
	}
	return 0;
}

static void test_all_threads(void **state)
{
	(void)state;
	pid_t pid = fork();
	if (pid == 0)
		_exit(confine_with_threads());
	assert_int_equal(end_of(pid), 0);
}

/* Without a filter the check dies instead of counting. */
static void test_verify_notices(void **state)
{
	(void)state;
	pid_t pid = fork();
	if (pid == 0) {
		dup2(null_fd, STDERR_FILENO);
		seccomp_verify();
		_exit(0);
	}
	assert_int_equal(end_of(pid), 1);
}

/* ---- the level that is reported, and privileges */

static int enter_and_tell(void)
{
	char detail[128];
	sandbox_prepare(SANDBOX_WORKER);
	sandbox_enter(SANDBOX_WORKER, detail, sizeof detail);
	const char *wish = getenv("TERABITS_SECCOMP");
	const char *want = wish && !strcmp(wish, "kill") ? "seccomp=kill threads=1"
							 : "seccomp=eperm threads=1";
	size_t n = strlen(want) - SANITIZED; /* which have threads of their own */
	return strncmp(detail, want, n + !SANITIZED) ? 10
	       : try_memfd() == EPERM                ? 20
						     : 30;
}

static int enter_with(const char *wish)
{
	pid_t pid = fork();
	if (pid == 0) {
		if (wish)
			setenv("TERABITS_SECCOMP", wish, 1);
		else
			unsetenv("TERABITS_SECCOMP");
		_exit(enter_and_tell());
	}
	return end_of(pid);
}

static void test_the_mode_is_wished_for(void **state)
{
	(void)state;
	assert_int_equal(enter_with(NULL), 20);
	assert_int_equal(enter_with("eperm"), 20);
	assert_int_equal(enter_with("nonsense"), 20);
	assert_int_equal(enter_with("kill"), KILLED);
}

static int privileges(void)
{
	sandbox_prepare(SANDBOX_EDGE);
	if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
		return 10;
	pid_t pid = fork();
	if (pid == 0) {
		seccomp_confine(SANDBOX_EDGE, SECCOMP_ELSE_EPERM);
		char text[4096];
		int fd = open("/proc/self/status", O_RDONLY);
		ssize_t n = read(fd, text, sizeof text - 1);
		text[n > 0 ? n : 0] = 0;
		_exit(strstr(text, "NoNewPrivs:\t1") ? 0 : 11);
	}
	int status;
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 12;
}

static void test_privileges(void **state)
{
	(void)state;
	pid_t pid = fork();
	if (pid == 0)
		_exit(privileges());
	assert_int_equal(end_of(pid), 0);
}

/* ---- the table */

static const struct {
	const char *name;
	unsigned roles;
	const char *reason;
} rows[] = {
#define SYSCALL(name, roles, reason) {#name, roles, reason},
#include "sandbox/syscalls.tbl"
#undef SYSCALL
};

/* A name that does not resolve would be skipped silently: a typing error. */
static void test_rows(void **state)
{
	(void)state;
	static const char *const by_argument[] = {
		"clone3", "fcntl",    "ioctl",   "socket", "socketpair",
		"mmap",   "mprotect", "openat",  "prctl",  "prlimit64",
		"tgkill", "execve",   "execveat"};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (seccomp_syscall_resolve_name(rows[i].name) == __NR_SCMP_ERROR)
			fail_msg("there is no system call %s", rows[i].name);
		if (!rows[i].reason[0] || !rows[i].roles || rows[i].roles > 15)
			fail_msg("%s: the row is not whole", rows[i].name);
		for (size_t k = 0; k < ARRAY_LEN(by_argument); k++)
			if (!strcmp(rows[i].name, by_argument[k]))
				fail_msg("%s is allowed whatever its arguments",
					 rows[i].name);
		for (size_t k = 0; k < i; k++)
			if (!strcmp(rows[i].name, rows[k].name))
				fail_msg("%s stands there twice", rows[i].name);
	}
}

static int setup(void **state)
{
	(void)state;
	null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		    0);
	return null_fd < 0 || pipe(pipe_fds) || page == MAP_FAILED;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused_calls_fail),
		cmocka_unit_test(test_refused_calls_kill),
		cmocka_unit_test(test_work_goes_on),
		cmocka_unit_test(test_all_threads),
		cmocka_unit_test(test_verify_notices),
		cmocka_unit_test(test_the_mode_is_wished_for),
		cmocka_unit_test(test_privileges),
		cmocka_unit_test(test_rows),
	};
	return cmocka_run_group_tests(tests, setup, NULL);
}
