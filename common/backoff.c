/* SPDX-License-Identifier: Apache-2.0
 * Exponential backoff with full jitter. */
#include "common/backoff.h"

static int64_t most_after(const struct backoff *b, unsigned attempt)
{
	int64_t most = b->first_us;
	for (; attempt > 1 && most < b->cap_us; attempt--)
		most *= 2;
	return most < b->cap_us ? most : b->cap_us;
}

/* Of a floor that leaves no room below the cap, so much is added at most. */
#define FLOOR_SPREAD 5

/* Over the floor the jitter stays: those who were sent away together shall not come back
 * together. */
int64_t backoff_us(const struct backoff *b, unsigned attempt, uint32_t dice,
		   int64_t floor_us)
{
	int64_t most = most_after(b, attempt);
	int64_t least =
		floor_us < BACKOFF_FLOOR_MOST_US ? floor_us : BACKOFF_FLOOR_MOST_US;
	least = least > 0 ? least : 0;
	int64_t spread =
		most - least > least / FLOOR_SPREAD ? most - least : least / FLOOR_SPREAD;
	return least + (int64_t)((double)spread * dice / UINT32_MAX);
}
