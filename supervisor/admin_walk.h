/* SPDX-License-Identifier: Apache-2.0
 * Walks over a queue that may hold 100,000 lanes: they end when their time is over, so
 * that a question stalls no run. */
#ifndef TB_ADMIN_WALK_H
#define TB_ADMIN_WALK_H

#include <stdbool.h>
#include <stdint.h>

#include "common/clock.h"

#define WALK_US 3000

/* Zeroed at first. */
struct walk {
	int64_t ends_us;
	uint32_t steps;
	bool cut; /* the time was over before all was seen */
};

/* After each thing that was looked at and not listed (of those there are 1,000 at most).
 * False: no further. */
static inline bool walk_step(struct walk *w)
{
	if (!w->ends_us)
		w->ends_us = clock_mono_us() + WALK_US;
	if (++w->steps % 64 == 0 && clock_mono_us() > w->ends_us)
		w->cut = true;
	return !w->cut;
}

#endif
