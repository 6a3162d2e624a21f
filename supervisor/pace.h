/* SPDX-License-Identifier: Apache-2.0
 * How fast work leaves, and how slow the journal is: what Retry-After, estimates and
 * backpressure are made of. Pure. */
#ifndef TB_PACE_H
#define TB_PACE_H

#include <stdbool.h>
#include <stdint.h>

#define PACE_BATCHES 128

struct pace {
	double accepted_per_s, ended_per_s; /* moving averages over about 10 s */
	int64_t since_us;
	uint64_t accepted, ended; /* at since_us */
	struct pace_batch {
		int64_t at_us, took_us;
	} batches[PACE_BATCHES];
	unsigned batch_at, slow; /* slow: those of the batches that were */
};

/* Once a second: the counters as they stand. */
void pace_tick(struct pace *p, int64_t now_us, uint64_t accepted, uint64_t ended);
/* A batch of T0 came back after so long. */
void pace_batch(struct pace *p, int64_t now_us, int64_t took_us);
/* Of the last 10 s, two batches and more than one in a hundred took over 500 ms. */
bool pace_is_slow(const struct pace *p, int64_t now_us);
int64_t pace_last_batch_us(const struct pace *p);
/* Seconds until `ahead` runs have left, 1 to 60, +-20 % by dice: those that were refused
 * together shall not come back together. */
uint32_t pace_retry_after_s(const struct pace *p, uint32_t ahead, uint32_t dice);

#endif
