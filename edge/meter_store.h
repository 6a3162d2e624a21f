/* SPDX-License-Identifier: Apache-2.0
 * What is counted in Postgres for all edges of all nodes: requests taken in advance,
 * model tokens used, tokens seen. None of it is a call's own question. */
#ifndef TB_EDGE_METER_STORE_H
#define TB_EDGE_METER_STORE_H

#include <stdint.h>

#include "common/err.h"
#include "common/ident.h"

struct cache_entry;
struct edge;

#define METER_BATCH 256

/* Requests of a token, or (nil) of a tenant. */
struct meter_take {
	int64_t tenant;
	struct uuid subject;
	uint32_t most; /* a minute */
	unsigned want;
	/* The answer. */
	unsigned granted;
	double left;     /* in the shared bucket */
	int64_t wait_us; /* with none granted: until there is one */
};
typedef void meter_taken_fn(void *arg, enum err e);
/* rows live until `done`, which is called once, from the loop. 1..METER_BATCH of them. */
void meter_store_take(struct edge *e, struct meter_take *rows, unsigned count,
		      meter_taken_fn *done, void *arg);

/* Model tokens of the last minute, a cache's value. */
struct meter_used {
	int64_t tokens;
	int64_t until_us; /* on the loop's clock: when they are below the limit again */
};
/* token nil: all of the tenant's. Ends in cache_loaded or cache_failed. */
void meter_store_used(struct edge *e, struct cache_entry *entry, int64_t tenant,
		      struct uuid token, int64_t most);

/* Nobody waits for these; what is lost is noted the next time. */
struct meter_token {
	int64_t tenant;
	struct uuid token;
};
void meter_store_uses(struct edge *e, const struct meter_token *rows, unsigned count);
struct meter_run {
	int64_t tenant;
	struct uuid token, run;
};
void meter_store_runs(struct edge *e, const struct meter_run *rows, unsigned count);

#endif
