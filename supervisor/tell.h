/* SPDX-License-Identifier: Apache-2.0
 * What edges and workers keep of the database is old. */
#ifndef TB_SUP_TELL_H
#define TB_SUP_TELL_H

#include "proto/wire.h"

struct sup;

/* To every child that is ready or on its way out, before any later message to it. */
void tell_children(struct sup *s, const struct wire_invalidate *m);

#endif
