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

#include "common/json.h"

struct llm_question;
struct run;

/* 0: no limit. Seconds of a run: while it is worked on; of a session: from its runs'
 * starts to their ends. */
struct budget_limits {
	int64_t tokens, cost_micros, calls, seconds;
};

/* Of {"tokens","costMicros","calls","seconds"}, each absent or a whole number above 0.
 * False: it is something else. */
bool budget_limits_read(json_t v, struct budget_limits *out);
/* The tighter of each. */
struct budget_limits budget_limits_of(const struct budget_limits *a,
				      const struct budget_limits *b);

struct run_budget {
	/* Of its message; whoever reads the overrides sets it before the first call. */
	struct budget_limits own;
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
