/* SPDX-License-Identifier: Apache-2.0
 * By the functions of migrations/0022. */
#include "edge/meter_store.h"

#include <stdlib.h>

#include "common/alloc.h"
#include "common/loop.h"
#include "edge/cache.h"
#include "edge/store_call.h"

/* ---- requests */

struct taking {
	struct meter_take *rows;
	unsigned count;
	meter_taken_fn *done;
	void *arg;
};

static void on_taken(void *arg, const struct pg_answer *a)
{
	struct taking t = *(struct taking *)arg;
	free(arg);
	if (a->err)
		store_note_failure("rates", a);
	const struct pg_result *r = a->err ? NULL : a->results[0];
	for (int i = 0; r && i < pg_rows(r); i++) {
		int64_t n = pg_get_i64(r, i, 0);
		if (n < 1 || n > t.count)
			continue;
		t.rows[n - 1].granted = (unsigned)pg_get_i64(r, i, 1);
		t.rows[n - 1].left = (double)pg_get_i64(r, i, 2);
		t.rows[n - 1].wait_us = pg_get_i64(r, i, 3);
	}
	t.done(t.arg, a->err ? ERR_DATABASE : ERR_OK);
}

#define COLUMN(p, type, rows, count, put)                                                \
	do {                                                                             \
		pg_array(p, type);                                                       \
		for (unsigned i = 0; i < (count); i++)                                   \
			put;                                                             \
		pg_array_end(p);                                                         \
	} while (0)

void meter_store_take(struct edge *e, struct meter_take *rows, unsigned count,
		      meter_taken_fn *done, void *arg)
{
	struct taking *t = xmalloc(sizeof *t);
	struct pg_request *r = pg_begin(e->pool);
	struct pg_params *p = pg_add(r, SQL_RATE_TAKE);
	*t = (struct taking){rows, count, done, arg};
	COLUMN(p, PG_INT8, rows, count, pg_i64(p, rows[i].tenant));
	COLUMN(p, PG_UUID, rows, count, pg_uuid(p, rows[i].subject));
	COLUMN(p, PG_INT4, rows, count, pg_i32(p, (int32_t)rows[i].most));
	COLUMN(p, PG_INT4, rows, count, pg_i32(p, (int32_t)rows[i].want));
	pg_submit(r, PG_ANY, STORE_QUEUE_MS, on_taken, t);
}

/* ---- model tokens */

struct using
{
	struct edge *edge;
	struct cache_entry *entry;
};

static void on_used(void *arg, const struct pg_answer *a)
{
	struct using u = *(struct using *)arg;
	free(arg);
	if (a->err) {
		store_note_failure("model-tokens", a);
		cache_failed(u.entry, ERR_DATABASE);
		return;
	}
	struct meter_used value = {.tokens = pg_get_i64(a->results[0], 0, 0),
				   .until_us = loop_now_us(u.edge->loop) +
					       pg_get_i64(a->results[0], 0, 1)};
	cache_loaded(u.entry, &value);
}

void meter_store_used(struct edge *e, struct cache_entry *entry, int64_t tenant,
		      struct uuid token, int64_t most)
{
	struct using *u = xmalloc(sizeof *u);
	struct pg_request *r = pg_begin(e->pool);
	struct pg_params *p = pg_add(r, SQL_MODEL_TOKENS_USED);
	*u = (struct using){e, entry};
	pg_i64(p, tenant);
	store_add_filter(p, token);
	pg_i64(p, most);
	pg_submit(r, PG_ANY, STORE_QUEUE_MS, on_used, u);
}

/* ---- what nobody waits for */

static void on_noted(void *arg, const struct pg_answer *a)
{
	(void)arg;
	if (a->err)
		store_note_failure("tokens", a);
}

void meter_store_uses(struct edge *e, const struct meter_token *rows, unsigned count)
{
	struct pg_request *r = pg_begin(e->pool);
	struct pg_params *p = pg_add(r, SQL_TOKENS_USED);
	COLUMN(p, PG_INT8, rows, count, pg_i64(p, rows[i].tenant));
	COLUMN(p, PG_UUID, rows, count, pg_uuid(p, rows[i].token));
	pg_submit(r, PG_ANY, STORE_QUEUE_MS, on_noted, NULL);
}

void meter_store_runs(struct edge *e, const struct meter_run *rows, unsigned count)
{
	struct pg_request *r = pg_begin(e->pool);
	struct pg_params *p = pg_add(r, SQL_TOKEN_RUNS_NOTE);
	COLUMN(p, PG_INT8, rows, count, pg_i64(p, rows[i].tenant));
	COLUMN(p, PG_UUID, rows, count, pg_uuid(p, rows[i].token));
	COLUMN(p, PG_UUID, rows, count, pg_uuid(p, rows[i].run));
	pg_submit(r, PG_ANY, STORE_QUEUE_MS, on_noted, NULL);
}
