/* SPDX-License-Identifier: Apache-2.0
 * What the lane queue holds: seen by lq.c and lq_record.c only. */
#ifndef TB_LQ_STATE_H
#define TB_LQ_STATE_H

#include "common/list.h"
#include "supervisor/heap.h"
#include "supervisor/lq.h"

struct map;

/* The ready lanes of one tenant that belong to one worker. */
struct share {
	struct tenant *tenant;
	struct heap ready;    /* lanes, by key */
	struct heap_node top; /* in worker.shares while the tenant is below its cap */
};

struct tenant {
	int64_t id;
	struct share *shares[LQ_MAX_WORKERS]; /* made on first use */
	int64_t virtual_us;                   /* finish tag of its last start */
	uint32_t running, waiting, runs, max_running, max_queued, weight;
};

struct lane {
	struct uuid session;
	struct tenant *tenant;
	struct list waiting;   /* runs by lane_pos */
	struct lq_run *active; /* CLAIMING or RUNNING, or ENQUEUEING with a fused start */
	struct heap_node ready; /* in the heap of ready_at */
	int ready_at;           /* a worker */
	uint32_t slot, runs, waiting_count;
};

struct lq_run {
	struct uuid id;
	struct lq_run *bucket_next;
	struct lane *lane;
	struct list node;     /* in lane.waiting, or in worker.active */
	struct heap_node due; /* DELAYED */
	void *user;
	int64_t key, lane_pos;
	int16_t worker;
	uint8_t state;
	uint8_t crashed : 1; /* the next claim charges a crash */
	uint8_t orphan : 1;  /* its worker went while the commit was under way */
	uint8_t fused : 1;
};

struct worker {
	bool up;
	uint32_t running;
	struct list active; /* runs CLAIMING or RUNNING on it, or fused */
	struct heap shares; /* of the tenants that may start one here, by virtual time */
};

struct lq {
	struct lq_limits limits;
	lq_act_fn *act;
	void *ctx;
	struct map *tenants_by_id, *lanes;
	struct heap delayed;
	struct worker workers[LQ_MAX_WORKERS];
	int16_t slots[LIMIT_SLOTS];
	struct lq_run **buckets;
	uint32_t bucket_count, run_count, running, waiting;
	int64_t virtual_us;
	bool paused, stepping;
};

/* The key of an item's lane in lq.lanes; buf holds it. */
struct slice lq_lane_key(const struct lq_item *it, char buf[24]);
/* The item's tenant, made when it is new; its caps and weight as the item says. */
struct tenant *lq_tenant_get(struct lq *q, const struct lq_item *it);
/* A run in no list yet; its lane and tenant are made when they are new. */
struct lq_run *lq_run_new(struct lq *q, const struct lq_item *it);
/* Frees it, and a lane or tenant that has no other run: an idle session costs nothing. */
void lq_run_forget(struct lq *q, struct lq_run *r);

#endif
