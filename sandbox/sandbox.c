/* SPDX-License-Identifier: Apache-2.0
 * Limits, then namespaces where the role has some, then the filter. */
#include "sandbox/sandbox.h"

#include <errno.h>
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

/* The launcher has no network: a namespace of its own with nothing in it. */
static void leave_network(void)
{
	int flags = CLONE_NEWNET;
	if (unshare(flags) == 0)
		return;
	if (errno == EPERM && unshare(CLONE_NEWUSER | flags) == 0)
		return;
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
	limit(RLIMIT_AS, role == SANDBOX_LAUNCHER ? 1ull << 30 : 8ull << 30);
#endif
	if (prctl(PR_SET_DUMPABLE, 0))
		fatal("the process cannot be made non-dumpable: %s", strerror(errno));
	if (role == SANDBOX_LAUNCHER)
		leave_network();
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
