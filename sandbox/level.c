/* SPDX-License-Identifier: Apache-2.0
 * Levels in words. */
#include "sandbox/level.h"

#include <stdio.h>

bool sandbox_is_full(const struct sandbox_level *l)
{
	return l->proc && l->cgroup != CGROUP_NONE;
}

const char *sandbox_word(const struct sandbox_level *l)
{
	return sandbox_is_full(l) ? "full" : "reduced";
}

static const char *yes(bool is)
{
	return is ? "yes" : "no";
}

void sandbox_describe(const struct sandbox_level *l, char *out, size_t size)
{
	static const char *const groups[] = {
		[CGROUP_NONE] = "none",
		[CGROUP_V1] = "v1(memory,pids)",
		[CGROUP_V2] = "v2(memory,pids)",
	};
	char landlock[24] = "none";
	if (l->landlock)
		snprintf(landlock, sizeof landlock, "abi%u", l->landlock);
	snprintf(out, size,
		 "user-ns=%s tenant-uid=%s pid/net/mnt=yes seccomp=yes landlock=%s "
		 "cgroup=%s proc=%s",
		 yes(l->user_namespace), yes(l->tenant_uid), landlock,
		 l->cgroup == CGROUP_V2 && l->cpu ? "v2(memory,pids,cpu)"
						  : groups[l->cgroup],
		 yes(l->proc));
}

void sandbox_missing(const struct sandbox_level *l, char *out, size_t size)
{
	int n = 0;
	*out = 0;
	if (l->cgroup == CGROUP_NONE)
		n = snprintf(
			out, size,
			"cgroup=none: memory limits are per process plus a watchdog "
			"(%s); start it by systemd with Delegate=memory pids cpu, or "
			"as root",
			l->cgroup_why);
	if (!l->proc && n >= 0 && (size_t)n < size)
		snprintf(out + n, size - (size_t)n,
			 "%sproc=no: /proc cannot be mounted in a jail; leave "
			 "ProtectKernelTunables= and ProcSubset= out of the unit, in a "
			 "container unmask /proc, or start as root",
			 n ? ". " : "");
}
