/* SPDX-License-Identifier: Apache-2.0
 * Confinement of our own processes by role. Which system calls a role may make, and why,
 * is syscalls.tbl.
 *
 * Order: sandbox_prepare while there is one thread (rlimits, no core, non-dumpable, no
 * capability that the role does not need; edge and worker: a view of files of their own
 * and Landlock; launcher: no network); the process then connects and loads the CA
 * bundle; sandbox_enter loads the filter on every thread
 * (TSYNC) and verifies each through /proc/self/task. What the filter does not name is
 * refused with EPERM and logged, or kills under TERABITS_SECCOMP=kill; exec, ptrace,
 * mount, bpf, keyctl, io_uring kill always. */
#ifndef TB_SANDBOX_H
#define TB_SANDBOX_H

#include <stddef.h>

#include "common/err.h"

enum sandbox_role { SANDBOX_EDGE, SANDBOX_WORKER, SANDBOX_LAUNCHER, SANDBOX_ROLES };

/* Of edge and worker, before sandbox_prepare: this file or directory, too, is in the
 * role's view, under its real path and read-only (a socket in it can be connected to).
 * A directory is seen as it changes, a file is what it is now. Dies when it is not there.
 */
void sandbox_show(const char *path);
/* Dies with one actionable line when the kernel refuses what the role needs. */
void sandbox_prepare(enum sandbox_role role);
/* Loads the filter; dies when any thread of the process is not filtered afterwards.
 * Writes one line about the level reached ("seccomp=yes(eperm) threads=14") to detail. */
void sandbox_enter(enum sandbox_role role, char *detail, size_t detail_size);

#endif
