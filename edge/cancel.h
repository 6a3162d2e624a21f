/* SPDX-License-Identifier: Apache-2.0
 * The supervisor's answer to a cancel, on its way to the call that waits for it. */
#ifndef TB_EDGE_CANCEL_H
#define TB_EDGE_CANCEL_H

#include "edge/call.h"
#include "proto/wire.h"

/* Stores the answer and wakes the call. */
void cancel_answered(struct call *c, const struct wire_cancelled *m);

#endif
