/* SPDX-License-Identifier: Apache-2.0
 * From a fresh process to a serving one: link, database, confinement, door, READY. */
#ifndef TB_EDGE_START_H
#define TB_EDGE_START_H

#include "edge/edge.h"
#include "proto/wire.h"

/* Begins all of it; goes on in the loop. Copies what it needs of b. Dies with one line
 * when the database role is the owner's, a superuser's or one that bypasses row-level
 * security. */
void edge_start(struct edge *e, struct loop *l, const struct wire_boot *b);

#endif
