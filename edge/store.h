/* SPDX-License-Identifier: Apache-2.0
 * What the edge reads from Postgres, as typed rows. Every read is one transaction that
 * first names the tenant. */
#ifndef TB_EDGE_STORE_H
#define TB_EDGE_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/ident.h"
#include "common/slice.h"
#include "edge/call.h"
#include "edge/edge.h"
#include "proto/limits.h"

struct cache_entry;
struct pg_stmt;

/* The table behind enum sql. */
const struct pg_stmt *store_stmts(void);

/* ---- values of the caches; each load ends in cache_loaded or cache_failed */
struct token_row {
	int64_t tenant;
	struct uuid id;
	uint8_t secret_sha256[32];
	unsigned scopes;
	bool suspended;
	int64_t expires_us; /* 0: never */
	uint32_t max_running, max_queued, weight;
};
struct agent_row {
	struct uuid id;
	char name[LIMIT_NAME + 1];
	uint32_t max_running;
	unsigned mode; /* enum run_mode */
};
struct session_row {
	struct uuid id;
};
struct session_open {
	struct uuid agent;
	struct slice key, user;
	unsigned slot;
};
void store_load_token(struct edge *e, struct cache_entry *entry, int64_t tenant,
		      struct uuid id);
/* word: the agent's name or id. */
void store_load_agent(struct edge *e, struct cache_entry *entry, int64_t tenant,
		      struct slice word);
/* getOrCreate. */
void store_open_session(struct edge *e, struct cache_entry *entry, int64_t tenant,
			const struct session_open *open);

/* ---- reads of one call: asking is set until the answer is there, then the call is woken
 * with c->asked; texts live in the request's arena */
struct run_row {
	bool found;
	bool ended;
	struct uuid session, agent, merged_into;
	struct slice agent_name, session_key;
	struct slice state; /* run_state or run_result */
	bool cancelling;
	int64_t attempts, position;
	int64_t accepted_us, started_us, ended_us;
	struct slice error_code, error, text;
	int64_t output_seq, steps, tool_calls, tokens_in, tokens_out;
};
void store_get_run(struct call *c, struct uuid run, struct run_row *out);

struct event_row {
	uint32_t seq;
	const char *type;
	int64_t at_us;
	struct slice body;
	struct slice whole; /* an assistant's text when the body was cut for its size */
};
#define EVENT_PAGE 32
/* The run first, then its events: when it had ended, all its events are there. */
struct event_page {
	struct run_row run;
	unsigned count; /* EVENT_PAGE: there may be more */
	struct event_row rows[EVENT_PAGE];
	struct arena *arena; /* of the rows' texts, reset by the next page */
};
void store_get_events(struct call *c, struct uuid run, uint32_t after,
		      struct event_page *out);

#endif
