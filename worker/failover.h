/* SPDX-License-Identifier: Apache-2.0
 * What a run does after its model failed: failover.tbl and the counts so far. Pure. */
#ifndef TB_FAILOVER_H
#define TB_FAILOVER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

enum failover_move {
	FAILOVER_AGAIN,    /* the same model, after a short pause */
	FAILOVER_NEXT,     /* the next model of the chain, at once */
	FAILOVER_POSTPONE, /* the queue tries the run later */
	FAILOVER_FAIL
};

struct failover {
	int retries; /* of the same question to the same model, so far */
	bool has_next;
	int64_t retry_after_us;         /* what the provider asked for; 0: nothing */
	unsigned attempt, max_attempts; /* of the run, in the queue */
};

#define FAILOVER_RETRIES_MOST 2
/* A longer pause is not spent inside the run: it would hold its place on the worker. */
#define FAILOVER_PAUSE_MOST_US 8000000

/* Whether others should leave that key and model alone for a while. */
bool failover_cools(enum err e);
enum failover_move failover_decide(enum err e, const struct failover *f);

#endif
