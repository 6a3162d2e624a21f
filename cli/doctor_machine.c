/* SPDX-License-Identifier: Apache-2.0
 * What the node needs of the machine it would run on. */
#include "cli/doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/attr.h"
#include "common/clock.h"
#include "common/disk_quota.h"

#define MB (1024.0 * 1024.0)
#define MEMORY_LOW_MB 256
#define FILES_LOW 4096
#define FILES_LEAST 256
#define DISK_LOW_MB 1024
#define DISK_LEAST_MB 64
#define YEAR_2025_US 1735689600000000LL

/* ---- the kernel */

/* A child tries, so that this process stays as it is. */
void doctor_user_namespaces(struct doctor *d)
{
	int status = 0;
	fflush(NULL);
	pid_t child = fork();
	if (child == 0)
		_exit(unshare(CLONE_NEWUSER) ? errno : 0);
	if (child < 0 || waitpid(child, &status, 0) < 0 || !WIFEXITED(status))
		doctor_say(d, VERDICT_WARN, "cannot be tried: %s", strerror(errno));
	else if (WEXITSTATUS(status))
		doctor_say(d, VERDICT_WARN,
			   "the kernel refuses them to uid %u (%s), so what confines "
			   "children by mount and network is left out: set "
			   "user.max_user_namespaces above 0, on Debian "
			   "kernel.unprivileged_userns_clone=1, in a container allow "
			   "unshare",
			   (unsigned)getuid(), strerror(WEXITSTATUS(status)));
	else
		doctor_say(d, VERDICT_OK, "can be made by uid %u", (unsigned)getuid());
}

void doctor_landlock(struct doctor *d)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0,
			   LANDLOCK_CREATE_RULESET_VERSION);
	if (abi > 0)
		doctor_say(d, VERDICT_OK, "version %ld", abi);
	else
		doctor_say(d, VERDICT_WARN,
			   "the kernel has none (%s): Linux 5.13 or newer, with landlock "
			   "in the boot parameter lsm=",
			   strerror(errno));
}

void doctor_seccomp(struct doctor *d)
{
	unsigned action = SECCOMP_RET_KILL_PROCESS;
	if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0)
		doctor_say(d, VERDICT_OK, "filters can kill a process");
	else
		doctor_say(d, VERDICT_FAIL,
			   "the kernel has no seccomp filters (%s), and no process of "
			   "the node starts without: CONFIG_SECCOMP_FILTER is needed",
			   strerror(errno));
}

/* ---- memory, files, disk */

/* A number of a file, behind `name` (NULL: the file's first); -1 when there is none. */
static double number_in(const char *path, const char *name)
{
	char line[200];
	double value = -1;
	FILE *f = fopen(path, "re");
	while (f && value < 0 && fgets(line, sizeof line, f)) {
		size_t n = name ? strlen(name) : 0;
		if (name && strncmp(line, name, n))
			continue;
		if (sscanf(line + n, "%lf", &value) != 1)
			value = -1;
	}
	if (f)
		fclose(f);
	return value;
}

void doctor_memory(struct doctor *d)
{
	double free_mb = number_in("/proc/meminfo", "MemAvailable:") / 1024;
	double most = number_in("/sys/fs/cgroup/memory.max", NULL) / MB;
	double used = number_in("/sys/fs/cgroup/memory.current", NULL) / MB;
	if (most > 0 && used >= 0 && most - used < free_mb)
		free_mb = most - used;
	if (free_mb < MEMORY_LOW_MB)
		doctor_say(d, VERDICT_WARN,
			   "%.0f MB are available, the node wants %d MB: end something, "
			   "or raise the container's limit",
			   free_mb, MEMORY_LOW_MB);
	else
		doctor_say(d, VERDICT_OK, "%.0f MB are available", free_mb);
}

void doctor_open_files(struct doctor *d)
{
	struct rlimit r = {0};
	getrlimit(RLIMIT_NOFILE, &r);
	unsigned long long most = r.rlim_max;
	if (most < FILES_LOW)
		doctor_say(
			d, most < FILES_LEAST ? VERDICT_FAIL : VERDICT_WARN,
			"a process may open %llu files, and each connection is one: "
			"raise the hard limit (ulimit -Hn, LimitNOFILE=) to %d or more",
			most, FILES_LOW);
	else
		doctor_say(d, VERDICT_OK, "a process may open %llu", most);
}

void doctor_disk(struct doctor *d)
{
	struct statvfs v;
	const char *state = d->config.state_dir;
	if (statvfs(state, &v)) {
		doctor_say(d, errno == ENOENT ? VERDICT_WARN : VERDICT_FAIL,
			   "the state directory %s: %s. 'terabitsctl migrate' makes it, "
			   "TERABITS_STATE_DIR names another",
			   state, strerror(errno));
		return;
	}
	double mb = (double)v.f_bavail * (double)v.f_frsize / MB;
	if (mb < DISK_LOW_MB)
		doctor_say(d, mb < DISK_LEAST_MB ? VERDICT_FAIL : VERDICT_WARN,
			   "%.0f MB are free at %s: make room", mb, state);
	else
		doctor_say(d, VERDICT_OK, "%.0f MB are free at %s", mb, state);
}

/* The supervisor sets limits only as root; it says so in its log when it cannot. */
void doctor_quota(struct doctor *d)
{
	AUTO(auto_close)
	int fd = open(d->config.state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const char *how = "workspaces are counted by walks, every half second while "
			  "something writes";
	long bytes = d->config.workspace_bytes, files = d->config.workspace_files;
	if (fd >= 0 && disk_quota_kind(fd) == DISK_QUOTA_PROJECT)
		how = geteuid() == 0
			      ? "the file system counts (project quotas)"
			      : "the file system could count (project quotas), but "
				"only a node started as root can tell it; "
				"workspaces are counted by walks";
	doctor_say(d, VERDICT_OK, "%ld bytes and %ld files a workspace; %s", bytes, files,
		   how);
}

void doctor_clock(struct doctor *d)
{
	struct timex t = {0};
	char now[CLOCK_TEXT_LEN + 1];
	int state = adjtimex(&t);
	clock_format(clock_real_us(), now);
	if (clock_real_us() < YEAR_2025_US)
		doctor_say(d, VERDICT_FAIL,
			   "it shows %s: set it, since ids are ordered by time", now);
	else if (state < 0 || state == TIME_ERROR)
		doctor_say(d, VERDICT_WARN,
			   "it shows %s and nobody keeps it right: run an NTP client",
			   now);
	else
		doctor_say(d, VERDICT_OK, "it shows %s and is kept by NTP", now);
}
