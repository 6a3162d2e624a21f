/* SPDX-License-Identifier: Apache-2.0
 * Runs, lanes and tenants of the lane queue: found, made and forgotten. */
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/map.h"
#include "supervisor/lq_state.h"

#define PRIORITY_US 30000000LL /* a step of priority is worth 30 s of waiting */

struct lq *lq_new(const struct lq_limits *limits, lq_act_fn *act, void *ctx)
{
	struct lq *q = xcalloc(1, sizeof *q);
	q->limits = *limits;
	q->act = act;
	q->ctx = ctx;
	q->tenants_by_id = map_new();
	q->lanes = map_new();
	q->bucket_count = 1024;
	q->buckets = xcalloc(q->bucket_count, sizeof *q->buckets);
	for (int w = 0; w < LQ_MAX_WORKERS; w++)
		list_init(&q->workers[w].active);
	for (unsigned s = 0; s < LIMIT_SLOTS; s++)
		q->slots[s] = LQ_NO_WORKER;
	return q;
}

static uint32_t bucket_of(const struct lq *q, struct uuid id)
{
	uint32_t h;
	memcpy(&h, id.b + 12, sizeof h); /* the random end of a UUIDv7 */
	return h & (q->bucket_count - 1);
}

struct lq_run *lq_find(const struct lq *q, struct uuid id)
{
	struct lq_run *r = q->buckets[bucket_of(q, id)];
	while (r && !uuid_eq(r->id, id))
		r = r->bucket_next;
	return r;
}

static void buckets_grow(struct lq *q)
{
	struct lq_run **old = q->buckets;
	uint32_t n = q->bucket_count;
	q->bucket_count *= 2;
	q->buckets = xcalloc(q->bucket_count, sizeof *q->buckets);
	for (uint32_t i = 0; i < n; i++)
		for (struct lq_run *r = old[i], *next; r; r = next) {
			next = r->bucket_next;
			struct lq_run **at = &q->buckets[bucket_of(q, r->id)];
			r->bucket_next = *at;
			*at = r;
		}
	free(old);
}

struct slice lq_lane_key(const struct lq_item *it, char buf[24])
{
	memcpy(buf, &it->tenant, 8);
	memcpy(buf + 8, it->session.b, 16);
	return slice_of(buf, 24);
}

struct tenant *lq_tenant_get(struct lq *q, const struct lq_item *it)
{
	struct slice key = slice_of(&it->tenant, sizeof it->tenant);
	struct tenant *t = map_get(q->tenants_by_id, key);
	if (!t) {
		t = xcalloc(1, sizeof *t);
		t->id = it->tenant;
		map_put(q->tenants_by_id, key, t);
	}
	t->max_running = it->tenant_max_running;
	t->max_queued = it->tenant_max_queued;
	t->weight = it->tenant_weight ? it->tenant_weight : 1;
	return t;
}

static struct lane *lane_get(struct lq *q, struct tenant *t, const struct lq_item *it)
{
	char buf[24];
	struct slice key = lq_lane_key(it, buf);
	struct lane *l = map_get(q->lanes, key);
	if (l)
		return l;
	l = xcalloc(1, sizeof *l);
	l->session = it->session;
	l->tenant = t;
	l->slot = it->slot & (LIMIT_SLOTS - 1);
	list_init(&l->waiting);
	map_put(q->lanes, key, l);
	return l;
}

struct lq_run *lq_run_new(struct lq *q, const struct lq_item *it)
{
	struct lq_run *r = xcalloc(1, sizeof *r);
	struct tenant *t = lq_tenant_get(q, it);
	r->id = it->run;
	r->lane = lane_get(q, t, it);
	r->key = it->order_us - it->priority * PRIORITY_US;
	r->worker = LQ_NO_WORKER;
	list_init(&r->node);
	r->lane->runs++;
	t->runs++;
	if (++q->run_count > q->bucket_count * 2)
		buckets_grow(q);
	struct lq_run **at = &q->buckets[bucket_of(q, r->id)];
	r->bucket_next = *at;
	*at = r;
	return r;
}

static void lane_drop(struct lq *q, struct lane *l)
{
	struct lq_item it = {.tenant = l->tenant->id, .session = l->session};
	char buf[24];
	map_take(q->lanes, lq_lane_key(&it, buf));
	free(l);
}

static void tenant_free(struct tenant *t)
{
	for (int w = 0; w < LQ_MAX_WORKERS; w++) {
		if (t->shares[w])
			heap_fini(&t->shares[w]->ready);
		free(t->shares[w]);
	}
	free(t);
}

static void tenant_drop(struct lq *q, struct tenant *t)
{
	map_take(q->tenants_by_id, slice_of(&t->id, sizeof t->id));
	tenant_free(t);
}

void lq_run_forget(struct lq *q, struct lq_run *r)
{
	struct lane *l = r->lane;
	struct tenant *t = l->tenant;
	struct lq_run **at = &q->buckets[bucket_of(q, r->id)];
	while (*at != r)
		at = &(*at)->bucket_next;
	*at = r->bucket_next;
	q->run_count--;
	free(r);
	if (--l->runs == 0)
		lane_drop(q, l);
	if (--t->runs == 0)
		tenant_drop(q, t);
}

static void free_runs(struct lq *q)
{
	for (uint32_t i = 0; i < q->bucket_count; i++)
		while (q->buckets[i]) {
			struct lq_run *r = q->buckets[i];
			q->buckets[i] = r->bucket_next;
			free(r);
		}
}

void lq_free(struct lq *q)
{
	void *p;
	size_t it = 0;
	free_runs(q);
	while (map_next(q->lanes, &it, NULL, &p))
		free(p);
	it = 0;
	while (map_next(q->tenants_by_id, &it, NULL, &p))
		tenant_free(p);
	for (int w = 0; w < LQ_MAX_WORKERS; w++)
		heap_fini(&q->workers[w].shares);
	map_free(q->lanes);
	map_free(q->tenants_by_id);
	heap_fini(&q->delayed);
	free(q->buckets);
	free(q);
}
