/* SPDX-License-Identifier: Apache-2.0
 * What a run's model calls used: as the providers reported it, one row of the ledger a
 * call, in the next commit that the run makes.
 *
 * A call that failed midway is told too if its provider had reported something by then.
 * An answer whose provider reports nothing is told by an estimate. What a worker knew and
 * had not committed when it died is not known to anybody. */
#ifndef TB_USAGE_H
#define TB_USAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/journal.h"

struct llm_target;
struct llm_usage;
struct pg_result;
struct run;

struct run_usage {
	struct commit_usage pending[COMMIT_USAGE_MOST]; /* no commit has told of */
	size_t pending_count;
	bool asking;         /* a call is under way, or its usage not taken yet */
	int step, next_call; /* of the ledger's last row of the run, and behind it */
	/* Of the run, pending ones included. */
	int64_t cost_micros, calls, unpriced;
	bool reserved; /* budgets expect a settlement with the next usage */
};

/* A model call has begun. */
void usage_begin(struct run *r);
/* It has ended, however. Once a call; without one nothing. */
void usage_take(struct run *r);
/* A call to a model beside the run's own question, such as a summary's. */
void usage_add(struct run *r, const struct llm_target *t, struct slice model,
	       const struct llm_usage *u, int64_t duration_us);
/* Into the commit that is about to be submitted. */
void usage_put(struct run *r);
/* That commit has landed. */
void usage_landed(struct run *r);
/* What the ledger has of a run that ran before: the row of SQL_USAGE. */
void usage_resume(struct run *r, const struct pg_result *u);

#endif
