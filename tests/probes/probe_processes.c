/* SPDX-License-Identifier: Apache-2.0
 * Processes of the host: seen, asked, signalled, changed. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "probe.h"

#define OWN_MOST 6 /* a shell, this program, its child */

static void listed(void)
{
	char path[64];
	int n = 0;
	DIR *d = opendir("/proc");
	for (const struct dirent *e; d && (e = readdir(d));)
		n += e->d_name[0] > '0' && e->d_name[0] <= '9';
	if (n > OWN_MOST)
		hole("%d processes are listed", n);
	snprintf(path, sizeof path, "/proc/%d", facts.pid);
	if (facts.pid > 100 && access(path, F_OK) == 0)
		hole("%s is there", path);
}

/* The names of all that it can find must not be ours. */
static void environments(void)
{
	static char text[1 << 20];
	static const char *const files[] = {"environ", "cmdline"};
	for (int pid = 1; pid < 100000; pid++)
		for (int i = 0; i < 2; i++) {
			char path[64];
			snprintf(path, sizeof path, "/proc/%d/%s", pid, files[i]);
			int fd = open(path, O_RDONLY);
			if (fd < 0)
				continue;
			ssize_t n = read(fd, text, sizeof text);
			close(fd);
			if (n > 0 &&
			    memmem(text, (size_t)n, facts.canary, strlen(facts.canary)))
				hole("%s shows the canary", path);
		}
}

static void own_environment(void)
{
	for (char **e = environ; *e; e++)
		if (strstr(*e, facts.canary) || !strncmp(*e, "TERABITS", 8) ||
		    strstr(*e, "API_KEY"))
			hole("%s", *e);
}

static void signals(void)
{
	siginfo_t info = {.si_code = SI_QUEUE};
	refused(kill(facts.pid, 0), "kill 0", ESRCH, EPERM, 0);
	refused(kill(facts.pid, SIGKILL), "kill", ESRCH, EPERM, 0);
	refused(kill(-facts.pid, SIGKILL), "kill of a group", ESRCH, EPERM, 0);
	refused(syscall(SYS_tgkill, facts.pid, facts.pid, SIGKILL), "tgkill", ESRCH,
		EPERM, 0);
	refused(syscall(SYS_tkill, facts.pid, SIGKILL), "tkill", ESRCH, EPERM, 0);
	refused(syscall(SYS_rt_sigqueueinfo, facts.pid, SIGKILL, &info), "sigqueue",
		ESRCH, EPERM, 0);
	refused(syscall(SYS_pidfd_open, facts.pid, 0), "pidfd_open", ESRCH, EPERM, 0);
}

/* Whom a descriptor's owner is told of. */
static void signals_by_descriptors(void)
{
	int ends[2];
	if (pipe(ends) == 0)
		refused(fcntl(ends[0], F_SETOWN, facts.pid), "F_SETOWN", ESRCH, EPERM, 0);
}

/* Of all numbers there are only our own answer. */
static void every_number(void)
{
	int n = 0;
	for (int pid = 1; pid < 1 << 17; pid++) {
		bool is_there = kill(pid, 0) == 0;
		n += is_there;
		if (is_there && pid == facts.pid && pid > 100)
			hole("%d can be signalled", pid);
	}
	if (n > OWN_MOST)
		hole("%d processes can be signalled", n);
}

static void the_guard(void)
{
	refused(syscall(SYS_ptrace, PTRACE_SEIZE, 1, NULL, NULL), "ptrace", EPERM, 0);
	kill(1, SIGKILL); /* refused, or ignored: we go on */
	kill(1, SIGSTOP);
	kill(1, SIGTERM);
	usleep(1000);
	if (getppid() == 0)
		hole("the parent is gone");
}

static void memory(void)
{
	char byte;
	struct iovec here = {&byte, 1}, there = {(void *)0x400000, 1};
	refused(syscall(SYS_ptrace, PTRACE_ATTACH, facts.pid, NULL, NULL), "ptrace",
		EPERM, 0);
	refused(syscall(SYS_process_vm_readv, facts.pid, &here, 1, &there, 1, 0),
		"process_vm_readv", EPERM, 0);
	refused(syscall(SYS_process_vm_writev, facts.pid, &here, 1, &there, 1, 0),
		"process_vm_writev", EPERM, 0);
	refused(syscall(SYS_kcmp, getpid(), facts.pid, 0, 0, 0), "kcmp", EPERM, 0);
	refused(syscall(SYS_move_pages, facts.pid, 0, NULL, NULL, NULL, 0), "move_pages",
		EPERM, 0);
	refused(syscall(SYS_migrate_pages, facts.pid, 0, NULL, NULL), "migrate_pages",
		EPERM, 0);
	refused(syscall(SYS_pidfd_getfd, 0, 0, 0), "pidfd_getfd", EPERM, 0);
	refused(syscall(440 /* process_madvise */, 0, NULL, 0, 0, 0), "process_madvise",
		EPERM, 0);
}

static void properties(void)
{
	struct rlimit r = {1, 1};
	struct sched_param sp = {0};
	cpu_set_t all;
	memset(&all, 0xff, sizeof all);
	refused(syscall(SYS_prlimit64, facts.pid, RLIMIT_NOFILE, &r, NULL), "prlimit",
		ESRCH, EPERM, 0);
	refused(sched_setscheduler(facts.pid, SCHED_IDLE, &sp), "sched_setscheduler",
		ESRCH, EPERM, 0);
	refused(sched_setaffinity(facts.pid, sizeof all, &all), "sched_setaffinity",
		ESRCH, EPERM, 0);
	refused(setpriority(PRIO_PROCESS, (id_t)facts.pid, 19), "setpriority", ESRCH,
		EPERM, 0);
	refused(syscall(SYS_ioprio_set, 1, facts.pid, 3 << 13), "ioprio_set", ESRCH,
		EPERM, 0);
	refused(getpgid(facts.pid), "getpgid", ESRCH, EPERM, 0);
	refused(setpgid(facts.pid, 0), "setpgid", ESRCH, EPERM, 0);
	/* All of our user's: whoever asks looks at that process's niceness. */
	setpriority(PRIO_USER, getuid(), 19);
	syscall(SYS_ioprio_set, 3, getuid(), 3 << 13);
}

static void more_than_allowed(void)
{
	struct rlimit most = {RLIM_INFINITY, RLIM_INFINITY};
	struct sched_param sp = {.sched_priority = 1};
	static const int limits[] = {RLIMIT_NPROC,    RLIMIT_FSIZE,     RLIMIT_NOFILE,
				     RLIMIT_CORE,     RLIMIT_CPU,       RLIMIT_MEMLOCK,
				     RLIMIT_MSGQUEUE, RLIMIT_SIGPENDING};
	for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
		refused(setrlimit((__rlimit_resource_t)limits[i], &most),
			"a higher limit", EPERM, 0);
	errno = 0;
	refused(setpriority(PRIO_PROCESS, 0, -5), "a better priority", EPERM, EACCES, 0);
	refused(sched_setscheduler(0, SCHED_FIFO, &sp), "real time", EPERM, 0);
	struct rlimit core;
	if (getrlimit(RLIMIT_CORE, &core) || core.rlim_max)
		hole("core files may be written");
}

/* Shared memory of the machine. */
static void shared_memory(void)
{
	int id = shmget(facts.key, 0, 0);
	if (id >= 0)
		hole("the host's segment is there");
	if (syscall(SYS_shmctl, 0, SHM_STAT, NULL) >= 0)
		hole("segments are listed");
}

const struct probe probes_processes[] = {
	{"processes", "listed", listed},
	{"processes", "environments", environments},
	{"processes", "own environment", own_environment},
	{"processes", "signals", signals},
	{"processes", "signals by descriptors", signals_by_descriptors},
	{"processes", "every number", every_number},
	{"processes", "the guard", the_guard},
	{"processes", "memory", memory},
	{"processes", "properties", properties},
	{"processes", "more than allowed", more_than_allowed},
	{"processes", "shared memory", shared_memory},
	{NULL, NULL, NULL},
};
