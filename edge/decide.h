/* SPDX-License-Identifier: Apache-2.0
 * The supervisor's answer to a decision, on its way to the call that waits for it. */
#ifndef TB_EDGE_DECIDE_H
#define TB_EDGE_DECIDE_H

#include "edge/call.h"
#include "proto/wire.h"

/* For c->on_decided of a call that asks a question: stores the answer and wakes it. */
void decide_answered(struct call *c, const struct wire_decided *m);

#endif
