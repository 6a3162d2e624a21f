/* SPDX-License-Identifier: Apache-2.0
 * A user namespace is asked for only where there is no other way: it may be forbidden to
 * ordinary users. */
#include "sandbox/userns.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/die.h"

static void write_map(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	size_t n = strlen(text);
	if (fd < 0 || write(fd, text, n) != (ssize_t)n)
		fatal_usage("%s cannot be written (%s): is /proc mounted read-only? This "
			    "process could not be confined",
			    path, strerror(errno));
	close(fd);
}

/* We stay who we are: a launcher's children need a user that can be mapped on. */
static void map_self(uid_t uid, gid_t gid)
{
	char text[64];
	write_map("/proc/self/setgroups", "deny");
	snprintf(text, sizeof text, "%u %u 1", (unsigned)uid, (unsigned)uid);
	write_map("/proc/self/uid_map", text);
	snprintf(text, sizeof text, "%u %u 1", (unsigned)gid, (unsigned)gid);
	write_map("/proc/self/gid_map", text);
}

void userns_unshare(int namespaces, const char *what)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();
	if (unshare(namespaces) == 0)
		return;
	if (errno == EPERM && unshare(CLONE_NEWUSER | namespaces) == 0) {
		map_self(uid, gid);
		return;
	}
	fatal_usage("namespaces are refused (%s): %s. Allow unprivileged user namespaces "
		    "(sysctl user.max_user_namespaces, "
		    "kernel.unprivileged_userns_clone=1, "
		    "kernel.apparmor_restrict_unprivileged_userns=0), or start as root",
		    strerror(errno), what);
}
