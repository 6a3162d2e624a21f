/* SPDX-License-Identifier: Apache-2.0
 * From the lane queue's actions to journal and workers, and back: the glue of a run's way
 * through this process. */
#ifndef TB_RUNS_H
#define TB_RUNS_H

#include "common/err.h"
#include "proto/wire.h"
#include "supervisor/lq.h"

#define RUNS_ATTEMPTS_MOST 5 /* agent_run_queue.max_attempts' default */

struct sup;
struct child;
struct item;
struct live;
struct pg_result;

/* The lane queue's actions. */
void runs_act(void *sup, const struct lq_action *a);
/* A step in which the run may start: `start` is what its worker is then told, NULL:
 * nothing. */
void runs_step_starting(struct sup *s, const struct lq_event *e,
			const struct wire_run_start *start);

/* ---- what the journal learnt; it frees the item afterwards. row -1: the run may not
 * start (cancelled, gone). */
void runs_claimed(struct sup *s, struct item *it, const struct pg_result *r, int row);
/* The database refused its claim and will: it waits again, behind its lane's pause. */
void runs_unclaimed(struct sup *s, struct item *it);

/* ---- a person's answer */

/* The run's row waits for nobody any more: it is to be claimed. */
void runs_answered(struct sup *s, struct lq_run *r);

/* ---- ends */

/* Its last commit has landed: who listens is told, the queue forgets it. */
void runs_ended(struct sup *s, struct lq_run *r, const struct wire_sub_end *end);
/* The archive says how a run ended that is not running, whatever its kind of end. */
void runs_archived(struct sup *s, struct lq_run *r, const struct wire_sub_end *end);
/* A run that never started was archived. at_us 0: now. */
void runs_gone(struct sup *s, struct lq_run *r, enum run_result result, struct slice code,
	       int64_t at_us);
/* A waiting run became a message of another. */
void runs_taken(struct sup *s, struct lq_run *taken, struct uuid by);

#endif
