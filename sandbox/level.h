/* SPDX-License-Identifier: Apache-2.0
 * How well jails hold on this machine. Without namespaces and seccomp there are none, so
 * that two levels are left: FULL, and REDUCED where /proc or the memory of all processes
 * of a jail together cannot be had. */
#ifndef TB_SANDBOX_LEVEL_H
#define TB_SANDBOX_LEVEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sandbox/cgroup/cgroup.h"

struct sandbox_level {
	bool user_namespace, tenant_uid, proc, cpu;
	uint32_t landlock; /* ABI version; 0: none, which is no reason for REDUCED */
	enum cgroup_kind cgroup;
	char cgroup_why[300]; /* CGROUP_NONE: why none */
};

bool sandbox_is_full(const struct sandbox_level *l);
/* "full" or "reduced" */
const char *sandbox_word(const struct sandbox_level *l);
/* "user-ns=no tenant-uid=yes pid/net/mnt=yes seccomp=yes landlock=abi7
 * cgroup=v1(memory,pids) proc=yes" */
void sandbox_describe(const struct sandbox_level *l, char *out, size_t size);
/* What keeps it from FULL and the setting that brings it; "": nothing. */
void sandbox_missing(const struct sandbox_level *l, char *out, size_t size);

#endif
