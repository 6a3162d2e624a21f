/* SPDX-License-Identifier: Apache-2.0
 * Limits, then namespaces where the role has some, then the filter. */
#include "sandbox/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/die.h"
#include "sandbox/seccomp.h"

static void limit(int what, rlim_t most)
{
	struct rlimit r;
	if (getrlimit((__rlimit_resource_t)what, &r) == 0 && r.rlim_max > most) {
		r.rlim_cur = r.rlim_max = most;
		setrlimit((__rlimit_resource_t)what, &r);
	}
}

static void write_map(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	size_t n = strlen(text);
	if (fd < 0 || write(fd, text, n) != (ssize_t)n)
		fatal_usage(
			"%s cannot be written (%s): is /proc mounted read-only? Tools "
			"could not be confined",
			path, strerror(errno));
	close(fd);
}

/* In a user namespace of our own we stay who we are: its children need a user that can be
 * mapped on. */
static void map_self(uid_t uid, gid_t gid)
{
	char text[64];
	write_map("/proc/self/setgroups", "deny");
	snprintf(text, sizeof text, "%u %u 1", (unsigned)uid, (unsigned)uid);
	write_map("/proc/self/uid_map", text);
	snprintf(text, sizeof text, "%u %u 1", (unsigned)gid, (unsigned)gid);
	write_map("/proc/self/gid_map", text);
}

/* The launcher has no network: a namespace of its own with nothing in it. */
static void leave_network(void)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();
	if (unshare(CLONE_NEWNET) == 0)
		return;
	if (errno == EPERM && unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0) {
		map_self(uid, gid);
		return;
	}
	fatal_usage("namespaces are refused (%s): tools could not be confined. Allow "
		    "unprivileged user namespaces (sysctl user.max_user_namespaces and "
		    "kernel.unprivileged_userns_clone=1), or start as root",
		    strerror(errno));
}

void sandbox_prepare(enum sandbox_role role)
{
	limit(RLIMIT_CORE, 0);
#ifndef TB_SANITIZED
	/* A decoder that is talked into a huge allocation fails here, not in the kernel's
	 * out-of-memory killer. */
	if (role != SANDBOX_LAUNCHER) /* its jails have limits of their own */
		limit(RLIMIT_AS, 8ull << 30);
#endif
	if (role == SANDBOX_LAUNCHER)
		leave_network();
	/* The maps of an ordinary user's jails belong to root when their maker is not
	 * dumpable. It holds no secret, and its guards are not dumpable. */
	if ((role != SANDBOX_LAUNCHER || geteuid() == 0) && prctl(PR_SET_DUMPABLE, 0))
		fatal("the process cannot be made non-dumpable: %s", strerror(errno));
}

void sandbox_enter(enum sandbox_role role, char *detail, size_t detail_size)
{
	const char *wish = getenv("TERABITS_SECCOMP");
	enum seccomp_else otherwise =
		wish && !strcmp(wish, "kill") ? SECCOMP_ELSE_KILL : SECCOMP_ELSE_EPERM;
	seccomp_confine(role, otherwise);
	/* The launcher may open nothing, and has one thread: the load said all. */
	int threads = role == SANDBOX_LAUNCHER ? 1 : seccomp_verify();
	snprintf(detail, detail_size, "seccomp=%s threads=%d",
		 otherwise == SECCOMP_ELSE_KILL ? "kill" : "eperm", threads);
}
