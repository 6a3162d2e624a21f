/* SPDX-License-Identifier: Apache-2.0
 * What the batch writer holds: seen by the journal*.c files only. */
#ifndef TB_JOURNAL_STATE_H
#define TB_JOURNAL_STATE_H

#include "common/list.h"
#include "common/pg/pool.h"
#include "supervisor/journal.h"
#include "supervisor/parked.h"

struct item;

/* Of a claim for its row, then its lane is paused. */
#define JOURNAL_REFUSALS_MOST 5

struct flow {
	struct list waiting;
	struct list flight; /* the batch that is under way */
	unsigned count;     /* of it */
	/* The flight is this lane's first item, and not from `waiting`. */
	struct parked_lane *trial;
	struct parked parked;
	bool trial_last;     /* the others' turn */
	unsigned one_by_one; /* so many more batches of one row each */
	unsigned again;      /* deadlocks and the like, one after the other */
};

struct journal {
	struct sup *sup;
	struct pg_pool *pool;
	struct flow flow[FLOWS];
	struct list spare;
	unsigned spare_count, pending;
	size_t bytes;            /* of the bodies it holds */
	int in_flight;           /* requests */
	struct loop_timer *wake; /* the next parked lane is due */
	bool away;               /* the log says that the database is away */
	int64_t flight_start_us;
	void (*stopped)(void *arg);
	void *stopped_arg;
};

/* Frees it, or keeps it for the next. */
void journal_item_done(struct journal *j, struct item *it);
/* Answers of the two flows' batches, for pg_submit; arg: the journal. */
void journal_on_enqueued(void *arg, const struct pg_answer *a);
void journal_on_claimed(void *arg, const struct pg_answer *a);

#endif
