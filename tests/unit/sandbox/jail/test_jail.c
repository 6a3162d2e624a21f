/* SPDX-License-Identifier: Apache-2.0
 * Jails, from inside: each probe is a function or a program in a jail of its own, as the
 * user who runs the tests and, if that is root, as an ordinary user as well. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/attr.h"
#include "common/log.h"
#include "sandbox/jail/jail.h"
#include "tests/unit/sandbox/jail/jail_case.h"

#define CANARY "canary-7717"

static char sibling[96];

/* ---- system calls */

typedef int call_fn(void);
struct call_probe {
	const char *name;
	call_fn *call; /* 0 or an errno */
	int wants;
};

#define TRY(name, ...)                                                                   \
	static int name(void)                                                            \
	{                                                                                \
		errno = 0;                                                               \
		return syscall(__VA_ARGS__) < 0 ? errno : 0;                             \
	}
TRY(try_getpid, SYS_getpid)
TRY(try_mount, SYS_mount, "x", "/workspace", "tmpfs", 0, NULL)
TRY(try_umount, SYS_umount2, "/workspace", MNT_DETACH)
TRY(try_pivot, SYS_pivot_root, "/workspace", "/workspace")
TRY(try_chroot, SYS_chroot, "/workspace")
TRY(try_open_tree, SYS_open_tree, AT_FDCWD, "/", 0)
TRY(try_fsopen, SYS_fsopen, "tmpfs", 0)
TRY(try_unshare, SYS_unshare, CLONE_NEWUSER)
TRY(try_unshare_group, SYS_unshare, CLONE_NEWCGROUP)
TRY(try_setns, SYS_setns, -1, 0)
TRY(try_clone_ns, SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0)
TRY(try_clone3, SYS_clone3, NULL, 0)
TRY(try_ptrace, SYS_ptrace, 16 /* ATTACH */, 1, NULL, NULL)
TRY(try_vm_read, SYS_process_vm_readv, 1, NULL, 0, NULL, 0, 0)
TRY(try_vm_write, SYS_process_vm_writev, 1, NULL, 0, NULL, 0, 0)
TRY(try_pidfd_getfd, SYS_pidfd_getfd, 0, 0, 0)
TRY(try_bpf, SYS_bpf, 0, NULL, 0)
TRY(try_keyctl, SYS_keyctl, 0, 0, 0, 0, 0)
TRY(try_add_key, SYS_add_key, "user", "x", "x", 1, -3)
TRY(try_io_uring, SYS_io_uring_setup, 1, NULL)
TRY(try_userfaultfd, SYS_userfaultfd, 0)
TRY(try_perf, SYS_perf_event_open, NULL, 0, -1, -1, 0)
TRY(try_module, SYS_init_module, NULL, 0, "")
TRY(try_kexec, SYS_kexec_load, 0, 0, NULL, 0)
TRY(try_reboot, SYS_reboot, 0, 0, 0, NULL)
TRY(try_settime, SYS_clock_settime, CLOCK_REALTIME, NULL)
TRY(try_swapon, SYS_swapon, "/workspace/x", 0)
TRY(try_handle, SYS_open_by_handle_at, 0, NULL, 0)
TRY(try_syslog, SYS_syslog, 3, NULL, 0)
TRY(try_quotactl, SYS_quotactl, 0, NULL, 0, NULL)
TRY(try_acct, SYS_acct, NULL)
TRY(try_sethostname, SYS_sethostname, "x", 1)
TRY(try_seccomp, SYS_seccomp, 1, 0, NULL)
TRY(try_setuid_root, SYS_setresuid, 0, 0, 0)
TRY(try_mknod, SYS_mknodat, AT_FDCWD, "/workspace/n", S_IFCHR | 0600, 0x103)
TRY(try_mkfifo, SYS_mknodat, AT_FDCWD, "/workspace/fifo", S_IFIFO | 0600, 0)
TRY(try_mkfifo_high, SYS_mknodat, AT_FDCWD, "/workspace/n",
    0x100000000ull | S_IFCHR | 0600, 0x103)
TRY(try_packet, SYS_socket, AF_PACKET, SOCK_RAW, 0)
TRY(try_netlink, SYS_socket, AF_NETLINK, SOCK_RAW, 0)
TRY(try_vsock, SYS_socket, AF_VSOCK, SOCK_STREAM, 0)
TRY(try_alg, SYS_socket, AF_ALG, SOCK_SEQPACKET, 0)
TRY(try_inet, SYS_socket, AF_INET, SOCK_STREAM, 0)
TRY(try_raw_ip, SYS_socket, AF_INET, SOCK_RAW, IPPROTO_ICMP)
TRY(try_personality, SYS_personality, 0x0400000)
TRY(try_raise_limit, SYS_prlimit64, 0, RLIMIT_NPROC, &(uint64_t[2]){100000, 100000}, NULL)
TRY(try_root_write, SYS_openat, AT_FDCWD, "/x", O_CREAT | O_WRONLY, 0600)
TRY(try_usr_write, SYS_openat, AT_FDCWD, "/usr/x", O_CREAT | O_WRONLY, 0600)
TRY(try_etc_write, SYS_openat, AT_FDCWD, "/etc/passwd", O_WRONLY)
TRY(try_sysctl, SYS_openat, AT_FDCWD, "/proc/sys/kernel/hostname", O_WRONLY)
TRY(try_sysrq, SYS_openat, AT_FDCWD, "/proc/sysrq-trigger", O_WRONLY)
TRY(try_mem, SYS_openat, AT_FDCWD, "/dev/mem", O_RDONLY)
TRY(try_sys, SYS_openat, AT_FDCWD, "/sys/kernel", O_RDONLY)
TRY(try_workspace_write, SYS_openat, AT_FDCWD, "/workspace/w", O_CREAT | O_WRONLY, 0600)
TRY(try_tmp_write, SYS_openat, AT_FDCWD, "/tmp/w", O_CREAT | O_WRONLY, 0600)
TRY(try_shm_write, SYS_openat, AT_FDCWD, "/dev/shm/w", O_CREAT | O_WRONLY, 0600)
TRY(try_null_write, SYS_openat, AT_FDCWD, "/dev/null", O_WRONLY)

static int try_tiocsti(void)
{
	errno = 0;
	return ioctl(0, TIOCSTI, "x") ? errno : 0;
}

/* Its high half is not looked at by the kernel: a filter must not be fooled by it. */
static int try_tiocsti_high(void)
{
	errno = 0;
	return syscall(SYS_ioctl, 0, 0x100000000ull | TIOCSTI, "x") ? errno : 0;
}

/* Whose disk space a file counts as: its owner could give it away. */
static int try_project(void)
{
	struct fsxattr x = {0};
	errno = 0;
	return ioctl(0, FS_IOC_FSSETXATTR, &x) ? errno : 0;
}

static int try_file_flags(void)
{
	int flags = 0;
	errno = 0;
	return ioctl(0, FS_IOC_SETFLAGS, &flags) ? errno : 0;
}

static int try_connect(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_port = htons(80),
				.sin_addr.s_addr = htonl(0x01010101)};
	int s = socket(AF_INET, SOCK_STREAM, 0);
	return connect(s, (struct sockaddr *)&a, sizeof a) ? errno : 0;
}

static const struct call_probe calls[] = {
	{"getpid", try_getpid, 0},
	{"mount", try_mount, EPERM},
	{"umount2", try_umount, EPERM},
	{"pivot_root", try_pivot, EPERM},
	{"chroot", try_chroot, EPERM},
	{"open_tree", try_open_tree, EPERM},
	{"fsopen", try_fsopen, EPERM},
	{"unshare", try_unshare, EPERM},
	{"unshare of groups", try_unshare_group, EPERM},
	{"setns", try_setns, EPERM},
	{"clone into a namespace", try_clone_ns, EPERM},
	{"clone3", try_clone3, ENOSYS},
	{"ptrace", try_ptrace, EPERM},
	{"process_vm_readv", try_vm_read, EPERM},
	{"process_vm_writev", try_vm_write, EPERM},
	{"pidfd_getfd", try_pidfd_getfd, EPERM},
	{"bpf", try_bpf, EPERM},
	{"keyctl", try_keyctl, EPERM},
	{"add_key", try_add_key, EPERM},
	{"io_uring_setup", try_io_uring, ENOSYS},
	{"userfaultfd", try_userfaultfd, EPERM},
	{"perf_event_open", try_perf, EPERM},
	{"init_module", try_module, EPERM},
	{"kexec_load", try_kexec, EPERM},
	{"reboot", try_reboot, EPERM},
	{"clock_settime", try_settime, EPERM},
	{"swapon", try_swapon, EPERM},
	{"open_by_handle_at", try_handle, EPERM},
	{"syslog", try_syslog, EPERM},
	{"quotactl", try_quotactl, EPERM},
	{"acct", try_acct, EPERM},
	{"sethostname", try_sethostname, EPERM},
	{"seccomp", try_seccomp, EPERM},
	{"setresuid 0", try_setuid_root, -1}, /* any refusal */
	{"mknod", try_mknod, EPERM},
	{"mknod of a pipe", try_mkfifo, 0},
	{"mknod with high bits", try_mkfifo_high, EPERM},
	{"AF_PACKET", try_packet, EPERM},
	{"AF_NETLINK", try_netlink, EPERM},
	{"AF_VSOCK", try_vsock, EPERM},
	{"AF_ALG", try_alg, EPERM},
	{"AF_INET", try_inet, 0},
	{"a raw socket", try_raw_ip, EPERM},
	{"connect", try_connect, -1},
	{"personality", try_personality, EPERM},
	{"a higher limit", try_raise_limit, EPERM},
	{"TIOCSTI", try_tiocsti, EPERM},
	{"TIOCSTI with high bits", try_tiocsti_high, EPERM},
	{"a file's project", try_project, EPERM},
	{"a file's flags", try_file_flags, EPERM},
	{"write below /", try_root_write, -1},
	{"write below /usr", try_usr_write, -1},
	{"write of /etc/passwd", try_etc_write, -1},
	{"write of a sysctl", try_sysctl, -1},
	{"write of sysrq-trigger", try_sysrq, -1},
	{"/dev/mem", try_mem, ENOENT},
	{"/sys", try_sys, ENOENT},
	{"write in the workspace", try_workspace_write, 0},
	{"write in /tmp", try_tmp_write, 0},
	{"write in /dev/shm", try_shm_write, 0},
	{"write of /dev/null", try_null_write, 0},
};

static void run_probe(void *arg)
{
	const struct call_probe *p = arg;
	int got = p->call();
	if (write(1, &got, sizeof got) != sizeof got)
		_exit(99);
}

static void test_calls(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		struct call_probe p = calls[i];
		struct jail_spec s = make_spec();
		int got = -2;
		s.run = run_probe;
		s.arg = &p;
		run(&s, &said, 10000);
		if (said.report.kind != JAIL_EXITED || said.report.number ||
		    said.n != sizeof got)
			fail_msg("%s: kind %u %d, \"%s\", %zu bytes", p.name,
				 said.report.kind, said.report.number, said.report.text,
				 said.n);
		memcpy(&got, said.text, sizeof got);
		if (p.wants == -1 ? got == 0 : got != p.wants)
			fail_msg("%s: got %s", p.name, strerror(got));
	}
}

/* ---- what a program sees */

static void assert_silent_about(const char *script, const char *text)
{
	const char *got = shell(script);
	if (strstr(got, text))
		fail_msg("%s: found \"%s\" in \"%s\"", script, text, got);
}

static void test_the_view(void **state)
{
	(void)state;
	assert_says("hostname", "jail\n");
	assert_says("ls /proc/1/fd 2>&1", "No such file");
	/* Refused by Landlock, or ignored by who is the first of its namespace. */
	assert_says("kill -9 1 2>/dev/null; echo up", "up\n");
	assert_says("pwd; echo $HOME", "/workspace\n/workspace\n");
	assert_says("ls /", "workspace");
	assert_silent_about("ls -a / /root /home /var /run", ".ssh");
	/* its guard hides */
	assert_string_equal(shell("for p in /proc/[0-9]*; do echo ${p#/proc/}; done"),
			    "2\n");
	assert_says("cat /proc/self/status", "NoNewPrivs:\t1");
	assert_says("cat /proc/self/status", "CapEff:\t0000000000000000");
	assert_says("cat /proc/self/status", "CapBnd:\t0000000000000000");
	assert_says("cat /proc/self/status", "Seccomp:\t2");
	assert_says("cat /proc/net/dev | grep -c :", "1\n"); /* lo */
	assert_silent_about("cat /proc/*/cmdline /proc/*/environ | tr '\\0' '\\n'",
			    "test_jail");
	assert_says("env | sort | tr '\\n' ' '", "HOME=/workspace");
	assert_silent_about("env", "SECRET");
	assert_says("ls -1 /proc/self/fd | wc -l",
		    "4\n"); /* 0 1 2 and the listing's own */
	assert_says("echo hi >f; cat f; rm f", "hi");
	assert_says(
		"find / -xdev -perm -4000 2>/dev/null | head -1; mount | grep -c nosuid",
		"");
	assert_says("mount | grep ' /usr ' ", "ro,");
}

static void test_files_of_others(void **state)
{
	char script[1000];
	(void)state;
	snprintf(script, sizeof script,
		 "cat %s/secret %s/../secret /proc/1/root%s/secret "
		 "/workspace/../%s/secret 2>&1; ls %s 2>&1; grep -rs --exclude-dir=usr "
		 "%s / 2>/dev/null | "
		 "grep -v /proc",
		 sibling, workspace, sibling, sibling, base, CANARY);
	assert_silent_about(script, CANARY "!");
}

static void test_the_end(void **state)
{
	struct jail_spec s = make_spec();
	char *missing[] = {(char[]){"/nonexistent"}, NULL};
	(void)state;
	shell("exit 7");
	assert_int_equal(said.report.number, 7);
	shell("exit 0");
	assert_int_equal(said.report.number, 0);
	s.argv = missing;
	run(&s, &said, 10000);
	assert_int_equal(said.report.kind, JAIL_EXEC_FAILED);
	assert_int_equal(said.report.number, ENOENT);
	s.argv = (char *[]){(char[]){"/bin/bash"}, (char[]){"-c"},
			    (char[]){"kill -11 $$"}, NULL};
	run(&s, &said, 10000);
	assert_int_equal(said.report.kind, JAIL_SIGNALLED);
	assert_int_equal(said.report.number, SIGSEGV);
	s.cwd = "/workspace/nowhere";
	run(&s, &said, 10000);
	assert_int_equal(said.report.kind, JAIL_NO_DIRECTORY);
	assert_int_equal(said.report.number, ENOENT);
	s = make_spec();
	s.workspace_ino++;
	s.argv = missing;
	run(&s, &said, 10000);
	assert_int_equal(said.report.kind, JAIL_REFUSED);
	assert_non_null(strstr(said.report.text, "the workspace"));
}

/* ---- nothing survives */

static char survivor[16]; /* a name that is only ours: others test beside us */

static bool is_ours(const char *pid)
{
	char path[300], line[512], *end;
	long parent = 0;
	snprintf(path, sizeof path, "/proc/%.20s/stat", pid);
	FILE *f = fopen(path, "re");
	if (!f)
		return false;
	size_t n = fread(line, 1, sizeof line - 1, f);
	fclose(f);
	line[n] = 0;
	end = strrchr(line, ')');
	if (!end || sscanf(end + 1, " %*c %ld", &parent) != 1)
		return false;
	*end = 0;
	const char *name = strchr(line, '(') + 1;
	return !strcmp(name, survivor) ||
	       (!strcmp(name, "jail-guard") && parent == getpid());
}

static int jailed_processes(void)
{
	int n = 0;
	DIR *d = opendir("/proc");
	for (const struct dirent *e; (e = readdir(d));)
		n += is_ours(e->d_name);
	closedir(d);
	return n;
}

static void test_nothing_survives(void **state)
{
	static const char survivors[] =
		"cp /bin/sleep /tmp/%1$s; trap '' TERM HUP INT; (setsid /tmp/%1$s 100 "
		">/dev/null 2>&1 &) ; (nohup /tmp/%1$s 100 >/dev/null 2>&1 &); /tmp/%1$s "
		"100 "
		">/dev/null 2>&1 & until [ $(grep -lx %1$s /proc/*/comm | wc -l) = 3 ]; "
		"do :; "
		"done; ";
	char script[600];
	(void)state;
	snprintf(survivor, sizeof survivor, "jail-%d", (int)getpid());
	int n = snprintf(script, sizeof script, survivors, survivor);
	snprintf(script + n, sizeof script - (size_t)n, "echo done");
	assert_says(script, "done");
	assert_int_equal(jailed_processes(), 0);
	snprintf(script + n, sizeof script - (size_t)n, "echo up; exec sleep 100");
	struct jail_spec s = make_spec();
	s.argv = (char *[]){(char[]){"/bin/bash"}, (char[]){"-c"}, script, NULL};
	kill_at = "up\n";
	run(&s, &said, 20000);
	kill_at = NULL;
	assert_string_equal(said.text, "up\n");
	assert_int_equal(said.report.kind, JAIL_SIGNALLED);
	assert_int_equal(jailed_processes(), 0);
	/* Who kills all that he may, kills his own world: here somebody of the same user.
	 */
	pid_t bystander = fork();
	if (bystander == 0)
		for (;;)
			pause();
	s = make_spec();
	s.argv = (char *[]){(char[]){"/bin/bash"}, (char[]){"-c"},
			    (char[]){"sleep 100 & kill -9 -1"}, NULL};
	run(&s, &said, 10000);
	assert_int_equal(waitpid(bystander, NULL, WNOHANG), 0);
	kill(bystander, SIGKILL);
	waitpid(bystander, NULL, 0);
}

/* The launcher is killed: so is what it made. */
static void test_dies_with_its_launcher(void **state)
{
	int pipe_fds[2];
	char byte;
	(void)state;
	assert_int_equal(pipe(pipe_fds), 0);
	pid_t launcher = fork();
	if (launcher == 0) {
		struct jail_spec s = make_spec();
		struct jail j;
		char err[300];
		int null = open("/dev/null", O_RDWR);
		s.argv = (char *[]){(char[]){"/bin/bash"}, (char[]){"-c"},
				    (char[]){"echo up; exec sleep 100"}, NULL};
		s.in = s.err = null;
		s.out = pipe_fds[1];
		if (jail_start(&host, &s, &j, err, sizeof err))
			_exit(1);
		close(pipe_fds[1]);
		pause();
	}
	close(pipe_fds[1]);
	assert_int_equal(read(pipe_fds[0], &byte, 1), 1);
	kill(launcher, SIGKILL);
	waitpid(launcher, NULL, 0);
	while (read(pipe_fds[0], &byte, 1) == 1) /* the end: no process holds it */
		;
	close(pipe_fds[0]);
}

/* ---- limits */

static void test_limits(void **state)
{
	(void)state;
	assert_says("for i in $(seq 40); do sleep 1 & done 2>&1 | tail -1; wait", "fork");
	assert_says("head -c 2000000 /dev/zero >big; stat -c %s big; rm -f big",
		    "1048576");
	assert_says("for i in 1 2 3 4 5; do head -c 1000000 /dev/zero >/tmp/big$i; done; "
		    "du -sk "
		    "/tmp | cut -f1",
		    "409"); /* of 4 MiB */
	assert_says("ulimit -n; ulimit -c", "64\n0\n");
	assert_says("ls /workspace >/dev/null; (while :; do :; done) & wait $!; echo $?",
		    "");
}

static void test_two_at_once(void **state)
{
	(void)state;
	assert_says("echo one >/tmp/mine; echo two >/dev/shm/mine; ls /tmp /dev/shm",
		    "mine");
	assert_silent_about("ls /tmp /dev/shm", "mine"); /* the next one finds nothing */
}

/* ---- no leaks */

static int open_descriptors(void)
{
	int n = 0;
	DIR *d = opendir("/proc/self/fd");
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void nothing(void *arg)
{
	(void)arg;
}

static void test_nothing_is_left(void **state)
{
	int before = open_descriptors(), jails = getenv("TB_LONG") ? 100 : 30;
	(void)state;
	for (int i = 0; i < jails; i++) {
		struct jail_spec s = make_spec();
		s.run = nothing;
		run(&s, &said, 10000);
		assert_int_equal(said.report.kind, JAIL_EXITED);
	}
	assert_int_equal(open_descriptors(), before);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	assert_int_equal(jailed_processes(), 0);
}

/* ---- both kinds of users */

static void put_secret(const char *dir)
{
	char path[128];
	snprintf(path, sizeof path, "%s/secret", dir);
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, CANARY "!\n", sizeof CANARY + 1), sizeof CANARY + 1);
	close(fd);
}

static int begin(void **state)
{
	(void)state;
	setenv("SECRET", "x", 1);
	if (jail_begin())
		return -1;
	snprintf(sibling, sizeof sibling, "%s/other", base);
	if (mkdir(sibling, 0700))
		return -1;
	put_secret(sibling);
	put_secret(base);
	return 0;
}

static int all(const char *name)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_calls),
		cmocka_unit_test(test_the_view),
		cmocka_unit_test(test_files_of_others),
		cmocka_unit_test(test_the_end),
		cmocka_unit_test(test_nothing_survives),
		cmocka_unit_test(test_dies_with_its_launcher),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_two_at_once),
		cmocka_unit_test(test_nothing_is_left),
	};
	printf("as %s\n", name);
	return cmocka_run_group_tests(tests, begin, jail_finish);
}

int main(void)
{
	return in_both_modes(all);
}
