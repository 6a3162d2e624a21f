/* SPDX-License-Identifier: Apache-2.0
 * How fast work leaves, and how slow the journal is: what Retry-After, estimates and
 * backpressure are made of. Pure. */
#ifndef TB_PACE_H
#define TB_PACE_H

#include <stdbool.h>
#include <stdint.h>

#define PACE_SECONDS 10

struct pace {
	double accepted_per_s, ended_per_s; /* moving averages over about 10 s */
	int64_t since_us;
	uint64_t accepted, ended; /* at since_us */
	struct pace_second {      /* the batches that came back in it */
		int64_t second;
		unsigned all, slow; /* slow: those that took over 500 ms */
	} seconds[PACE_SECONDS];
	int64_t last_batch_us; /* how long the last one took */
	int64_t flight_us;     /* when what is under way was sent; 0: nothing is */
};

/* Once a second: the counters as they stand. */
void pace_tick(struct pace *p, int64_t now_us, uint64_t accepted, uint64_t ended);
/* The journal has something under way, and has nothing any more. */
void pace_sent(struct pace *p, int64_t now_us);
void pace_returned(struct pace *p);
/* A batch of T0 came back after so long. */
void pace_batch(struct pace *p, int64_t now_us, int64_t took_us);
/* Of the batches of the last ten seconds of the clock, two and more than one in a hundred
 * took over 500 ms; the one under way counts as soon as it does. */
bool pace_is_slow(const struct pace *p, int64_t now_us);
/* What is under way was sent over 2 s ago. One commit that takes a second may be a
 * checkpoint; one that took as long as four slow ones says enough by itself, and while it
 * is out no other comes back to say more. */
bool pace_is_stalled(const struct pace *p, int64_t now_us);
int64_t pace_last_batch_us(const struct pace *p);
/* Seconds until `ahead` runs have left, 1 to 60, +-20 % by dice: those that were refused
 * together shall not come back together. */
uint32_t pace_retry_after_s(const struct pace *p, uint32_t ahead, uint32_t dice);

#endif
