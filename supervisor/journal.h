/* SPDX-License-Identifier: Apache-2.0
 * The supervisor's batch writer: T0 (tb.enqueue) and T1 (tb.claim).
 *
 * What comes in while a batch is under way makes up the next one: no timer, so an idle
 * node commits at once and a busy one commits many runs together (LIMIT_BATCH_RUNS,
 * measured as the largest lever of all). A batch whose commit is unknown goes again with
 * p_resend. One that is refused goes again row by row, so that only the row it is for
 * waits: its lane is parked (parked.h) and tried again by itself. A message that was not
 * taken for 5 s is answered 503 when it is certain that it did not land. A claim that the
 * database refuses for its row again and again pauses its lane, until a person resumes
 * it. While Postgres is away new enqueues are refused, claims wait. Owns: the connection,
 * the items.
 */
#ifndef TB_JOURNAL_H
#define TB_JOURNAL_H

#include <stdbool.h>

#include "common/ident.h"
#include "proto/wire.h"

struct sup;
struct child;
struct journal;
struct lq_action;
struct lq_run;
struct pg_pool;

struct journal *journal_new(struct sup *s, const char *conninfo);
void journal_free(struct journal *j);
/* False: Postgres is away; nothing can be accepted. */
bool journal_is_up(const struct journal *j);
/* True: the bodies it holds have reached LIMIT_JOURNAL_BYTES. */
bool journal_is_full(const struct journal *j);
/* T0 of a run, as a DO_ENQUEUE says; m is copied. The edge is told by ENQUEUED. */
void journal_enqueue(struct journal *j, const struct lq_action *a, struct child *edge,
		     const struct wire_enqueue *m, int64_t order_us);
/* T1 of a run. */
void journal_claim(struct journal *j, struct lq_run *r, int worker, int crashed);
/* The capabilities of a worker's ended life. */
void journal_revoke(struct journal *j, struct uuid worker_incarnation);
/* This node's life ends; done() afterwards, also when Postgres is away. */
void journal_stop(struct journal *j, void (*done)(void *arg), void *arg);
/* Its connection: what is submitted there is ordered with the batches. */
struct pg_pool *journal_pool(struct journal *j);
/* Items neither committed nor refused yet. */
unsigned journal_pending(const struct journal *j);

/* ---- journal_look.c: lanes that wait because the database did not take their next row
 */

enum flow_kind { FLOW_ENQUEUE, FLOW_CLAIM, FLOWS };
/* Why, and until when. */
struct journal_wait {
	unsigned tries;                 /* in vain */
	const char *sqlstate, *message; /* of the last one; valid until the next turn */
	int64_t due_in_us;
	bool held;    /* another transaction has the lane: else the database refused it */
	bool pausing; /* so often that the lane is being paused */
};
/* False: that lane's T0 (FLOW_ENQUEUE) or T1 (FLOW_CLAIM) does not wait. */
bool journal_lane_waits(const struct journal *j, enum flow_kind kind, int64_t tenant,
			struct uuid session, struct journal_wait *out);
/* Lanes of which that is true, of either kind. */
unsigned journal_parked_lanes(const struct journal *j);

#endif
