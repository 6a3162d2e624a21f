/* SPDX-License-Identifier: Apache-2.0
 * The lane queue: which run starts when, and on which worker. Pure: no clock, no I/O, no
 * database; time and commits come in as events, what shall happen goes out as actions.
 *
 * A lane is a session's queue: one runner; a run that ran before goes first, then order
 * is lane_pos. A run is
 *
 *	ENQUEUEING --committed--> WAITING, or DELAYED until due
 *	WAITING --claim--> CLAIMING --claimed--> RUNNING --ended--> gone
 *	ENQUEUEING --committed, fused start--> RUNNING
 *	RUNNING --worker down, lost, yielded--> WAITING
 *	RUNNING --retry--> RETRY, which holds its lane --due--> WAITING
 *	RUNNING --asks--> ASKING, which holds its lane --answered--> WAITING
 *
 * ASKING waits for a person, for as long as it takes until its time is over. A message
 * that could start, were it not for such a run, answers for the person: DO_DENY.
 *
 * A waiting run can also be taken by its lane's running run (steer, collect, folded),
 * fold or drop by its lane's drop policy, expire, or be cancelled.
 *
 * Between lanes: a tenant's ready lanes by key = order_us - priority * 30 s (static:
 * ageing without rewriting), tenants by start-time fair queueing over their weights. A
 * worker, tenant or agent at its cap takes what it holds back out of the heaps and puts
 * it back later, so no event scans lanes that cannot start. O(log n) an event, but for a
 * pause (of more than a lane) and a change of slots, which look at every lane; an idle
 * lane costs nothing.
 *
 * A pause stops new runs from starting. What ran before goes on to its end, whoever has
 * to claim it again: only HOLD stops that.
 *
 * Owns: its records. Never: allocates for a lane without runs. Fails: only by refusing an
 * ENQUEUE. */
#ifndef TB_LQ_H
#define TB_LQ_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/ident.h"
#include "proto/limits.h"
#include "proto/wire.h"

#define LQ_MAX_WORKERS 64
#define LQ_NO_WORKER (-1)
/* Where a run goes that was on two workers that died: alone there, so that a third death
 * is surely its own. */
#define LQ_QUARANTINE 63
#define LQ_SUSPECT_CRASHES 2
#define LQ_FOLDED_MOST 20

struct lq;
struct lq_run; /* opaque; valid until the action or event that ends it */

struct lq_limits {
	uint32_t node_running, node_waiting, worker_running;
};

/* What the queue needs to know of a run. */
struct lq_item {
	struct uuid run, session, agent;
	int64_t tenant;
	uint32_t slot;
	int priority;
	enum run_mode mode;
	int64_t order_us;    /* strictly rising by acceptance */
	int64_t run_at_us;   /* 0: at once */
	int64_t deadline_us; /* of waiting in the queue; 0: none */
	uint32_t tenant_max_running, tenant_max_queued, tenant_weight;
	uint32_t agent_max_running; /* 0: no cap */
	/* LQ_ENQUEUE only */
	uint32_t lane_cap; /* 0: LIMIT_LANE_WAITING */
	enum drop_policy drop;
	/* LQ_LOADED only */
	int64_t lane_pos;
	bool ran;      /* it started before: it goes first, and has no deadline */
	bool retrying; /* in retry_wait until run_at_us */
	bool asking;   /* it waits for a person, at most until run_at_us */
	bool folded;
	uint32_t crashes;
};

enum lq_scope { LQ_NODE, LQ_TENANT, LQ_AGENT, LQ_LANE };

enum lq_event_kind {
	LQ_ENQUEUE,   /* item, now_us, arg -> DO_ENQUEUE or DO_REFUSE */
	LQ_COMMITTED, /* run, lane_pos, started: T0 landed */
	LQ_REFUSED,   /* run: T0 did not make a row; it never was */
	LQ_LOADED,  /* item, now_us: a row found in the database; no-op for a known run */
	LQ_CLAIMED, /* run: T1 landed */
	/* run, gone: T1 returned no row; gone: forget it, else it waits again, and heeds
	 * pauses though it ran, until that of its lane ends or its cancel comes */
	LQ_UNCLAIMED,
	LQ_NOT_DUE, /* run, at_us: T1 found it in retry_wait until then and changed
		       nothing;   a crash of its last worker is not its own */
	LQ_ENDED,   /* run: its last commit landed */
	LQ_LOST, /* run: its worker gave it up without an end; claimed again, uncharged */
	LQ_YIELDED, /* run: its worker let go at a step boundary; claimed again, uncharged
		     */
	LQ_RETRY,   /* run, at_us: its worker put it into retry_wait until then */
	/* run, at_us: its row waits for a person, at most until then; its worker let go.
	 * Or its claim found it so: then its last worker's crash is not its own. */
	LQ_ASKS,
	LQ_ANSWERED, /* run: its row waits for nobody any more, and may be claimed */
	LQ_PROGRESS, /* run: its crashes are 0 again */
	LQ_TAKEN,    /* run: a waiting run was consumed by its lane's running run */
	LQ_GONE,   /* run: a never-started run was archived (cancelled, expired, dropped).
		      One that is   CLAIMING stays: its claim will find no row */
	LQ_FOLDED, /* run: its row is folded */
	LQ_KEPT,   /* run: what DO_EXPIRE or a victim's DO_ENQUEUE asked for did not
		      happen; an expiry is asked for again 10 s later */
	LQ_CANCEL, /* run: its cancel is durable; a RUNNING one -> DO_CANCEL, a RETRY is
		      due and an ASKING one answered at once */
	LQ_WORKER_UP,   /* worker */
	LQ_WORKER_DOWN, /* worker, uncharged: its runs are claimed again, as crashed
			   unless uncharged: their worker's end was not their doing */
	LQ_SLOTS,       /* slots: the owner of each slot */
	LQ_TICK,        /* now_us: delays, retries and deadlines may have come */
	LQ_PAUSE,       /* scope, tenant, id */
	LQ_RESUME,      /* scope, tenant, id */
	LQ_HOLD,        /* nothing starts (the lease is lost, or the node drains) */
	LQ_RELEASE
};

struct lq_event {
	enum lq_event_kind kind;
	const struct lq_item *item;
	struct lq_run *run;
	int64_t lane_pos, now_us, at_us;
	bool started, gone, uncharged;
	int worker;
	const int16_t *slots; /* LIMIT_SLOTS entries, LQ_NO_WORKER allowed */
	enum lq_scope scope;
	int64_t tenant;
	struct uuid id; /* an agent's, or a session's for LQ_LANE */
	/* LQ_PAUSE of a lane because of a run that failed: kept to be shown. Nil: a
	 * person paused it. */
	struct uuid failed_run;
	struct slice failed_code;
	void *arg;
};

enum lq_action_kind {
	LQ_DO_ENQUEUE, /* run, worker (LQ_NO_WORKER: only queue it), victim, fold, arg */
	LQ_DO_REFUSE,  /* error, arg */
	LQ_DO_CLAIM,   /* run, worker, crashed */
	LQ_DO_START,   /* run, worker: its commit landed, tell the worker */
	LQ_DO_STEER,   /* run, worker: messages wait in its lane */
	LQ_DO_CANCEL,  /* run, worker, reason */
	LQ_DO_YIELD,   /* run, worker */
	/* run: its deadline passed while it waited -> GONE or KEPT; or the time to answer
	   what it asks -> ANSWERED or KEPT */
	LQ_DO_EXPIRE,
	LQ_DO_DENY,      /* run: a message came instead of the answer -> ANSWERED */
	LQ_DO_QUARANTINE /* the quarantine worker is needed and not up (once until it is)
			  */
};

struct lq_action {
	enum lq_action_kind kind;
	struct lq_run *run;
	struct lq_run *victim; /* DO_ENQUEUE: drop it in the same commit, NULL: none ->
				  GONE, FOLDED or KEPT */
	bool fold;             /* DO_ENQUEUE: fold the victim instead */
	int worker;
	bool crashed;
	enum cancel_reason reason;
	enum err error;
	void *arg;
};

typedef void lq_act_fn(void *ctx, const struct lq_action *a);

/* Actions are handed to `act` during lq_step, which must not call lq_step itself. */
struct lq *lq_new(const struct lq_limits *limits, lq_act_fn *act, void *ctx);
void lq_free(struct lq *q);
void lq_step(struct lq *q, const struct lq_event *e);

/* ---- looking */

/* The run of that id; NULL when the queue has none. */
struct lq_run *lq_find(const struct lq *q, struct uuid run);
struct uuid lq_run_id(const struct lq_run *r);
struct uuid lq_run_session(const struct lq_run *r);
struct uuid lq_run_agent(const struct lq_run *r);
int64_t lq_run_tenant(const struct lq_run *r);
uint32_t lq_run_slot(const struct lq_run *r);
int lq_run_worker(const struct lq_run *r);
enum run_mode lq_run_mode(const struct lq_run *r);
int lq_run_priority(const struct lq_run *r);
int64_t lq_run_order_us(const struct lq_run *r);
uint32_t lq_run_crashes(const struct lq_run *r);
enum lq_state {
	LQ_S_ENQUEUEING,
	LQ_S_DELAYED,
	LQ_S_WAITING,
	LQ_S_FOLDED,
	LQ_S_CLAIMING,
	LQ_S_RUNNING,
	LQ_S_RETRY,
	LQ_S_ASKING
};
enum lq_state lq_run_state(const struct lq_run *r);
/* Its row is gone; a commit of it is under way still, and ends it here as well. */
bool lq_run_is_gone(const struct lq_run *r);
const char *lq_state_word(enum lq_state s); /* "queued", "scheduled", "running",
					       "retry_wait", "waiting" (ASKING) ... */
/* Runs of its lane that go before it. */
uint32_t lq_run_position(const struct lq_run *r);
/* enum take bits: what of its lane a run that starts now finds to consume: steers
 * (waiting steer and announce), the siblings of a collect, folded ones. */
uint32_t lq_run_take(const struct lq_run *r);
/* The due time of a DELAYED or RETRY run, the end of an ASKING one's time; else 0. */
int64_t lq_run_due_us(const struct lq_run *r);
/* Since when it could have started, had all been free: its acceptance, or its due time.
 */
int64_t lq_run_since_us(const struct lq_run *r);
/* "node", "tenant", "agent" or "lane". */
const char *lq_scope_word(enum lq_scope s);

/* Why a run does not run now: the first reason in this order. */
enum lq_why {
	LQ_WHY_RUNS,       /* it does, or its claim is under way */
	LQ_WHY_COMMITTING, /* T0 is under way */
	LQ_WHY_DELAYED,    /* until due */
	LQ_WHY_RETRY,      /* until due */
	LQ_WHY_ASKING,     /* for a person's answer, until due */
	LQ_WHY_FOLDED,     /* enters the next run as part of one message */
	LQ_WHY_LANE_BUSY,  /* other: the lane's active run, or the run before it */
	LQ_WHY_LANE_PAUSED,
	LQ_WHY_AGENT_PAUSED,
	LQ_WHY_TENANT_PAUSED,
	LQ_WHY_NODE_PAUSED,
	LQ_WHY_HELD,
	LQ_WHY_QUARANTINE, /* it waits for the quarantine worker */
	LQ_WHY_NO_WORKER,  /* its slot has no worker, or that one is not up */
	LQ_WHY_NODE_FULL,
	LQ_WHY_WORKER_FULL,
	LQ_WHY_TENANT_CAP,
	LQ_WHY_AGENT_CAP,
	LQ_WHY_TURN /* it is ready: others go first */
};
struct lq_why_info {
	enum lq_why why;
	const struct lq_run *other; /* LANE_BUSY */
	uint32_t position;          /* in its lane */
	uint32_t ahead; /* ready lanes of its tenant before it, at most: an estimate */
	int64_t due_us;
};
struct lq_why_info lq_why(const struct lq *q, const struct lq_run *r);

struct lq_stats {
	/* running: those that hold credit, the claiming ones among them */
	uint32_t lanes, tenants, runs, waiting, running, delayed, retrying, asking,
		folded, claiming, pauses;
	int64_t next_due_us; /* of delays, retries, answers and deadlines; 0: none */
	bool held, paused;   /* HOLD; the node's own pause */
	size_t bytes;        /* of its records, about */
};
/* O(1). */
struct lq_stats lq_stats(const struct lq *q);
uint32_t lq_worker_running(const struct lq *q, int worker);
/* What is paused, in no order; false from fn ends it. */
struct lq_pause {
	enum lq_scope scope;
	int64_t tenant;
	struct uuid id;
	struct uuid failed_run; /* of a lane that a failure paused, else nil */
	char failed_code[33];
};
void lq_each_pause(const struct lq *q, bool (*fn)(void *ctx, const struct lq_pause *p),
		   void *ctx);
bool lq_is_paused(const struct lq *q, enum lq_scope scope, int64_t tenant,
		  struct uuid id);
/* That pause; NULL: there is none. Valid until the next step. */
const struct lq_pause *lq_pause_find(const struct lq *q, enum lq_scope scope,
				     int64_t tenant, struct uuid id);

/* Lanes that have runs, in no order; false from fn ends it. */
struct lq_lane_info {
	int64_t tenant;
	struct uuid session, agent;
	uint32_t slot, waiting, delayed, folded;
	const struct lq_run *active; /* NULL: none */
	const struct lq_run *asking; /* NULL: none */
	const struct lq_run *head;   /* the next to start, NULL: none waits */
	bool paused;
	int worker; /* that the slot belongs to */
};
void lq_each_lane(const struct lq *q, bool (*fn)(void *ctx, const struct lq_lane_info *l),
		  void *ctx);
/* One lane; false: it has no runs. */
bool lq_lane(const struct lq *q, int64_t tenant, struct uuid session,
	     struct lq_lane_info *out);
/* The lane's runs in their order: the active one, then those that wait, are delayed, are
 * folded. */
void lq_each_run(const struct lq *q, int64_t tenant, struct uuid session,
		 bool (*fn)(void *ctx, struct lq_run *r), void *ctx);
/* Tenants that have runs, in no order. */
struct lq_tenant_info {
	int64_t tenant;
	uint32_t running, waiting, max_running, max_queued, weight;
};
void lq_each_tenant(const struct lq *q,
		    bool (*fn)(void *ctx, const struct lq_tenant_info *t), void *ctx);

#endif
