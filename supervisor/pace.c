/* SPDX-License-Identifier: Apache-2.0
 * Moving averages and the journal's last batches. */
#include "supervisor/pace.h"

#define WINDOW_US 10000000
#define SLOW_US 500000
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

void pace_batch(struct pace *p, int64_t now_us, int64_t took_us)
{
	struct pace_batch *b = &p->batches[p->batch_at];
	p->slow += (took_us > SLOW_US) - (b->took_us > SLOW_US);
	*b = (struct pace_batch){now_us, took_us};
	p->batch_at = (p->batch_at + 1) % PACE_BATCHES;
}

bool pace_is_slow(const struct pace *p, int64_t now_us)
{
	unsigned all = 0, slow = 0;
	if (p->slow < 2) /* as nearly always: every acceptance asks */
		return false;
	for (unsigned i = 0; i < PACE_BATCHES; i++) {
		const struct pace_batch *b = &p->batches[i];
		if (!b->at_us || now_us - b->at_us > WINDOW_US)
			continue;
		all++;
		slow += b->took_us > SLOW_US;
	}
	return slow >= 2 && slow * 100 > all;
}

int64_t pace_last_batch_us(const struct pace *p)
{
	return p->batches[(p->batch_at + PACE_BATCHES - 1) % PACE_BATCHES].took_us;
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
