/* SPDX-License-Identifier: Apache-2.0
 * The supervisor's answer to a decision, on its way to the call that waits for it. */
#ifndef TB_EDGE_DECIDE_H
#define TB_EDGE_DECIDE_H

#include "edge/call.h"
#include "proto/wire.h"

struct approval_row;

/* False: the run is of builder mode, which who may not write to agents has no part in. */
bool decide_may(const struct call *c, const struct approval_row *row);
#define DECIDE_MAY_NOT                                                                   \
	"the run is of mode builder, which makes and changes agents: to answer what it " \
	"asks the token needs the scope write as well"
/* For c->on_decided of a call that asks a question: stores the answer and wakes it. */
void decide_answered(struct call *c, const struct wire_decided *m);

#endif
