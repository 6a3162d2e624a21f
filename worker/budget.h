/* SPDX-License-Identifier: Apache-2.0
 * Budgets: what a run may still use, asked before each model call.
 *
 * Limits of the run and of its session come with the agent's revision and the message,
 * and are counted here: a lane has one runner. Those of tenant, agent and user are rows
 * (tb.budgets) that many runs share: before a call the run reserves what it may need, and
 * the commit that tells its usage settles it (docs/usage.md). A tenant without such rows,
 * as its permit says, is not asked for. */
#ifndef TB_BUDGET_H
#define TB_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/model/limits.h"

struct llm_question;
struct run;

struct run_budget {
	bool session_known;
	struct budget_limits session_used; /* before this run */
	bool granted; /* a reservation stands for the question that comes next ... */
	int64_t granted_in, answer; /* ... for so many tokens of it, and of its answer */
	unsigned refusals;          /* in a row, because of what others reserved */
};

/* Before each model call: true: it may be made, and q->params.max_tokens is what its
 * answer may be where a limit says so. False: something is asked of the database or a
 * pause is under way, then the run is woken; or the run has failed. */
bool budget_allows(struct run *r, struct llm_question *q);

#endif
