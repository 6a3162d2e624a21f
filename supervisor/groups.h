/* SPDX-License-Identifier: Apache-2.0
 * The control groups of this node's jails: one base for all launchers, and that nothing
 * of it outlives the node. A file in <state>/cgroups, locked as long as the node lives,
 * names its directories; the next node removes those of files that nobody locks. */
#ifndef TB_GROUPS_H
#define TB_GROUPS_H

#include <sys/types.h>

#include "proto/wire.h"
#include "sandbox/cgroup/cgroup.h"

struct sup;
struct groups;

/* As root, before the node becomes another user: this one may then make groups below the
 * one that root started it in. Of v1 in a directory that stays, empty, for the next node
 * of that user. Elsewhere nothing. */
void groups_delegate(const struct sup *s);
/* Removes what dead nodes left, then makes the base; without one there are no groups,
 * which is no failure. Before children are started. Blocks, for a second at most. */
struct groups *groups_new(struct sup *s);
const struct cgroup_base *groups_base(const struct groups *g);
/* The launcher's part of a boot message; strings are borrowed. */
void groups_fill(const struct groups *g, struct wire_boot *b);
/* A launcher ended: its groups go, now or as soon as their processes have ended. */
void groups_sweep(struct groups *g);
/* At the node's end. */
void groups_free(struct groups *g);

#endif
