/* SPDX-License-Identifier: Apache-2.0
 * What the lane queue holds: seen by the lq*.c files only. */
#ifndef TB_LQ_STATE_H
#define TB_LQ_STATE_H

#include "common/list.h"
#include "supervisor/heap.h"
#include "supervisor/lq.h"

struct map;

#define LQ_STATES 8
#define LQ_PRIORITY_US 30000000LL /* a step of priority is worth 30 s of waiting */
/* An expiry the database did not agree to is asked for again after this. */
#define LQ_EXPIRE_AGAIN_US 10000000LL

/* What waits for a worker, level by level: worker.shares -> share.parts -> part.ready ->
 * lanes. A part exists while it has ready lanes, a share from its first until its tenant
 * has no runs; they are in the heap above while their agent or tenant may start one. */

/* The ready lanes of one agent that belong to one worker. */
struct part {
	struct agent *agent;
	struct share *share;
	struct list node;     /* in agent.parts */
	struct heap ready;    /* lanes, by key */
	struct heap_node top; /* in share.parts, by the key of its first lane */
};

/* The ready lanes of one tenant that belong to one worker. */
struct share {
	struct tenant *tenant;
	struct list node; /* in tenant.shares */
	struct heap parts;
	struct heap_node top; /* in worker.shares, by virtual time */
	int64_t virtual_us;   /* finish tag of its last start here */
	uint32_t lanes;       /* that are ready */
	int worker;
};

struct agent {
	struct uuid id;
	struct tenant *tenant;
	struct list parts;
	uint32_t running, runs, max_running;
	bool paused;
	bool open; /* below its cap, as its parts were last told */
};

struct tenant {
	int64_t id;
	struct list shares;
	int64_t virtual_us; /* finish tag of its last start on the node */
	uint32_t running, waiting, runs, max_running, max_queued, weight;
	bool paused, open;
};

struct lane {
	struct uuid session;
	struct agent *agent;
	struct lane *bucket_next;
	struct lq_run *active; /* CLAIMING or RUNNING, or ENQUEUEING with a fused start */
	struct list waiting;   /* WAITING runs: those that ran before, then by lane_pos */
	struct list rest; /* all others that are not active, by lane_pos, the uncommitted
			     last */
	struct heap_node ready; /* in the part of ready_at */
	uint16_t slot;
	int8_t ready_at; /* a worker */
	uint8_t paused : 1;
	uint8_t mixed : 1;   /* the first that waits may not have the smallest key */
	uint8_t stopped : 6; /* its runs in RETRY or ASKING: each holds it */
	uint32_t runs, waiting_count, delayed;
	uint16_t folded;
	uint16_t doomed; /* of those that wait or are delayed */
};

struct lq_run {
	struct uuid id;
	struct lq_run *bucket_next;
	struct lane *lane;
	struct list node; /* in lane.waiting, lane.rest or worker.active */
	int64_t order_us, lane_pos;
	int64_t due_us; /* of a DELAYED, RETRY or ASKING one, or what T0 asked for */
	struct heap_node timer; /* in lq.timers */
	uint32_t deadline_ms;   /* after order_us; 0: none */
	int16_t priority;
	int8_t worker;
	uint8_t crashes; /* those not yet told to the database included */
	uint16_t state : 3;
	uint16_t cancel : 2;  /* enum cancel_reason, told at each start */
	uint16_t ran : 1;     /* it was started once: first in its lane, no deadline */
	uint16_t crashed : 1; /* the next claim charges a crash */
	uint16_t orphan : 1;  /* its worker went while the commit was under way */
	uint16_t fused : 1;
	uint16_t gone : 1;     /* it ended while a commit of it was under way */
	uint16_t folded : 1;   /* its row is */
	uint16_t doomed : 1;   /* the victim of an ENQUEUE under way */
	uint16_t expiring : 1; /* DO_EXPIRE is unanswered */
	uint8_t yielding : 1;  /* DO_YIELD is on its way */
	/* Its claim came back without it: pauses hold it, though it ran, until that of
	 * its lane ends or it is cancelled. */
	uint8_t unclaimed : 1;
	uint8_t denied : 1; /* DO_DENY is unanswered */
	uint8_t mode;       /* enum run_mode */
};

struct worker {
	bool up;
	uint32_t running;
	struct list active; /* runs CLAIMING or RUNNING on it, or fused */
	struct heap shares; /* of the tenants that may start one here, by virtual time */
	int64_t virtual_us; /* start tag of the last start here */
	/* While it is up and has room: whose turn it is, and that turn in lq.turns. */
	struct share *first;
	struct heap_node turn;
};

struct lq {
	struct lq_limits limits;
	lq_act_fn *act;
	void *ctx;
	struct map *tenants, *agents, *pauses;
	struct lq_run **run_buckets;
	struct lane **lane_buckets;
	uint32_t run_bucket_count, lane_bucket_count, run_count, lane_count;
	uint32_t part_count, share_count;
	struct heap timers; /* of runs: due times and deadlines */
	struct heap
		turns; /* of workers, by the node's tag of their first share's tenant */
	struct worker workers[LQ_MAX_WORKERS];
	int16_t slots[LIMIT_SLOTS];
	uint32_t running; /* that hold credit: count's CLAIMING, RUNNING and fused ones */
	uint32_t count[LQ_STATES];
	int64_t virtual_us, now_us;
	bool paused, held, stepping, quarantine_asked;
};

static inline struct tenant *lq_tenant_of(const struct lq_run *r)
{
	return r->lane->agent->tenant;
}

/* ---- lq_record.c */

/* Of a run's id (tenant 0) or a lane's. Its low bits choose the bucket, so each of them
 * depends on every byte: ids may be consecutive numbers. */
uint32_t lq_hash(const struct uuid *id, int64_t tenant);

/* A run in no list yet; its lane, agent and tenant are made when they are new, and caps
 * and weight become what the item says. */
struct lq_run *lq_run_new(struct lq *q, const struct lq_item *it);
/* Frees it, and a lane, agent or tenant that has no other run: an idle session costs
 * nothing. It is in no list. */
void lq_run_forget(struct lq *q, struct lq_run *r);
/* NULL when they have no runs. */
struct lane *lq_lane_find(const struct lq *q, int64_t tenant, const struct uuid *session);
struct agent *lq_agent_find(const struct lq *q, int64_t tenant, const struct uuid *id);
struct tenant *lq_tenant_find(const struct lq *q, int64_t tenant);
/* Every lane, in no order; nothing may be made or forgotten meanwhile. *at starts at
 * NULL; NULL at the end. */
struct lane *lq_lane_next(const struct lq *q, const struct lane *at);

/* ---- lq_lane.c: a lane's order; a run that does not hold credit */

/* Into its lane as WAITING, DELAYED, RETRY, ASKING, FOLDED, or ENQUEUEING without a fused
 * start.
 */
void lq_run_enter(struct lq *q, struct lq_run *r, enum lq_state state);
/* Out of its lane's lists. */
void lq_run_leave(struct lq *q, struct lq_run *r);
/* The next to start when nothing is active and nothing is stopped; NULL: none waits. */
struct lq_run *lq_lane_head(const struct lane *l);
/* The run that waits for a person; NULL: none. */
struct lq_run *lq_lane_asking(const struct lane *l);
/* Whether a message that never started could be next, were nothing before it. */
bool lq_lane_has_message(const struct lane *l);
/* The smallest key of the runs that wait. */
int64_t lq_lane_key(const struct lane *l);
/* The timer of its state: due time or deadline. */
void lq_run_set_timer(struct lq *q, struct lq_run *r);
int64_t lq_run_deadline_us(const struct lq_run *r);
void lq_run_set_deadline(struct lq_run *r, int64_t at_us);
void lq_run_doom(struct lq_run *r);
void lq_run_spare(struct lq_run *r);
/* The lane's delayed collects become due with the newest of them; `r` is one that came.
 */
void lq_collect_align(struct lq *q, struct lq_run *r);

/* Whether a run may be accepted, and what the lane's drop policy gives up for it. */
struct lq_verdict {
	enum err error;
	struct lq_run *victim;
	bool fold;
};
struct lq_verdict lq_admit(const struct lq *q, const struct lq_item *it);

/* ---- lq_ready.c: what may start, where and when; runs that hold credit */

/* The worker it belongs to: the slot's, or for a suspect the quarantine worker. */
int lq_run_target(const struct lq *q, const struct lq_run *r);
/* After a change of the lane's runs, pause or slot. */
void lq_lane_judge(struct lq *q, struct lane *l);
void lq_agent_judge(struct lq *q, struct agent *a);
void lq_tenant_judge(struct lq *q, struct tenant *t);
void lq_worker_judge(struct lq *q, int w);
/* It takes credit while its ENQUEUE is under way. */
void lq_run_fuse(struct lq *q, struct lq_run *r, int w);
/* It gives its credit back. */
void lq_run_deactivate(struct lq *q, struct lq_run *r);
/* The commit of an active one landed. */
void lq_run_running(struct lq *q, struct lq_run *r);
/* Where a new run of this lane may start with its own commit; LQ_NO_WORKER: not. */
int lq_fused_worker(const struct lq *q, const struct lq_run *r);
/* Starts what can start. */
void lq_start_ready(struct lq *q);
uint32_t lq_worker_room(const struct lq *q, int w);

/* ---- lq_pause.c */

/* Whether a pause stops it: one that ran before goes on to its end under any. */
bool lq_run_is_paused(const struct lq *q, const struct lq_run *r);
void lq_pause_set(struct lq *q, const struct lq_event *e);
void lq_pause_clear(struct lq *q, const struct lq_event *e);
void lq_pauses_free(struct lq *q);

#endif
