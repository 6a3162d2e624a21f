/* SPDX-License-Identifier: Apache-2.0
 * Who the jail is, what it may never become again, and how much of the machine it gets.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/attr.h"
#include "sandbox/jail/guard.h"

#define INSIDE 1000 /* uid and gid within a user namespace */

/* ---- control group */

/* Before anything that takes memory or a process. The namespace after it: its root is the
 * group one is in then, so that nothing in the jail has a name of the node's. */
void birth_join(const struct birth *b)
{
	const struct cgroup_way *g = b->group;
	for (int i = 0; g && i < 2; i++)
		if (g->join[i] >= 0 && write(g->join[i], "0", 1) != 1)
			birth_fail(b, "join", "the control group");
	if (unshare(CLONE_NEWCGROUP))
		birth_fail(b, "unshare", "control groups (CONFIG_CGROUPS)");
}

/* ---- identity */

static void write_once(const struct birth *b, const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	size_t n = strlen(text);
	if (fd < 0 || write(fd, text, n) != (ssize_t)n)
		birth_fail(b, "write", path);
	close(fd);
}

/* One line that names our own uid: the only map an ordinary user may make. */
void birth_map_user(const struct birth *b)
{
	char text[64];
	write_once(b, "/proc/self/setgroups", "deny");
	snprintf(text, sizeof text, "%d %u 1", INSIDE, (unsigned)b->host->uid);
	write_once(b, "/proc/self/uid_map", text);
	snprintf(text, sizeof text, "%d %u 1", INSIDE, (unsigned)b->host->gid);
	write_once(b, "/proc/self/gid_map", text);
}

static void switch_uid(const struct birth *b)
{
	uid_t id = b->spec->uid;
	if (id == 0) {
		errno = EINVAL;
		birth_fail(b, "setuid", "0");
	}
	if (setgroups(0, NULL) || setresgid(id, id, id) || setresuid(id, id, id))
		birth_fail(b, "setuid", "the tenant");
}

/* ---- capabilities */

static void drop_bounding_set(const struct birth *b)
{
	for (int cap = 0; cap < 64; cap++) {
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0)
			continue;
		if (errno == EINVAL)
			return; /* the last one this kernel knows */
		birth_fail(b, "drop", "a capability");
	}
}

void birth_lock_privileges(const struct birth *b)
{
	if (prctl(PR_SET_SECUREBITS,
		  SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
			  SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
			  SECBIT_NO_CAP_AMBIENT_RAISE |
			  SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED,
		  0, 0, 0))
		birth_fail(b, "prctl", "securebits");
	drop_bounding_set(b);
}

void birth_drop_privileges(const struct birth *b)
{
	struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct none[2];
	memset(none, 0, sizeof none);
	if (b->host->identity == JAIL_SWITCH_UID)
		switch_uid(b);
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (syscall(SYS_capset, &head, none))
		birth_fail(b, "capset", "none");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		birth_fail(b, "prctl", "no-new-privileges");
}

/* ---- limits of each process */

void birth_limits(const struct birth *b)
{
	const struct jail_limits *l = &b->spec->limits;
	const struct {
		const char *name;
		int what;
		rlim_t most;
	} limits[] = {
		{"core", RLIMIT_CORE, 0},
		{"address space", RLIMIT_AS,
		 l->address_bytes ? l->address_bytes : RLIM_INFINITY},
		{"file size", RLIMIT_FSIZE, l->file_bytes},
		{"processor time", RLIMIT_CPU, l->cpu_s},
		{"descriptors", RLIMIT_NOFILE, l->files},
		{"processes", RLIMIT_NPROC, l->processes},
		{"locked memory", RLIMIT_MEMLOCK, 64 << 10},
		{"message queues", RLIMIT_MSGQUEUE, 0},
		{"pending signals", RLIMIT_SIGPENDING, 256},
		{"priority", RLIMIT_NICE, 0},
		{"real-time priority", RLIMIT_RTPRIO, 0},
	};
	for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
		struct rlimit r;
		/* It counts all of a uid, the tenant's other jails too. */
		if (limits[i].what == RLIMIT_NPROC && b->group &&
		    b->host->identity == JAIL_SWITCH_UID)
			continue;
		if (getrlimit((__rlimit_resource_t)limits[i].what, &r))
			birth_fail(b, "limit", limits[i].name);
		if (r.rlim_max > limits[i].most) /* never above what we have ourselves */
			r.rlim_max = limits[i].most;
		r.rlim_cur = r.rlim_max;
		if (setrlimit((__rlimit_resource_t)limits[i].what, &r))
			birth_fail(b, "limit", limits[i].name);
	}
}
