/* SPDX-License-Identifier: Apache-2.0
 * The supervisor's answer to an order, on its way to the call that waits for it. */
#ifndef TB_EDGE_POST_H
#define TB_EDGE_POST_H

#include "edge/call.h"
#include "proto/wire.h"

/* Stores the answer and wakes the call. */
void post_enqueued(struct call *c, const struct wire_enqueued *m);

#endif
