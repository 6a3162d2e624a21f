/* SPDX-License-Identifier: Apache-2.0
 * Limits of what a run or a session may use, as an agent's configuration and a run's
 * message say them. Pure. */
#ifndef TB_MODEL_LIMITS_H
#define TB_MODEL_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/json.h"

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

#endif
