/* SPDX-License-Identifier: Apache-2.0
 * The last read of each tenant, and what happened here since. */
#include "worker/cooldowns.h"

#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/attr.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/map.h"
#include "common/pg/pool.h"
#include "worker/run.h"
#include "worker/sql.h"

#define SECOND_US 1000000ll
#define DAY_US (86400 * SECOND_US)
#define WHOLE_KEY_US (600 * SECOND_US)
#define TENANTS_MOST 256 /* of which anything is kept */
#define NAME_MOST 256

struct cooldown {
	struct uuid key;
	char provider[64], model[NAME_MOST]; /* model "": all */
	int failures;
	int64_t until_us; /* CLOCK_MONOTONIC */
	enum err why;
};

struct known { /* of one tenant, the platform's among it */
	int64_t tenant, read_us;
	struct cooldown *rows;
	size_t count, cap;
};

struct cooldowns {
	struct map *by_tenant;
};

/* ---- what is kept */

static struct slice key_of(const int64_t *tenant)
{
	return slice_of(tenant, sizeof *tenant);
}

static void drop(struct cooldowns *c, struct known *k)
{
	map_take(c->by_tenant, key_of(&k->tenant));
	free(k->rows);
	free(k);
}

struct cooldowns *cooldowns_new(void)
{
	struct cooldowns *c = xcalloc(1, sizeof *c);
	c->by_tenant = map_new();
	return c;
}

static struct known *any(const struct cooldowns *c)
{
	size_t it = 0;
	void *value = NULL;
	return map_next(c->by_tenant, &it, NULL, &value) ? value : NULL;
}

void cooldowns_free(struct cooldowns *c)
{
	struct known *k;
	if (!c)
		return;
	while ((k = any(c)))
		drop(c, k);
	map_free(c->by_tenant);
	free(c);
}

static struct known *find(const struct run *r)
{
	const struct cooldowns *c = r->worker->cooldowns;
	return c ? map_get(c->by_tenant, key_of(&r->tenant)) : NULL;
}

/* What is old is worth nothing: when there are many, all of it goes. */
static void make_room(struct cooldowns *c, int64_t now_us)
{
	struct known *old[TENANTS_MOST];
	size_t it = 0, n = 0;
	void *value;
	if (map_count(c->by_tenant) < TENANTS_MOST)
		return;
	while (n < TENANTS_MOST && map_next(c->by_tenant, &it, NULL, &value)) {
		struct known *k = value;
		if (now_us - k->read_us > COOLDOWNS_FRESH_US)
			old[n++] = k;
	}
	while (n)
		drop(c, old[--n]);
}

static struct known *take(const struct run *r)
{
	struct cooldowns *c = r->worker->cooldowns;
	struct known *k = find(r);
	if (k)
		return k;
	make_room(c, clock_mono_us());
	k = xcalloc(1, sizeof *k);
	k->tenant = r->tenant;
	map_put(c->by_tenant, key_of(&k->tenant), k);
	return k;
}

static bool is_of(const struct cooldown *d, struct slice provider, struct slice model,
		  struct uuid key)
{
	return uuid_eq(d->key, key) && slice_is(provider, d->provider) &&
	       slice_is(model, d->model);
}

static struct cooldown *find_row(struct known *k, struct slice provider,
				 struct slice model, struct uuid key)
{
	for (size_t i = 0; i < k->count; i++)
		if (is_of(&k->rows[i], provider, model, key))
			return &k->rows[i];
	return NULL;
}

static void copy(char *to, size_t size, struct slice s)
{
	size_t n = s.n < size - 1 ? s.n : size - 1;
	if (n)
		memcpy(to, s.p, n);
	to[n] = 0;
}

static struct cooldown *add_row(struct known *k, struct slice provider,
				struct slice model, struct uuid key)
{
	if (k->count == k->cap) {
		k->cap = k->cap ? 2 * k->cap : 4;
		k->rows = xrealloc(k->rows, k->cap * sizeof *k->rows);
	}
	struct cooldown *d = &k->rows[k->count++];
	*d = (struct cooldown){.key = key};
	copy(d->provider, sizeof d->provider, provider);
	copy(d->model, sizeof d->model, model);
	return d;
}

/* ---- reading */

bool cooldowns_are_fresh(const struct run *r)
{
	const struct known *k = find(r);
	return !r->worker->cooldowns ||
	       (k && clock_mono_us() - k->read_us <= COOLDOWNS_FRESH_US);
}

void cooldowns_ask(struct pg_request *q)
{
	pg_add(q, SQL_COOLDOWNS);
}

void cooldowns_take(struct run *r, const struct pg_result *rows)
{
	int64_t now_us = clock_mono_us();
	struct known *k = take(r);
	k->read_us = now_us;
	if (!rows)
		return;
	k->count = 0;
	for (int i = 0; i < pg_rows(rows); i++) {
		struct cooldown *d =
			add_row(k, pg_get_text(rows, i, 0), pg_get_text(rows, i, 1),
				pg_get_uuid(rows, i, 2));
		d->failures = (int)pg_get_i64(rows, i, 3);
		d->until_us = now_us + pg_get_i64(rows, i, 4);
		d->why = err_from_code(pg_get_text(rows, i, 5).p);
	}
}

/* ---- what is known */

static int64_t until_us(const struct cooldown *d)
{
	return d ? d->until_us : 0;
}

int64_t cooldowns_left_us(const struct run *r, struct slice provider, struct slice model,
			  struct uuid key, enum err *why)
{
	struct known *k = find(r);
	const struct cooldown *d = k ? find_row(k, provider, model, key) : NULL;
	const struct cooldown *whole = k ? find_row(k, provider, SLICE(""), key) : NULL;
	if (until_us(whole) > until_us(d))
		d = whole;
	int64_t left = until_us(d) - clock_mono_us();
	if (left <= 0)
		return 0;
	if (why)
		*why = d->why;
	return left;
}

/* ---- what happened */

static void on_told(void *arg, const struct pg_answer *a)
{
	(void)arg;
	if (a->err && a->err != ERR_CANCELLED)
		log_warn("cooldown-not-told", "sqlstate=%s message=\"%s\"", a->sqlstate,
			 a->message ? a->message : "");
}

static struct pg_params *begin(struct run *r, struct pg_request **q, int stmt,
			       struct slice provider, struct slice model, struct uuid key)
{
	*q = pg_begin(r->worker->pool);
	pg_text(pg_add(*q, SQL_CAP), slice_str(r->cap));
	struct pg_params *p = pg_add(*q, stmt);
	pg_text(p, provider);
	pg_text(p, model);
	pg_uuid(p, key);
	return p;
}

static bool is_of_whole_key(enum err why)
{
	return why == ERR_MODEL_AUTH || why == ERR_MODEL_BILLING;
}

/* As tb.cooldown_note counts. */
static void count(struct cooldown *d, enum err why, int64_t floor_us)
{
	int64_t now_us = clock_mono_us(), until_us = now_us + floor_us;
	if (d->until_us <= now_us) {
		d->failures++;
		int64_t step_us = is_of_whole_key(why) ? WHOLE_KEY_US
				  : d->failures == 1
					  ? floor_us ? floor_us : 30 * SECOND_US
				  : d->failures == 2 ? 60 * SECOND_US
						     : 300 * SECOND_US;
		if (step_us > floor_us)
			until_us = now_us + step_us;
	}
	if (until_us > d->until_us)
		d->until_us = until_us;
}

void cooldowns_note(struct run *r, struct slice provider, struct slice model,
		    struct uuid key, enum err why, int64_t floor_us)
{
	struct pg_request *q;
	if (!r->worker->cooldowns)
		return;
	floor_us = floor_us < 0 ? 0 : floor_us > DAY_US ? DAY_US : floor_us;
	struct slice whose = is_of_whole_key(why) ? SLICE("") : model;
	struct known *k = take(r);
	struct cooldown *d = find_row(k, provider, whose, key);
	if (!d)
		d = add_row(k, provider, whose, key);
	d->why = why;
	count(d, why, floor_us);
	struct pg_params *p = begin(r, &q, SQL_COOLDOWN_NOTE, provider, model, key);
	pg_text(p, slice_str(err_code(why)));
	pg_i64(p, floor_us);
	pg_submit(q, CONN_READS, 0, on_told, NULL);
}

static bool forget(struct known *k, struct slice provider, struct slice model,
		   struct uuid key)
{
	struct cooldown *d = k ? find_row(k, provider, model, key) : NULL;
	if (d)
		*d = k->rows[--k->count];
	return d;
}

void cooldowns_clear(struct run *r, struct slice provider, struct slice model,
		     struct uuid key)
{
	struct pg_request *q;
	struct known *k = find(r);
	bool one = forget(k, provider, model, key);
	if (!forget(k, provider, SLICE(""), key) && !one)
		return;
	begin(r, &q, SQL_COOLDOWN_CLEAR, provider, model, key);
	pg_submit(q, CONN_READS, 0, on_told, NULL);
}
