/* SPDX-License-Identifier: Apache-2.0
 * How long to wait before the next attempt. Pure: the dice come in. */
#ifndef TB_BACKOFF_H
#define TB_BACKOFF_H

#include <stdint.h>

/* No floor is respected beyond that: who asks for a day gets another try after an hour.
 */
#define BACKOFF_FLOOR_MOST_US (60 * 60 * 1000000ll)

/* All in microseconds. */
struct backoff {
	int64_t first_us; /* the most after the first attempt; doubles with each */
	int64_t cap_us;   /* where doubling ends */
};

/* The pause after that attempt (from 1), spread evenly ("full jitter") over 0 .. first *
 * 2^(attempt - 1), at most cap. dice: any random number. floor_us: the least the other
 * side asked for, 0 when it did not; it wins over the cap, and the pause is then spread
 * over a fifth of it at least. */
int64_t backoff_us(const struct backoff *b, unsigned attempt, uint32_t dice,
		   int64_t floor_us);

#endif
