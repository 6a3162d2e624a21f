/* SPDX-License-Identifier: Apache-2.0
 * The message of an ended run again, as a new run: of POST /v1/runs/{run}/retry and of a
 * dead letter. The supervisor does it, as for an operator. */
#ifndef TB_EDGE_RETRY_H
#define TB_EDGE_RETRY_H

#include "edge/inquiry.h"

/* The first member of such a call's state. */
struct retry {
	struct inquiring q;
	struct uuid run;
	struct slice key; /* of idempotency; SLICE_NONE: none */
};

/* The key and the body, which has to be empty or {}. False: answered. */
bool retry_read(struct call *c, struct retry *t);
/* Asks; the call runs again for retry_reply. */
void retry_send(struct call *c, struct retry *t, struct uuid run);
void retry_reply(struct call *c, struct retry *t);

#endif
