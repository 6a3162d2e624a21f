/* SPDX-License-Identifier: Apache-2.0
 * What the edge reads from Postgres, as typed rows. Every read is one transaction that
 * first names the tenant. */
#ifndef TB_EDGE_STORE_H
#define TB_EDGE_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/crypto.h"
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
	uint8_t previous_sha256[32]; /* of the secret before, good until: */
	int64_t previous_until_us;
	uint32_t requests, tenant_requests; /* a minute; 0: any number */
	int64_t tokens, tenant_tokens;      /* of models, likewise */
	size_t user_n;                      /* the end user whose it is; 0: nobody's */
	char user[CALL_USER_MAX];
};
struct agent_row {
	struct uuid id;
	char name[LIMIT_NAME + 1];
	uint32_t max_running;
	/* Of its lanes, from its configuration; a value there that is out of bounds
	 * counts as absent. A wrong value must not refuse every message of the agent. */
	unsigned mode; /* enum run_mode, 0: none */
	uint32_t lane_cap, debounce_ms;
	unsigned drop;                             /* enum drop_policy */
	bool by_session;                           /* it has a workspace a session */
	uint64_t workspace_bytes, workspace_files; /* at most; 0: as the node says */
	char embedding_model[LIMIT_MODEL + 1];     /* "": none is said */
};
#define AGENT_LANE_CAP_MAX 10000
#define AGENT_DEBOUNCE_MS 500
#define AGENT_DEBOUNCE_MAX_MS 60000
struct session_row {
	struct uuid id;
	unsigned mode;               /* enum run_mode, 0: the agent's */
	uint8_t user[CRYPTO_DIGEST]; /* whose it is, of the user's name; zeros: nobody's
				      */
};
struct session_open {
	int64_t tenant;
	struct uuid agent;
	struct slice key, user; /* user: of a session that is made now */
	unsigned slot;
};
void store_load_token(struct edge *e, struct cache_entry *entry, int64_t tenant,
		      struct uuid id);
/* word: the agent's name or id; empty: see edge/default_agent.h. */
void store_load_agent(struct edge *e, struct cache_entry *entry, int64_t tenant,
		      struct slice word);
/* The outcome of a write: rolled back, or not known because the database is away. */
enum store_fate { STORE_DONE, STORE_REFUSED, STORE_AWAY };
/* rows: one an opening, in order, a nil id where the agent is gone; DONE only. */
typedef void store_opened_fn(void *arg, enum store_fate fate,
			     const struct session_row *rows);
/* getOrCreate of 1..LIMIT_BATCH_RUNS sessions of any tenants in one commit. `done` is
 * called once, from the loop. The openings have to live until then. */
void store_open_sessions(struct edge *e, const struct session_open *const *rows,
			 unsigned count, store_opened_fn *done, void *arg);

/* ---- reads of one call: asking is set until the answer is there, then the call is woken
 * with c->asked; texts live in the request's arena */
struct run_row {
	bool found;
	bool ended;
	struct uuid session, agent, merged_into;
	struct slice agent_name, session_key;
	struct slice state; /* run_state or run_result */
	bool cancelling;
	/* Not of a page's rows: its message said mode builder; it is no response of
	 * OpenAI's API any more. */
	bool builder, response_deleted;
	int64_t attempts;
	int64_t position; /* runs of its lane before it, -1: not asked */
	int64_t accepted_us, started_us, ended_us;
	struct slice error_code, error, text;
	/* JSON: the calls that it left to its client; SLICE_NONE: none. And why its
	 * answer is not the end of it; SLICE_NONE: it is. */
	struct slice pending_calls, stop;
	int64_t output_seq, steps, tool_calls, tokens_in, tokens_out;
	bool has_cost;                                 /* the next are filled */
	int64_t cost_micros;                           /* -1: not known */
	int64_t model_calls, unpriced_calls, model_ms; /* ms: of them together */
	struct slice
		approvals; /* JSON: what a waiting run asks; SLICE_NONE: it does not */
};
void store_get_run(struct call *c, struct uuid run, struct run_row *out);

/* A session that is there, by its key; *out stays nil when there is none. */
void store_find_session(struct call *c, struct uuid agent, struct slice key,
			struct uuid *out);

/* A page of a list, the newest first. */
#define PAGE_MAX 200
/* Rows one read looks at: a filter that fits few of them gets a short page and a cursor,
 * never a long read. */
#define PAGE_WINDOW 2000
#define PAGE_WINDOW_LIVE 10000 /* a tenant's whole queue, as a rule */
struct page_filter {
	struct uuid session, agent; /* nil: any */
	struct uuid before; /* older than this one; all bits set: from the newest on */
	unsigned limit;     /* 1..PAGE_MAX */
};

/* A tenant's runs. */
struct run_filter {
	struct page_filter page;
	struct slice status; /* as a run's "status" says it; SLICE_NONE: any */
};
struct run_page {
	unsigned count;
	struct {
		struct uuid id;
		struct run_row run; /* without text and position */
	} rows[PAGE_MAX];
	struct uuid next; /* the cursor of the next page; nil: this is the last */
};
void store_list_runs(struct call *c, const struct run_filter *f, struct run_page *out);

/* What runs asked people; bodies are JSON objects. */
struct approval_filter {
	struct page_filter page;
	struct uuid run;    /* nil: any */
	struct slice state; /* SLICE_NONE: any */
};
struct approval_page {
	unsigned count;
	struct slice rows[PAGE_MAX];
	struct uuid next; /* the cursor of the next page; nil: this is the last */
};
void store_list_approvals(struct call *c, const struct approval_filter *f,
			  struct approval_page *out);
struct approval_row {
	bool found;
	struct slice body;
	struct uuid run, session;
	bool builder; /* the run is of builder mode */
};
void store_get_approval(struct call *c, struct uuid id, struct approval_row *out);

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
