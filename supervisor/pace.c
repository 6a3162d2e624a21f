/* SPDX-License-Identifier: Apache-2.0
 * Moving averages, and the journal's batches by the second. */
#include "supervisor/pace.h"

#define SECOND_US 1000000
#define SLOW_US 500000
#define STALLED_US 2000000
#define SHARE 0.1 /* of a new second in the average */
#define LONGEST_S 60

static double mix(double old, double now)
{
	return old == 0 ? now : old + (now - old) * SHARE;
}

void pace_tick(struct pace *p, int64_t now_us, uint64_t accepted, uint64_t ended)
{
	if (p->since_us && now_us > p->since_us) {
		double seconds = (double)(now_us - p->since_us) / 1e6;
		p->accepted_per_s = mix(p->accepted_per_s,
					(double)(accepted - p->accepted) / seconds);
		p->ended_per_s =
			mix(p->ended_per_s, (double)(ended - p->ended) / seconds);
	}
	p->since_us = now_us;
	p->accepted = accepted;
	p->ended = ended;
}

void pace_sent(struct pace *p, int64_t now_us)
{
	p->flight_us = now_us;
}

void pace_returned(struct pace *p)
{
	p->flight_us = 0;
}

void pace_batch(struct pace *p, int64_t now_us, int64_t took_us)
{
	int64_t second = now_us / SECOND_US;
	struct pace_second *s = &p->seconds[second % PACE_SECONDS];
	if (s->second != second)
		*s = (struct pace_second){.second = second};
	s->all++;
	s->slow += took_us > SLOW_US;
	p->last_batch_us = took_us;
}

static int64_t flight_age_us(const struct pace *p, int64_t now_us)
{
	return p->flight_us ? now_us - p->flight_us : 0;
}

bool pace_is_slow(const struct pace *p, int64_t now_us)
{
	unsigned all = 1, slow = flight_age_us(p, now_us) > SLOW_US;
	for (unsigned i = 0; i < PACE_SECONDS; i++) {
		const struct pace_second *s = &p->seconds[i];
		if (now_us / SECOND_US - s->second >= PACE_SECONDS)
			continue;
		all += s->all;
		slow += s->slow;
	}
	return slow >= 2 && slow * 100 > all;
}

bool pace_is_stalled(const struct pace *p, int64_t now_us)
{
	return flight_age_us(p, now_us) > STALLED_US;
}

int64_t pace_last_batch_us(const struct pace *p)
{
	return p->last_batch_us;
}

uint32_t pace_retry_after_s(const struct pace *p, uint32_t ahead, uint32_t dice)
{
	double rate = p->ended_per_s > 0.01 ? p->ended_per_s : 0.01;
	double wait = (double)(ahead ? ahead : 1) / rate;
	wait *= 0.8 + 0.4 * ((double)dice / 4294967295.0);
	if (wait < 1)
		return 1;
	return wait > LONGEST_S ? LONGEST_S : (uint32_t)(wait + 0.999);
}
