/* SPDX-License-Identifier: Apache-2.0
 * Exponentially forgetting means, true from the first sample on. */
#include "supervisor/admin_rates.h"

#include <stdlib.h>

#include "common/alloc.h"
#include "common/loop.h"
#include "supervisor/sup.h"

#define EVERY_US 1000000
#define HORIZON_S 10.0

struct rates {
	struct sup *sup;
	struct loop_timer *timer;
	struct mean accepted, ended;
	uint64_t seen_accepted, seen_ended;
	int64_t seen_us;
};

void mean_add(struct mean *m, uint64_t n, double seconds)
{
	/* A linear step of the exponential: no libm, and the same for steps well below
	 * the horizon. A longer one forgets all before it. */
	double part = seconds / HORIZON_S;
	if (seconds <= 0)
		return;
	if (part > 1)
		part = 1;
	m->sum += part * ((double)n / seconds - m->sum);
	m->weight += part * (1 - m->weight);
}

double mean_rate(const struct mean *m)
{
	return m->weight > 0 ? m->sum / m->weight : 0;
}

static void on_second(void *arg)
{
	struct rates *r = arg;
	int64_t now_us = loop_now_us(r->sup->loop);
	double seconds = (double)(now_us - r->seen_us) / 1e6;
	mean_add(&r->accepted, r->sup->runs_accepted - r->seen_accepted, seconds);
	mean_add(&r->ended, r->sup->runs_ended - r->seen_ended, seconds);
	r->seen_accepted = r->sup->runs_accepted;
	r->seen_ended = r->sup->runs_ended;
	r->seen_us = now_us;
	loop_timer_start(r->timer, EVERY_US);
}

struct rates *rates_new(struct sup *s)
{
	struct rates *r = xcalloc(1, sizeof *r);
	r->sup = s;
	r->seen_us = loop_now_us(s->loop);
	r->timer = loop_timer_new(s->loop, on_second, r);
	loop_timer_start(r->timer, EVERY_US);
	return r;
}

void rates_free(struct rates *r)
{
	loop_timer_free(r->timer);
	free(r);
}

double rates_accepted(const struct rates *r)
{
	return mean_rate(&r->accepted);
}

double rates_ended(const struct rates *r)
{
	return mean_rate(&r->ended);
}
