/* SPDX-License-Identifier: Apache-2.0
 * The directories in which tools work: one an agent, <state>/workspaces/<tenant>/<agent>.
 * Names are made of ids, never of text that somebody chose. A worker gets none: its
 * launcher is granted one by a number, for as long as a run of that agent runs there. */
#ifndef TB_WORKSPACES_H
#define TB_WORKSPACES_H

#include "proto/wire.h"
#include "supervisor/lq.h"

struct child;
struct sup;

/* Makes what is missing of it, and grants it to the worker's launcher for the run; the
 * worker is told (WORKSPACE). Blocks for the directory's creation. */
void workspaces_grant(struct child *worker, const struct lq_run *r, int64_t fence);
/* The run left that worker: its jails end. No-op when it was granted none. */
void workspaces_take_back(struct child *worker, const struct lq_run *r);

#endif
