/* SPDX-License-Identifier: Apache-2.0
 * Confinement of our own processes by role. Which system calls a role may make, and why,
 * is syscalls.tbl.
 *
 * Order: sandbox_prepare (rlimits, no core, non-dumpable, own mount view where the role
 * has one) before libraries start threads where it matters; the process then connects,
 * loads CA bundle, resolver and locale; sandbox_enter loads the filter on every thread
 * (TSYNC) and verifies each through /proc/self/task. What the filter does not name is
 * refused with EPERM and logged, or kills under TERABITS_SECCOMP=kill; exec, ptrace,
 * mount, bpf, keyctl, io_uring kill always. */
#ifndef TB_SANDBOX_H
#define TB_SANDBOX_H

#include <stddef.h>

#include "common/err.h"

enum sandbox_role { SANDBOX_EDGE, SANDBOX_WORKER, SANDBOX_LAUNCHER, SANDBOX_ROLES };

/* Dies with one actionable line when the kernel refuses what the role needs. */
void sandbox_prepare(enum sandbox_role role);
/* Loads the filter; dies when any thread of the process is not filtered afterwards.
 * Writes one line about the level reached ("seccomp=yes(eperm) threads=14") to detail. */
void sandbox_enter(enum sandbox_role role, char *detail, size_t detail_size);

#endif
