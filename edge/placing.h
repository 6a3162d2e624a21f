/* SPDX-License-Identifier: Apache-2.0
 * An order on its way to its row of the queue: agent, session, the supervisor's word that
 * it is durable, and the first events behind it. What the order is and how it is answered
 * is its protocol's. Once token, agent and session are known here, Postgres is not asked.
 */
#ifndef TB_EDGE_PLACING_H
#define TB_EDGE_PLACING_H

#include "edge/call.h"
#include "edge/follow.h"
#include "edge/order.h"
#include "edge/store.h"

enum placing_stage {
	PLACING_AGENT,
	PLACING_SESSION,
	PLACING_SENT,
	PLACING_FIRST, /* a repeated key: how its run is doing */
	PLACING_DONE_STAGE
};

/* Zero it; the first part is the handler's to fill, with slices that live as long as the
 * request. */
struct placing {
	struct order order;
	struct slice idem_key; /* SLICE_NONE: none */
	struct slice agent;    /* name or id */
	struct uuid goes_on;   /* the session that its key has to mean; nil: whichever */
	/* Shows the run's events, from the first on; follow_step goes on with them. NULL:
	 * the run is not followed. The caller asked call_may_wait. */
	const struct follow_sink *sink;
	bool cancels; /* with a sink: a client that leaves cancels the run */

	/* Known from PLACING_SESSION on ... */
	struct agent_row found;
	struct slice session_key; /* the one in force */
	/* ... and when it is done. */
	struct session_row session;
	struct uuid run; /* of a repeated key: the first one's */
	bool repeated;
	int64_t accepted_us;
	unsigned position, mode; /* mode: enum run_mode */
	const char *status;      /* as a run's "status" says it */

	/* Its own. */
	enum placing_stage stage;
	uint8_t hash[32];
	unsigned slot;
	bool answered, retried;
	enum err error;
	const char *message;
	unsigned retry_after_s;
	struct uuid own; /* the run that was asked for */
	struct run_row first;
};

enum placing_outcome {
	PLACING_WAIT,     /* ask again when the call runs again */
	PLACING_DONE,     /* the run is durable */
	PLACING_ANSWERED, /* it was refused, and the client told */
};

/* Begins, and goes on. */
enum placing_outcome placing_step(struct call *c, struct placing *p);

#endif
