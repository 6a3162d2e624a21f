/* SPDX-License-Identifier: Apache-2.0
 * Likewise the buckets that edges share, and stores that scenario tests look after. */
#ifndef TB_TEST_API_METER_H
#define TB_TEST_API_METER_H

#include "tests/unit/edge/api_db.h"

/* ---- the shared buckets */

static struct {
	int takes; /* questions */
	unsigned wanted, there;
	int64_t wait_us;
	bool away;
	int64_t used, used_wait_us;
	int uses, runs;
	struct meter_run run;
} meter;

void meter_store_take(struct edge *e, struct meter_take *rows, unsigned count,
		      meter_taken_fn *done, void *arg)
{
	(void)e;
	meter.takes++;
	for (unsigned i = 0; i < count; i++) {
		unsigned n = rows[i].want < meter.there ? rows[i].want : meter.there;
		meter.wanted = rows[i].want;
		meter.there -= n;
		rows[i].granted = n;
		rows[i].left = meter.there;
		rows[i].wait_us = n ? 0 : meter.wait_us;
	}
	done(arg, meter.away ? ERR_DATABASE : ERR_OK);
}

void meter_store_used(struct edge *e, struct cache_entry *entry, int64_t tenant,
		      struct uuid token, int64_t most)
{
	struct meter_used value = {meter.used, loop_now_us(e->loop) + meter.used_wait_us};
	(void)tenant, (void)token, (void)most;
	cache_loaded(entry, &value);
}

void meter_store_uses(struct edge *e, const struct meter_token *rows, unsigned count)
{
	(void)e, (void)rows;
	meter.uses += (int)count;
}

void meter_store_runs(struct edge *e, const struct meter_run *rows, unsigned count)
{
	(void)e;
	meter.runs += (int)count;
	meter.run = rows[count - 1];
}

void admin_store_ask(struct call *c, struct admin_ask *q)
{
	(void)q;
	answer(c);
}

void change_note(struct call *c, struct slice action, struct slice object)
{
	(void)action, (void)object;
	answer(c);
}

bool pg_pool_is_up(const struct pg_pool *p)
{
	(void)p;
	return !db.away;
}

/* ---- what scenario tests look after, as it is SQL for the most part */

static void not_here(struct call *c)
{
	c->asked = ERR_UNAVAILABLE;
	call_wake(c);
}

void dead_store_list(struct call *c, const struct page_filter *f, struct slice reason,
		     struct json_page *out)
{
	(void)f;
	(void)reason;
	(void)out;
	not_here(c);
}

void dead_store_get(struct call *c, struct uuid run, struct slice *out)
{
	(void)run;
	(void)out;
	not_here(c);
}

void dead_store_discard(struct call *c, struct uuid run, struct slice *out)
{
	(void)run;
	(void)out;
	not_here(c);
}

void webhook_store_list(struct call *c, const struct delivery_filter *f,
			struct json_page *out)
{
	(void)f;
	(void)out;
	not_here(c);
}

void webhook_store_get(struct call *c, struct uuid delivery, struct slice *out)
{
	(void)delivery;
	(void)out;
	not_here(c);
}

void webhook_store_again(struct call *c, struct uuid delivery, struct slice *out)
{
	webhook_store_get(c, delivery, out);
}

void webhook_store_secret(struct call *c, struct slice *out)
{
	(void)out;
	not_here(c);
}

void webhook_store_set_secret(struct call *c, const struct webhook_secret_row *row,
			      bool rotate, struct slice *out)
{
	(void)row;
	(void)rotate;
	(void)out;
	not_here(c);
}

#endif
