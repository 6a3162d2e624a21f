/* SPDX-License-Identifier: Apache-2.0
 * The start of terabits-sweep: a process for what takes long in directories that tenants
 * filled. */
#ifndef TB_SWEEP_H
#define TB_SWEEP_H

#include <sys/types.h>

struct sup;

/* What it does; a number in the place of its ordinal. */
enum sweep_task { SWEEP_EMPTY = 1, SWEEP_LIST = 2 };

/* wanted: of LIST: "", a tenant, or tenant/agent. It gets the directory, and the end of a
 * pipe to write to (-1: none); both are borrowed. Its pid, or -1 and errno. */
pid_t sweep_start(struct sup *s, enum sweep_task task, const char *wanted, int directory,
		  int out);

#endif
