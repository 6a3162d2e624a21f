/* SPDX-License-Identifier: Apache-2.0
 * A worker in the hands of somebody else: it enters its role as the real one does, then
 * tries what it must not, against the real launcher beside it. Each attempt is a process
 * of its own; the launcher serves afterwards as before. In both modes of the filter. */
#include "driver.h"

#include <stdbool.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "sandbox/sandbox.h"

#ifdef TB_SANITIZED
#define SANITIZED true
#else
#define SANITIZED false
#endif

static struct driven driven, other;
static char canary[96]; /* a file that only who runs the tests may read */
static char victim_environ[64], victim_fds[64], victim_mem[64];
static char byte;

/* ---- what it tries: 0, or an errno */

#define TRY(name, ...)                                                                   \
	static int name(void)                                                            \
	{                                                                                \
		errno = 0;                                                               \
		return syscall(__VA_ARGS__) < 0 ? errno : 0;                             \
	}
#define READ_ONLY O_RDONLY | O_CLOEXEC | O_NONBLOCK
TRY(exec_a_shell, SYS_execve, "/bin/sh", NULL, NULL)
TRY(fork_it, SYS_clone, SIGCHLD, NULL, NULL, NULL, 0)
TRY(share_nothing, SYS_unshare, CLONE_NEWUSER)
TRY(enter_namespaces, SYS_setns, 0, CLONE_NEWNS)
TRY(mount_it, SYS_mount, "x", "/tmp", "tmpfs", 0, NULL)
TRY(kill_the_launcher, SYS_kill, driven.pid, SIGKILL)
TRY(kill_the_supervisor, SYS_kill, getppid(), SIGKILL)
TRY(kill_all, SYS_kill, -1, SIGTERM)
TRY(kill_a_thread, SYS_tgkill, driven.pid, driven.pid, SIGKILL)
TRY(queue_a_signal, SYS_rt_sigqueueinfo, driven.pid, SIGKILL, NULL)
TRY(open_a_pidfd, SYS_pidfd_open, driven.pid, 0)
TRY(trace_the_launcher, SYS_ptrace, PTRACE_SEIZE, driven.pid, NULL, NULL)
TRY(limit_the_launcher, SYS_prlimit64, driven.pid, 7, NULL, NULL)
TRY(write_a_file, SYS_openat, AT_FDCWD, driven.workspace, O_WRONLY | O_TMPFILE, 0600)
TRY(create_a_file, SYS_openat, AT_FDCWD, "/tmp/evil", O_CREAT | O_WRONLY, 0600)
TRY(change_a_file, SYS_openat, AT_FDCWD, canary, O_RDWR)
TRY(truncate_a_file, SYS_truncate, canary, 0)
TRY(remove_a_file, SYS_unlinkat, AT_FDCWD, canary, 0)
TRY(rename_a_file, SYS_renameat2, AT_FDCWD, canary, AT_FDCWD, "/tmp/evil", 0)
TRY(make_a_directory, SYS_mkdirat, AT_FDCWD, "/tmp/evil", 0700)
TRY(link_a_file, SYS_linkat, AT_FDCWD, canary, AT_FDCWD, "/tmp/evil", 0)
TRY(map_code, SYS_mmap, NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
TRY(make_memory_code, SYS_mprotect, (uintptr_t)&byte & ~4095ul, 4096, PROT_EXEC)
TRY(sniff, SYS_socket, AF_PACKET, SOCK_RAW, 0)
TRY(use_crypto, SYS_socket, AF_ALG, SOCK_SEQPACKET, 0)
TRY(use_vsock, SYS_socket, AF_VSOCK, SOCK_STREAM, 0)
TRY(load_bpf, SYS_bpf, 0, NULL, 0)
TRY(use_keys, SYS_keyctl, 0, 0, 0, 0, 0)
TRY(ring, SYS_io_uring_setup, 1, NULL)
TRY(fault, SYS_userfaultfd, 0)
TRY(be_dumpable, SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0)
TRY(be_root, SYS_setresuid, 0, 0, 0)
TRY(read_passwords, SYS_openat, AT_FDCWD, "/etc/passwd", READ_ONLY)
TRY(read_shadow, SYS_openat, AT_FDCWD, "/etc/shadow", READ_ONLY)
TRY(read_the_state, SYS_openat, AT_FDCWD, canary, READ_ONLY)
TRY(read_environment, SYS_openat, AT_FDCWD, victim_environ, READ_ONLY)
TRY(read_descriptors, SYS_openat, AT_FDCWD, victim_fds, READ_ONLY | O_DIRECTORY)
TRY(read_memory, SYS_openat, AT_FDCWD, victim_mem, READ_ONLY)
TRY(read_resolver, SYS_openat, AT_FDCWD, "/etc/resolv.conf", READ_ONLY)
TRY(listen_to_all, SYS_listen, 0, 1)

static int read_memory_directly(void)
{
	struct iovec here = {&byte, 1}, there = {&byte, 1};
	return syscall(SYS_process_vm_readv, driven.pid, &here, 1, &there, 1, 0) < 0
		       ? errno
		       : 0;
}

static int write_memory_directly(void)
{
	struct iovec here = {&byte, 1}, there = {&byte, 1};
	return syscall(SYS_process_vm_writev, driven.pid, &here, 1, &there, 1, 0) < 0
		       ? errno
		       : 0;
}

enum verdict {
	REFUSED, /* EPERM or EACCES, or death by the filter */
	HIDDEN,  /* likewise, or it is not there */
	OPEN,    /* what it needs */
};

static const struct attempt {
	const char *name;
	int (*fn)(void);
	enum verdict wants;
	bool sanitizers; /* need it themselves */
} attempts[] = {
	{"execve", exec_a_shell, REFUSED, false},
	{"fork", fork_it, REFUSED, true},
	{"unshare", share_nothing, REFUSED, false},
	{"setns", enter_namespaces, REFUSED, false},
	{"mount", mount_it, REFUSED, false},
	{"kill of the launcher", kill_the_launcher, REFUSED, true},
	{"kill of the supervisor", kill_the_supervisor, REFUSED, true},
	{"kill of all", kill_all, REFUSED, true},
	{"tgkill", kill_a_thread, REFUSED, false},
	{"sigqueue", queue_a_signal, REFUSED, false},
	{"pidfd_open", open_a_pidfd, REFUSED, false},
	{"ptrace", trace_the_launcher, REFUSED, true},
	{"process_vm_readv", read_memory_directly, REFUSED, true},
	{"process_vm_writev", write_memory_directly, REFUSED, false},
	{"prlimit", limit_the_launcher, REFUSED, false},
	{"a temporary file", write_a_file, REFUSED, false},
	{"a new file", create_a_file, REFUSED, false},
	{"change of a file", change_a_file, REFUSED, false},
	{"truncate", truncate_a_file, REFUSED, false},
	{"unlink", remove_a_file, REFUSED, false},
	{"rename", rename_a_file, REFUSED, false},
	{"mkdir", make_a_directory, REFUSED, false},
	{"link", link_a_file, REFUSED, false},
	{"executable memory", map_code, REFUSED, false},
	{"memory made executable", make_memory_code, REFUSED, false},
	{"packet socket", sniff, REFUSED, false},
	{"crypto socket", use_crypto, REFUSED, false},
	{"vsock", use_vsock, REFUSED, false},
	{"bpf", load_bpf, REFUSED, false},
	{"keyctl", use_keys, REFUSED, false},
	{"io_uring", ring, REFUSED, false},
	{"userfaultfd", fault, REFUSED, false},
	{"dumpable", be_dumpable, REFUSED, true},
	{"setuid", be_root, REFUSED, false},
	{"listen", listen_to_all, REFUSED, false},
	{"the resolver's files", read_resolver, OPEN, false},
	/* Its mount namespace has none of these. */
	{"/etc/passwd", read_passwords, HIDDEN, false},
	{"/etc/shadow", read_shadow, HIDDEN, false},
	{"the state directory", read_the_state, HIDDEN, false},
	{"the launcher's environment", read_environment, HIDDEN, false},
	{"the launcher's descriptors", read_descriptors, HIDDEN, false},
	{"the launcher's memory", read_memory, HIDDEN, false},
};

/* The evil worker: its role, then the attempt. */
static int as_worker(int (*fn)(void))
{
	char detail[128];
	signal(SIGSYS, SIG_DFL);
	sandbox_prepare(SANDBOX_WORKER);
	sandbox_enter(SANDBOX_WORKER, detail, sizeof detail);
	return fn();
}

/* The errno, or -1: the filter killed it. */
static int try(int (*fn)(void))
{
	int how;
	pid_t pid = fork();
	if (pid == 0)
		_exit(as_worker(fn));
	assert_int_equal(waitpid(pid, &how, 0), pid);
	if (WIFSIGNALED(how) && WTERMSIG(how) == SIGSYS)
		return -1;
	if (!WIFEXITED(how))
		fail_msg("it ended with %#x", how);
	return WEXITSTATUS(how);
}

static const char *echo(uint64_t id)
{
	char buffer[64];
	struct wire_jail_open m = {.id = id, .handle = 1, .kind = JAIL_KIND_EXEC};
	m.argv = driver_words(buffer, sizeof buffer, "/bin/echo", "all", "well");
	return driver_run(&driven, &m, "");
}

static void check_attempts(const char *mode)
{
	setenv("TERABITS_SECCOMP", mode, 1);
	for (size_t i = 0; i < ARRAY_LEN(attempts); i++) {
		const struct attempt *a = &attempts[i];
		if (SANITIZED && a->sanitizers)
			continue;
		int got = try(a->fn);
		bool refused = got == -1 || got == EPERM || got == EACCES;
		bool hidden = refused || got == ENOENT;
		if (a->wants == REFUSED  ? !refused
		    : a->wants == HIDDEN ? !hidden
					 : got != 0)
			fail_msg("%s, %s: %d", mode, a->name, got);
	}
	assert_string_equal(echo(1000), "all well\n");
	assert_int_equal(access(canary, R_OK | W_OK), 0);
	assert_int_equal(access("/tmp/evil", F_OK), -1);
}

static void test_refused(void **state)
{
	(void)state;
	check_attempts("eperm");
}

static void test_killed(void **state)
{
	(void)state;
	check_attempts("kill");
}

/* ---- its requests */

static void expect_refused(const struct driven *d, const struct wire_jail_open *m)
{
	assert_int_equal(packet_send(d->peer, WIRE_JAIL_OPEN, m, NULL, 0), ERR_OK);
	if (driver_hear(d) != WIRE_JAIL_REFUSED)
		fail_msg("a request beyond the grant was served");
	assert_int_equal(answer.message.jail_refused.id, m->id);
}

static void test_handles(void **state)
{
	char buffer[64];
	struct wire_jail_open m = {.id = 1, .kind = JAIL_KIND_EXEC};
	(void)state;
	m.argv = driver_words(buffer, sizeof buffer, "/bin/echo", "all", "well");
	driver_grant(&other, 77, 1000);
	static const uint64_t handles[] = {0, 2, 77, UINT64_MAX, 1ull << 32 | 1};
	for (size_t i = 0; i < ARRAY_LEN(handles); i++) {
		m.handle = handles[i];
		expect_refused(&driven, &m);
	}
	m.handle = 1;
	expect_refused(&other, &m);
	for (uint32_t kind = 0; kind < 300; kind++) {
		m.kind = kind ? kind + JAIL_KIND_IN : 0;
		expect_refused(&driven, &m);
	}
	assert_string_equal(echo(2), "all well\n");
}

/* Asking for more than was granted gives what was granted. */
static void test_limits(void **state)
{
	char buffer[256], wants[128];
	struct wire_jail_open m = {.id = 1,
				   .handle = 3,
				   .kind = JAIL_KIND_EXEC,
				   .timeout_ms = UINT32_MAX,
				   .memory_bytes = UINT64_MAX,
				   .file_bytes = UINT64_MAX,
				   .processes = UINT32_MAX};
	(void)state;
	m.argv = driver_words(buffer, sizeof buffer, "/bin/bash", "-c",
			      "ulimit -Hu; ulimit -Hf; ulimit -Hv; ulimit -Hc");
	snprintf(wants, sizeof wants, "32\n1024\n%s\n0\n",
		 SANITIZED ? "unlimited" : "98304");
	assert_string_equal(driver_run(&driven, &m, ""), wants);
	m.argv = driver_words(buffer, sizeof buffer, "/bin/sleep", "100", NULL);
	driver_run(&driven, &m, "");
	assert_int_equal(answer.message.jail_closed.end, JAIL_END_TIMED_OUT);
	assert_true(answer.message.jail_closed.wall_us < 15000000);
}

/* A child of a thread is as heavy as that of a process; so is what lives on in a
 * descriptor only. */
static void test_memory_has_no_corner(void **state)
{
	static const char *const hogs[] = {
		"import threading, os, time\n"
		"def f():\n"
		" if os.fork() == 0:\n"
		"  x = bytearray(b'x') * 90000000\n"
		"  time.sleep(100)\n"
		" time.sleep(100)\n"
		"t = threading.Thread(target=f)\nt.start()\ntime.sleep(100)\n",
		"import os, time\n"
		"f = os.memfd_create('x')\n"
		"for i in range(90): os.write(f, bytes(1000000))\n"
		"time.sleep(100)\n"};
	char buffer[1024];
	struct wire_jail_open m = {.id = 1, .handle = 1, .kind = JAIL_KIND_EXEC};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(hogs); i++) {
		m.argv = driver_words(buffer, sizeof buffer, "/usr/bin/python3", "-c",
				      hogs[i]);
		driver_run(&driven, &m, "");
		if (answer.message.jail_closed.end == JAIL_END_TIMED_OUT)
			fail_msg("hog %zu lived on", i);
	}
}

/* ---- nonsense */

static uint64_t seed = 88172645463325252ull;

static unsigned chance(unsigned n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)(seed % n);
}

/* With descriptors, or an honest packet with a byte or its length changed. It ends that
 * worker's connection, or is refused, and nothing else. */
static void test_garbage(void **state)
{
	(void)state;
	for (int round = 0; round < 40; round++) {
		AUTO(strbuf_fini) struct strbuf b = {0};
		char text[256];
		struct wire_jail_open m = {.id = 1, .handle = 1, .kind = JAIL_KIND_EXEC};
		m.argv = driver_words(text, sizeof text, "/bin/echo", "x", "y");
		int pair[2];
		assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
		struct packet p;
		const char *why;
		for (int i = 0; i < 50; i++) {
			strbuf_reset(&b);
			wire_encode_counter(&b, chance(2));
			wire_encode(&b, WIRE_JAIL_OPEN, &m);
			for (unsigned k = chance(6); k--;)
				b.p[chance((unsigned)b.n)] = (char)chance(256);
			size_t n = chance(3) ? b.n : 1 + chance((unsigned)b.n);
			assert_true(send(pair[0], b.p, n, MSG_NOSIGNAL) == (ssize_t)n);
			enum err e = packet_receive(pair[1], JAIL_UP, &p, &why);
			assert_true(e == ERR_OK || e == ERR_PROTOCOL);
			if (!e)
				assert_true(p.id == WIRE_JAIL_OPEN ||
					    p.id == WIRE_JAIL_KILL);
		}
		close(pair[0]);
		close(pair[1]);
	}
}

static void test_descriptors_are_not_kept(void **state)
{
	struct wire_jail_open m = {.id = 9, .handle = 99, .kind = JAIL_KIND_EXEC};
	int fds[3] = {driven.peer, driven.control, 2};
	(void)state;
	assert_string_equal(echo(8), "all well\n");
	unsigned before = driver_entries(victim_fds);
	for (int i = 0; i < 300; i++) {
		assert_int_equal(packet_send(driven.peer, WIRE_JAIL_OPEN, &m, fds, 3),
				 ERR_OK);
		assert_int_equal(driver_hear(&driven), WIRE_JAIL_REFUSED);
	}
	assert_true(driver_entries(victim_fds) < before + 10);
	assert_string_equal(echo(10), "all well\n");
}

/* Who asks and never listens holds up nobody but himself: the supervisor is heard. */
static void test_it_never_listens(void **state)
{
	struct wire_jail_open m = {.id = 9, .handle = 99, .kind = JAIL_KIND_EXEC};
	unsigned sent = 0;
	(void)state;
	struct driven mute;
	driver_start(&mute);
	fcntl(mute.peer, F_SETFL, O_NONBLOCK);
	for (int misses = 0; misses < 2000;) {
		if (packet_send(mute.peer, WIRE_JAIL_OPEN, &m, NULL, 0)) {
			misses++;
			sched_yield();
		} else {
			sent++;
		}
	}
	print_message("%u requests before it stopped taking them\n", sent);
	assert_true(sent > 10 && sent < 100000);
	driver_stop(&mute); /* which the supervisor's word does */
}

static int setup(void **state)
{
	(void)state;
	driver_start(&driven);
	driver_start(&other);
	driver_grant(&driven, 1, 10000);
	driver_grant(&driven, 3, 1000);
	snprintf(canary, sizeof canary, "%s/canary", other.workspace);
	close(open(canary, O_CREAT | O_WRONLY, 0600));
	snprintf(victim_environ, sizeof victim_environ, "/proc/%d/environ", driven.pid);
	snprintf(victim_fds, sizeof victim_fds, "/proc/%d/fd", driven.pid);
	snprintf(victim_mem, sizeof victim_mem, "/proc/%d/mem", driven.pid);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	driver_stop(&driven);
	driver_stop(&other);
	return 0;
}

/* Where there is little time the filters are tried as one user alone. */
static int all_but_calls(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_handles),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_memory_has_no_corner),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}

static int all(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_killed),
		cmocka_unit_test(test_handles),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_memory_has_no_corner),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_descriptors_are_not_kept),
		cmocka_unit_test(test_it_never_listens),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}

int main(void)
{
	int how = 0;
	log_init("test", LOG_ERROR);
	if (!driver_can(0)) {
		print_message("namespaces are refused here: nothing can be tested\n");
		return 0;
	}
	if (geteuid() == 0 && driver_can(ORDINARY)) {
		pid_t pid = fork();
		if (pid == 0) {
			driver_uid = ORDINARY;
			driver_become();
			driver_uid = 0;
			prctl(PR_SET_DUMPABLE, 1); /* as after an exec */
			exit(all());
		}
		waitpid(pid, &how, 0);
	}
	return (geteuid() || getenv("TB_LONG") ? all() : all_but_calls()) + (how != 0);
}
