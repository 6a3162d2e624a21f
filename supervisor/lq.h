/* SPDX-License-Identifier: Apache-2.0
 * The lane queue: which run starts when, and on which worker. Pure: no clock, no I/O, no
 *database; time and commits come in as events, what shall happen goes out as actions.
 *
 * A lane is a session's queue: strict order (lane_pos), one runner. A run is
 *
 *	ENQUEUEING --committed--> WAITING --CLAIM--> CLAIMING --claimed--> RUNNING
 *--ended--> gone |  `--committed, fused start------------------------------------^  |
 *	     `--refused--> gone      ^------------------ worker down -----------'
 *
 * Between lanes: a tenant's ready lanes by key = order_us - priority * 30 s (static:
 *ageing without rewriting), tenants by start-time fair queueing over their weights. Each
 *worker has its own heap of tenants with ready lanes: a worker that is away or full is
 *passed over, a tenant at its cap leaves the heaps, so no event scans lanes that cannot
 *start. O(log n) an event, plus a look at each worker; an idle lane costs nothing.
 *
 * Owns: its records. Never: allocates for a lane without runs. Fails: only by refusing an
 *ENQUEUE. */
#ifndef TB_LQ_H
#define TB_LQ_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/ident.h"
#include "proto/limits.h"

#define LQ_MAX_WORKERS 64
#define LQ_NO_WORKER (-1)

struct lq;
struct lq_run; /* opaque; valid until the action or event that ends it */

struct lq_limits {
	uint32_t node_running, node_waiting, lane_waiting, worker_running;
};

/* What the queue needs to know of a run. */
struct lq_item {
	struct uuid run, session;
	int64_t tenant;
	uint32_t slot;
	int priority;
	int64_t order_us;  /* strictly rising by acceptance */
	int64_t run_at_us; /* 0: at once */
	int64_t lane_pos;  /* LQ_LOADED only */
	uint32_t tenant_max_running, tenant_max_queued, tenant_weight;
};

enum lq_event_kind {
	LQ_ENQUEUE,     /* item, now_us, arg. -> DO_ENQUEUE or DO_REFUSE */
	LQ_COMMITTED,   /* run, lane_pos, started: T0 landed */
	LQ_REFUSED,     /* run: T0 did not make a row; it never was */
	LQ_LOADED,      /* item, ran: a row found in the database at start */
	LQ_CLAIMED,     /* run: T1 landed */
	LQ_UNCLAIMED,   /* run, gone: T1 returned no row; gone: forget it, else it waits
			   again */
	LQ_ENDED,       /* run: its last commit landed */
	LQ_LOST,        /* run: its worker gave it up without an end; it is claimed again,
			   uncharged */
	LQ_WORKER_UP,   /* worker */
	LQ_WORKER_DOWN, /* worker: its runs are claimed again, as crashed */
	LQ_SLOTS,       /* slots: the owner of each slot */
	LQ_TICK,        /* now_us: delayed runs may have come due */
	LQ_PAUSE,       /* nothing starts */
	LQ_RESUME
};

struct lq_event {
	enum lq_event_kind kind;
	const struct lq_item *item;
	struct lq_run *run;
	int64_t lane_pos, now_us;
	bool started, gone, ran;
	int worker;
	const int16_t *slots; /* LIMIT_SLOTS entries, LQ_NO_WORKER allowed */
	void *arg;
};

enum lq_action_kind {
	LQ_DO_ENQUEUE, /* run, worker (LQ_NO_WORKER: only queue it), arg */
	LQ_DO_REFUSE,  /* error, arg */
	LQ_DO_CLAIM,   /* run, worker, crashed */
	LQ_DO_START    /* run, worker: its commit landed, tell the worker */
};

struct lq_action {
	enum lq_action_kind kind;
	struct lq_run *run;
	int worker;
	bool crashed;
	enum err error;
	void *arg;
};

typedef void lq_act_fn(void *ctx, const struct lq_action *a);

/* Actions are handed to `act` during lq_step, which must not call lq_step itself. */
struct lq *lq_new(const struct lq_limits *limits, lq_act_fn *act, void *ctx);
void lq_free(struct lq *q);
void lq_step(struct lq *q, const struct lq_event *e);

/* The run of that id; NULL when the queue has none. */
struct lq_run *lq_find(const struct lq *q, struct uuid run);
struct uuid lq_run_id(const struct lq_run *r);
struct uuid lq_run_session(const struct lq_run *r);
int64_t lq_run_tenant(const struct lq_run *r);
uint32_t lq_run_slot(const struct lq_run *r);
int lq_run_worker(const struct lq_run *r);
enum lq_state { LQ_ENQUEUEING, LQ_DELAYED, LQ_WAITING, LQ_CLAIMING, LQ_RUNNING };
enum lq_state lq_run_state(const struct lq_run *r);
/* Runs of its lane that go before it. */
uint32_t lq_run_position(const struct lq_run *r);
/* What the caller keeps with a run. */
void lq_run_set_user(struct lq_run *r, void *user);
void *lq_run_user(const struct lq_run *r);

struct lq_stats {
	uint32_t lanes, waiting, running, delayed;
	int64_t next_due_us; /* 0: none */
};
struct lq_stats lq_stats(const struct lq *q);
uint32_t lq_worker_running(const struct lq *q, int worker);

#endif
