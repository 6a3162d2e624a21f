/* SPDX-License-Identifier: Apache-2.0
 * What POST /v1/agents/{agent}/runs orders: the body, checked member by member. Pure.
 * Fails: with the member that is wrong and the rule it breaks. */
#ifndef TB_EDGE_ORDER_H
#define TB_EDGE_ORDER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/slice.h"
#include "proto/wire.h"

#define ORDER_USER_MAX 256u
#define ORDER_DELAY_MAX_MS (30LL * 24 * 3600 * 1000)
#define ORDER_DEADLINE_MAX_MS (30LL * 24 * 3600 * 1000)

struct order {
	struct slice session_key; /* SLICE_NONE: the agent's main session */
	/* JSON: {"blocks":[...]} and perhaps "overrides", "clientTools", "toolChoice",
	 * "toolResults", "webhook", "mode"; blocks are empty when results are all it
	 * brings. */
	struct slice content;
	struct slice user;    /* SLICE_NONE: none */
	struct slice webhook; /* the URL that is told of its end; SLICE_NONE: none */
	int64_t priority, delay_ms, deadline_ms;
	/* enum run_mode; 0: the session's or the agent's. What has clientTools,
	 * toolChoice or toolResults is MODE_FOLLOWUP or MODE_INTERRUPT: it has a run of
	 * its own; so has one of builder mode. */
	unsigned mode;
	bool builder; /* of builder mode: its run may make and change agents */
	bool stream;
	bool cancel_on_disconnect; /* only with stream */
};
struct order_fault {
	char param[64]; /* the member, "" when the whole body is meant */
	char message[200];
};

/* All slices live in the arena. false: fault is set. */
bool order_parse(struct slice body, struct arena *a, struct order *out,
		 struct order_fault *fault);
/* The Idempotency-Key field: 1..255 visible ASCII characters. */
bool order_check_key(struct slice key, struct order_fault *fault);
/* Whether a caller may begin a session of that key. */
bool order_check_session(struct slice key, struct order_fault *fault);
/* SHA-256 over what makes two orders the same: everything but how
 * the answer is followed (stream, cancelOnDisconnect). session_key is the one in force.
 */
void order_hash(const struct order *o, struct uuid agent, struct slice session_key,
		uint8_t out[32]);

#endif
