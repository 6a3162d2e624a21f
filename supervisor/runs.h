/* SPDX-License-Identifier: Apache-2.0
 * From the lane queue's actions to journal and workers, and back: the glue of a run's way
 * through this process. */
#ifndef TB_RUNS_H
#define TB_RUNS_H

#include "common/err.h"
#include "proto/wire.h"
#include "supervisor/lq.h"

struct sup;
struct child;
struct item;
struct pg_result;

/* The lane queue's actions. */
void runs_act(void *sup, const struct lq_action *a);

/* A request of an edge. */
void runs_enqueue(struct sup *s, struct child *edge, const struct wire_enqueue *m);

/* ---- what the journal learnt; it frees the item afterwards */
void runs_enqueued(struct sup *s, struct item *it, const struct pg_result *r, int row);
void runs_enqueue_failed(struct sup *s, struct item *it, enum err e);
/* row -1: the run may not start (cancelled, gone). */
void runs_claimed(struct sup *s, struct item *it, const struct pg_result *r, int row);
void runs_claim_failed(struct sup *s, struct item *it);
void runs_buried(struct sup *s, struct uuid run, int64_t at_us);

#endif
