/* SPDX-License-Identifier: Apache-2.0
 * Limits, then namespaces, then capabilities, then Landlock, then the filter. */
#include "sandbox/sandbox.h"

#include <errno.h>
#include <linux/landlock.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "common/die.h"
#include "sandbox/landlock.h"
#include "sandbox/privileges.h"
#include "sandbox/seccomp.h"
#include "sandbox/userns.h"
#include "sandbox/view.h"

static void limit(int what, rlim_t most)
{
	struct rlimit r;
	if (getrlimit((__rlimit_resource_t)what, &r) == 0 && r.rlim_max > most) {
		r.rlim_cur = r.rlim_max = most;
		setrlimit((__rlimit_resource_t)what, &r);
	}
}

static int landlock; /* the version that edge and worker are confined by; 0: none */

void sandbox_show(const char *path)
{
	view_show(path);
}

/* What holds even where a mount or a filter had a hole. */
static void confine_by_landlock(void)
{
	static const struct landlock_rule reads = {
		"/", LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR};
	static const struct landlock_wish wish = {.rules = &reads,
						  .count = 1,
						  .network = LANDLOCK_NET_BIND_TCP,
						  .scoped = LANDLOCK_SCOPE_ABSTRACT_UNIX |
							    LANDLOCK_SCOPE_SIGNALS};
	const char *what;
	landlock = landlock_version();
	if (landlock_confine(landlock, &wish, &what))
		fatal("Landlock is refused (%s): %s", what, strerror(errno));
}

/* Edge and worker. */
static void prepare_served(void)
{
#ifndef __SANITIZE_THREAD__ /* which has a thread from the start */
	view_enter();
#endif
	privileges_drop();
	confine_by_landlock();
}

/* One that is not root in the machine makes jails in user namespaces, and needs no
 * capability in its own. */
static void prepare_launcher(void)
{
	bool switches = privileges_has(PRIVILEGES_LAUNCHER);
	userns_unshare(CLONE_NEWNET, "tools could not be confined");
	if (switches)
		privileges_limit(PRIVILEGES_LAUNCHER);
	else
		privileges_drop();
	/* The maps of an ordinary user's jails belong to root when their maker is not
	 * dumpable. It holds no secret, and its guards are not dumpable. */
	if (prctl(PR_SET_DUMPABLE, !switches))
		fatal("the process cannot be made non-dumpable: %s", strerror(errno));
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
	if (role == SANDBOX_LAUNCHER) {
		prepare_launcher();
		return;
	}
	prepare_served();
	if (prctl(PR_SET_DUMPABLE, 0))
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
	snprintf(detail, detail_size, "seccomp=%s threads=%d landlock=%s",
		 otherwise == SECCOMP_ELSE_KILL ? "kill" : "eperm", threads,
		 landlock ? "yes" : "no");
}
