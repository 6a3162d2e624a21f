/* SPDX-License-Identifier: Apache-2.0
 * What would make more of the program than it is, or take the kernel from behind. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "probe.h"

static void status(void)
{
	static const char *const lines[] = {"CapInh:\t0000000000000000",
					    "CapPrm:\t0000000000000000",
					    "CapEff:\t0000000000000000",
					    "CapBnd:\t0000000000000000",
					    "CapAmb:\t0000000000000000",
					    "NoNewPrivs:\t1",
					    "Seccomp:\t2"};
	char text[8192];
	int fd = open("/proc/self/status", O_RDONLY);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
	text[n > 0 ? n : 0] = 0;
	for (size_t i = 0; n > 0 && i < sizeof lines / sizeof *lines; i++)
		if (!strstr(text, lines[i]))
			hole("not %s", lines[i]);
	/* Where there is no /proc. */
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 ||
	    prctl(PR_GET_SECCOMP, 0, 0, 0, 0) != 2)
		hole("not confined");
	for (int cap = 0; cap < 64; cap++)
		if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1)
			hole("capability %d can be had", cap);
}

static void identity(void)
{
	gid_t groups[2] = {0, 1};
	if (getuid() == 0 || geteuid() == 0 || getgid() == 0)
		hole("it is root");
	refused(setresuid(0, 0, 0), "setresuid", EPERM, EINVAL, 0);
	refused(setresgid(0, 0, 0), "setresgid", EPERM, EINVAL, 0);
	refused(setuid(65534), "setuid", EPERM, EINVAL, 0);
	refused(setgroups(2, groups), "setgroups", EPERM, EINVAL, 0);
	refused(chown("/workspace", 0, 0), "chown", EPERM, EINVAL, EACCES, 0);
	if (getgroups(0, NULL) > 0 && getgroups(2, groups) > 0 && groups[0] != 65534)
		hole("it is in group %u", (unsigned)groups[0]);
}

static void capabilities(void)
{
	struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct all[2];
	memset(all, 0xff, sizeof all);
	refused(syscall(SYS_capset, &head, all), "capset", EPERM, 0);
	refused(prctl(PR_SET_SECUREBITS, 0, 0, 0, 0), "securebits", EPERM, 0);
	refused(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 21, 0, 0), "ambient", EPERM,
		0);
	refused(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0), "no_new_privs", EINVAL, EPERM, 0);
	refused(prctl(PR_SET_SECCOMP, 0, NULL, 0, 0), "seccomp", EINVAL, EPERM, 0);
}

static int end_of(pid_t pid)
{
	int how = 0;
	waitpid(pid, &how, 0);
	return how;
}

/* A copy of this program with the bit set; and those of the system. */
static void set_user_id(void)
{
	static const char *const programs[] = {"/usr/bin/su", "/usr/bin/mount",
					       "/usr/bin/passwd", "/usr/bin/newgrp"};
	int from = open("/workspace/probe", O_RDONLY),
	    to = open("/workspace/probe-suid", O_CREAT | O_EXCL | O_WRONLY, 0755);
	while (sendfile(to, from, NULL, 1 << 20) > 0)
		;
	bool copied = from >= 0 && to >= 0 && fchmod(to, 06755) == 0;
	close(to);
	if (copied) {
		pid_t pid = fork();
		if (pid == 0) {
			execl("/workspace/probe-suid", "probe", "whoami", (char *)NULL);
			_exit(0);
		}
		int how = end_of(pid);
		if (WIFEXITED(how) && WEXITSTATUS(how) == 7)
			hole("a set-user-id copy changed the user");
		unlink("/workspace/probe-suid");
	}
	for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
		char path[64], text[4096];
		pid_t pid = fork();
		if (pid == 0) {
			close(0);
			close(1);
			close(2);
			open("/dev/zero", O_RDWR);
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			execl(programs[i], programs[i], (char *)NULL);
			_exit(0);
		}
		usleep(20000);
		snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
		int fd = open(path, O_RDONLY);
		ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
		text[n > 0 ? n : 0] = 0;
		close(fd);
		kill(pid, SIGKILL);
		end_of(pid);
		if (strstr(text, "CapEff:") && !strstr(text, "CapEff:\t0000000000000000"))
			hole("%s got capabilities", programs[i]);
	}
}

static void namespaces(void)
{
	static const int flags[] = {CLONE_NEWUSER,   CLONE_NEWNS,  CLONE_NEWPID,
				    CLONE_NEWNET,    CLONE_NEWIPC, CLONE_NEWUTS,
				    CLONE_NEWCGROUP, 0x80 /* CLONE_NEWTIME */};
	for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
		refused(unshare(flags[i]), "unshare", EPERM, 0);
		refused(syscall(SYS_clone, flags[i] | SIGCHLD, 0, 0, 0, 0), "clone",
			EPERM, 0);
	}
	refused(syscall(SYS_clone3, NULL, 0), "clone3", ENOSYS, 0);
	refused(setns(0, 0), "setns", EPERM, 0);
	int fd = open("/proc/self/ns/user", O_RDONLY);
	refused(setns(fd, CLONE_NEWUSER), "setns", EPERM, 0);
}

static void mounts(void)
{
	refused(mount("tmpfs", "/tmp", "tmpfs", 0, NULL), "mount", EPERM, 0);
	refused(mount("proc", "/tmp", "proc", 0, NULL), "mount proc", EPERM, 0);
	refused(mount("cgroup2", "/tmp", "cgroup2", 0, NULL), "mount cgroup2", EPERM, 0);
	refused(mount("sysfs", "/tmp", "sysfs", 0, NULL), "mount sysfs", EPERM, 0);
	refused(mount("/", "/tmp", NULL, MS_BIND, NULL), "bind mount", EPERM, 0);
	refused(umount2("/workspace", MNT_DETACH), "umount", EPERM, 0);
	refused(umount2("/proc", MNT_DETACH), "umount", EPERM, 0);
	refused(syscall(SYS_pivot_root, "/tmp", "/tmp"), "pivot_root", EPERM, 0);
	refused(chroot("/tmp"), "chroot", EPERM, 0);
	refused(syscall(SYS_open_tree, AT_FDCWD, "/", 1), "open_tree", EPERM, 0);
	refused(syscall(SYS_move_mount, 0, "", 0, "", 0), "move_mount", EPERM, 0);
	refused(syscall(SYS_mount_setattr, AT_FDCWD, "/", 0, NULL, 0), "mount_setattr",
		EPERM, 0);
	refused(syscall(SYS_fsopen, "tmpfs", 0), "fsopen", EPERM, 0);
	refused(syscall(SYS_fspick, AT_FDCWD, "/", 0), "fspick", EPERM, 0);
}

static void parts_of_the_kernel(void)
{
	static const struct {
		const char *name;
		long number;
	} calls[] = {
		{"add_key", SYS_add_key},
		{"keyctl", SYS_keyctl},
		{"request_key", SYS_request_key},
		{"bpf", SYS_bpf},
		{"perf_event_open", SYS_perf_event_open},
		{"userfaultfd", SYS_userfaultfd},
		{"fanotify_init", SYS_fanotify_init},
		{"init_module", SYS_init_module},
		{"finit_module", SYS_finit_module},
		{"delete_module", SYS_delete_module},
		{"kexec_load", SYS_kexec_load},
		{"reboot", SYS_reboot},
		{"swapon", SYS_swapon},
		{"swapoff", SYS_swapoff},
		{"acct", SYS_acct},
		{"settimeofday", SYS_settimeofday},
		{"clock_settime", SYS_clock_settime},
		{"adjtimex", SYS_adjtimex},
		{"clock_adjtime", SYS_clock_adjtime},
		{"syslog", SYS_syslog},
		{"quotactl", SYS_quotactl},
		{"sethostname", SYS_sethostname},
		{"setdomainname", SYS_setdomainname},
		{"vhangup", SYS_vhangup},
		{"lookup_dcookie", SYS_lookup_dcookie},
		{"seccomp", SYS_seccomp},
		{"process_mrelease", 448},
#ifdef __x86_64__
		{"iopl", SYS_iopl},
		{"ioperm", SYS_ioperm},
		{"modify_ldt", SYS_modify_ldt},
		{"_sysctl", SYS__sysctl},
		{"uselib", SYS_uselib},
		{"ustat", SYS_ustat},
		{"sysfs", SYS_sysfs},
#endif
		{"io_setup", SYS_io_setup},
	};
	for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
		refused(syscall(calls[i].number, 0, 0, 0, 0, 0, 0), calls[i].name, EPERM,
			0);
	refused(syscall(SYS_io_uring_setup, 1, NULL), "io_uring", ENOSYS, EPERM, 0);
	refused(personality(ADDR_NO_RANDOMIZE), "personality", EPERM, 0);
	refused(personality(READ_IMPLIES_EXEC), "personality", EPERM, 0);
}

static void terminals(void)
{
	for (int fd = 0; fd < 3; fd++) {
		refused(ioctl(fd, TIOCSTI, "x"), "TIOCSTI", EPERM, 0);
		refused(ioctl(fd, 0x541C, "x"), "TIOCLINUX", EPERM, 0);
		refused(ioctl(fd, TIOCSETD, "x"), "TIOCSETD", EPERM, 0);
		refused(syscall(SYS_ioctl, fd, 0x100000000ull | TIOCSTI, "x"),
			"TIOCSTI with high bits", EPERM, 0);
		if (isatty(fd))
			hole("descriptor %d is a terminal", fd);
	}
}

/* In a child: the answer is its death, of which a core file would tell. */
static void other_architectures(void)
{
#ifdef __x86_64__
	pid_t pid = fork();
	if (pid == 0) {
		long rv;
		__asm__ volatile("int $0x80" : "=a"(rv) : "a"(20) : "memory");
		_exit(7);
	}
	int how = end_of(pid);
	if (!WIFSIGNALED(how))
		hole("a 32-bit call passes");
	pid = fork();
	if (pid == 0) {
		syscall(0x40000000L | SYS_getpid);
		_exit(7);
	}
	if (!WIFSIGNALED(end_of(pid)))
		hole("an x32 call passes");
	if (WCOREDUMP(how))
		hole("a core file was written");
#endif
}

static void core_files(void)
{
	pid_t pid = fork();
	if (pid == 0)
		abort();
	if (WCOREDUMP(end_of(pid)))
		hole("a core file was written");
}

/* Memory that no process's size shows. */
static void hidden_memory(void)
{
	refused(syscall(SYS_memfd_create, "x", 0), "memfd_create", EPERM, ENOSYS, 0);
	refused(syscall(447 /* memfd_secret */, 0), "memfd_secret", EPERM, ENOSYS, 0);
	refused(syscall(SYS_shmget, 0, 4096, 01600), "shmget", EPERM, ENOSYS, 0);
}

const struct probe probes_privileges[] = {
	{"privileges", "status", status},
	{"privileges", "identity", identity},
	{"privileges", "capabilities", capabilities},
	{"privileges", "set-user-id", set_user_id},
	{"privileges", "namespaces", namespaces},
	{"privileges", "mounts", mounts},
	{"privileges", "parts of the kernel", parts_of_the_kernel},
	{"privileges", "terminals", terminals},
	{"privileges", "other architectures", other_architectures},
	{"privileges", "core files", core_files},
	{"privileges", "hidden memory", hidden_memory},
	{NULL, NULL, NULL},
};
