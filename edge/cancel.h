/* SPDX-License-Identifier: Apache-2.0
 * The supervisor's answer to a cancel, on its way to the call that waits for it. */
#ifndef TB_EDGE_CANCEL_H
#define TB_EDGE_CANCEL_H

#include "edge/call.h"
#include "edge/question.h"
#include "proto/wire.h"

/* The first member of such a call's state. */
struct cancelling {
	struct question q;
	struct uuid run;
	unsigned result; /* enum run_result, 0: it goes on for a moment */
};

/* Asks; the call wakes for the answer, see question_asked. False: it was answered. */
bool cancel_send(struct call *c, struct cancelling *x, struct uuid run);

#endif
