/* SPDX-License-Identifier: Apache-2.0
 * Runs, lanes, agents and tenants of the lane queue: found, made and forgotten. */
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/map.h"
#include "supervisor/lq_state.h"

#define FIRST_BUCKETS 256u
#define BUCKET_LOAD 2u /* records a bucket, at most */

struct lq *lq_new(const struct lq_limits *limits, lq_act_fn *act, void *ctx)
{
	struct lq *q = xcalloc(1, sizeof *q);
	q->limits = *limits;
	q->act = act;
	q->ctx = ctx;
	q->tenants = map_new();
	q->agents = map_new();
	q->pauses = map_new();
	q->run_bucket_count = q->lane_bucket_count = FIRST_BUCKETS;
	q->run_buckets = xcalloc(FIRST_BUCKETS, sizeof(void *));
	q->lane_buckets = xcalloc(FIRST_BUCKETS, sizeof(void *));
	for (int w = 0; w < LQ_MAX_WORKERS; w++)
		list_init(&q->workers[w].active);
	for (unsigned s = 0; s < LIMIT_SLOTS; s++)
		q->slots[s] = LQ_NO_WORKER;
	return q;
}

/* ---- the two hash tables; their ids come from our own processes, so no keyed hash */

uint32_t lq_hash(const struct uuid *id, int64_t tenant)
{
	uint64_t a, b;
	memcpy(&a, id->b, 8);
	memcpy(&b, id->b + 8, 8);
	b ^= (a ^ (uint64_t)tenant * 0x9e3779b97f4a7c15u) * 0xbf58476d1ce4e5b9u;
	b = (b ^ b >> 30) * 0xbf58476d1ce4e5b9u;
	b = (b ^ b >> 27) * 0x94d049bb133111ebu;
	return (uint32_t)(b ^ b >> 31);
}

static struct lq_run **run_bucket(const struct lq *q, const struct uuid *id)
{
	return &q->run_buckets[lq_hash(id, 0) & (q->run_bucket_count - 1)];
}

static struct lane **lane_bucket(const struct lq *q, int64_t tenant,
				 const struct uuid *session)
{
	return &q->lane_buckets[lq_hash(session, tenant) & (q->lane_bucket_count - 1)];
}

/* How many buckets for so many records: twice or half of what there is, seldom. */
static uint32_t bucket_target(uint32_t buckets, uint32_t records)
{
	if (records > buckets * BUCKET_LOAD)
		return buckets * 2;
	if (buckets > FIRST_BUCKETS && records < buckets * BUCKET_LOAD / 8)
		return buckets / 2;
	return buckets;
}

static void run_buckets_fit(struct lq *q)
{
	uint32_t n = q->run_bucket_count, want = bucket_target(n, q->run_count);
	struct lq_run **old = q->run_buckets;
	if (want == n)
		return;
	q->run_bucket_count = want;
	q->run_buckets = xcalloc(want, sizeof(void *));
	for (uint32_t i = 0; i < n; i++)
		for (struct lq_run *r = old[i], *next; r; r = next) {
			struct lq_run **at = run_bucket(q, &r->id);
			next = r->bucket_next;
			r->bucket_next = *at;
			*at = r;
		}
	free(old);
}

static void lane_buckets_fit(struct lq *q)
{
	uint32_t n = q->lane_bucket_count, want = bucket_target(n, q->lane_count);
	struct lane **old = q->lane_buckets;
	if (want == n)
		return;
	q->lane_bucket_count = want;
	q->lane_buckets = xcalloc(want, sizeof(void *));
	for (uint32_t i = 0; i < n; i++)
		for (struct lane *l = old[i], *next; l; l = next) {
			struct lane **at =
				lane_bucket(q, l->agent->tenant->id, &l->session);
			next = l->bucket_next;
			l->bucket_next = *at;
			*at = l;
		}
	free(old);
}

struct lq_run *lq_find(const struct lq *q, struct uuid id)
{
	struct lq_run *r = *run_bucket(q, &id);
	while (r && !uuid_eq(r->id, id))
		r = r->bucket_next;
	return r;
}

struct lane *lq_lane_find(const struct lq *q, int64_t tenant, const struct uuid *session)
{
	struct lane *l = *lane_bucket(q, tenant, session);
	while (l && !(l->agent->tenant->id == tenant && uuid_eq(l->session, *session)))
		l = l->bucket_next;
	return l;
}

struct lane *lq_lane_next(const struct lq *q, const struct lane *at)
{
	uint32_t i = 0;
	if (at && at->bucket_next)
		return at->bucket_next;
	if (at)
		i = (uint32_t)(lane_bucket(q, at->agent->tenant->id, &at->session) -
			       q->lane_buckets) +
		    1;
	while (i < q->lane_bucket_count && !q->lane_buckets[i])
		i++;
	return i < q->lane_bucket_count ? q->lane_buckets[i] : NULL;
}

/* ---- tenants and agents */

struct agent_key {
	int64_t tenant;
	struct uuid id;
};

static struct slice key_slice(const struct agent_key *k)
{
	return slice_of(k, sizeof *k);
}

struct tenant *lq_tenant_find(const struct lq *q, int64_t tenant)
{
	return map_get(q->tenants, slice_of(&tenant, sizeof tenant));
}

struct agent *lq_agent_find(const struct lq *q, int64_t tenant, const struct uuid *id)
{
	struct agent_key key = {tenant, *id};
	return map_get(q->agents, key_slice(&key));
}

static struct tenant *tenant_get(struct lq *q, const struct lq_item *it)
{
	struct tenant *t = lq_tenant_find(q, it->tenant);
	if (!t) {
		t = xcalloc(1, sizeof *t);
		t->id = it->tenant;
		t->paused = lq_is_paused(q, LQ_TENANT, t->id, (struct uuid){{0}});
		list_init(&t->shares);
		map_put(q->tenants, slice_of(&t->id, sizeof t->id), t);
	}
	t->max_running = it->tenant_max_running;
	t->max_queued = it->tenant_max_queued;
	t->weight = it->tenant_weight ? it->tenant_weight : 1;
	return t;
}

static struct agent *agent_get(struct lq *q, struct tenant *t, const struct uuid *id)
{
	struct agent *a = lq_agent_find(q, t->id, id);
	if (a)
		return a;
	struct agent_key key = {t->id, *id};
	a = xcalloc(1, sizeof *a);
	a->id = *id;
	a->tenant = t;
	a->paused = lq_is_paused(q, LQ_AGENT, t->id, *id);
	list_init(&a->parts);
	map_put(q->agents, key_slice(&key), a);
	return a;
}

static void tenant_free(struct lq *q, struct tenant *t)
{
	list_each (n, &t->shares) {
		struct share *s = list_entry(n, struct share, node);
		heap_fini(&s->parts);
		free(s);
		q->share_count--;
	}
	free(t);
}

static void tenant_put(struct lq *q, struct tenant *t)
{
	if (--t->runs > 0)
		return;
	map_take(q->tenants, slice_of(&t->id, sizeof t->id));
	tenant_free(q, t);
}

static void agent_put(struct lq *q, struct agent *a)
{
	if (--a->runs > 0)
		return;
	struct agent_key key = {a->tenant->id, a->id};
	map_take(q->agents, key_slice(&key));
	free(a);
}

/* ---- lanes and runs */

/* The lane a run goes to; a session belongs to one agent for its life. */
static struct lane *lane_get(struct lq *q, const struct lq_item *it)
{
	struct tenant *t = tenant_get(q, it);
	struct lane *l = lq_lane_find(q, it->tenant, &it->session);
	if (!l) {
		l = xcalloc(1, sizeof *l);
		l->session = it->session;
		l->agent = agent_get(q, t, &it->agent);
		l->slot = it->slot & (LIMIT_SLOTS - 1);
		l->paused = lq_is_paused(q, LQ_LANE, it->tenant, it->session);
		list_init(&l->waiting);
		list_init(&l->rest);
		struct lane **at = lane_bucket(q, it->tenant, &it->session);
		l->bucket_next = *at;
		*at = l;
		q->lane_count++;
	}
	l->agent->max_running = it->agent_max_running;
	l->runs++;
	l->agent->runs++;
	t->runs++;
	return l;
}

static void lane_put(struct lq *q, struct lane *l)
{
	struct agent *a = l->agent;
	struct tenant *t = a->tenant;
	if (--l->runs == 0) {
		struct lane **at = lane_bucket(q, t->id, &l->session);
		while (*at != l)
			at = &(*at)->bucket_next;
		*at = l->bucket_next;
		q->lane_count--;
		lane_buckets_fit(q);
		free(l);
	}
	agent_put(q, a);
	tenant_put(q, t);
}

static int within(int v, int least, int most)
{
	return v < least ? least : v > most ? most : v;
}

struct lq_run *lq_run_new(struct lq *q, const struct lq_item *it)
{
	struct lq_run *r = xcalloc(1, sizeof *r);
	r->id = it->run;
	r->lane = lane_get(q, it);
	r->order_us = it->order_us;
	r->priority = (int16_t)within(it->priority, INT16_MIN, INT16_MAX);
	r->mode = (uint8_t)it->mode;
	r->worker = LQ_NO_WORKER;
	lq_run_set_deadline(r, it->deadline_us);
	list_init(&r->node);
	struct lq_run **at = run_bucket(q, &r->id);
	r->bucket_next = *at;
	*at = r;
	q->run_count++;
	run_buckets_fit(q);
	lane_buckets_fit(q);
	lq_agent_judge(q, r->lane->agent); /* the caps may be others now */
	lq_tenant_judge(q, r->lane->agent->tenant);
	return r;
}

void lq_run_forget(struct lq *q, struct lq_run *r)
{
	struct lq_run **at = run_bucket(q, &r->id);
	while (*at != r)
		at = &(*at)->bucket_next;
	*at = r->bucket_next;
	q->run_count--;
	lq_run_spare(r);
	run_buckets_fit(q);
	lane_put(q, r->lane);
	free(r);
}

/* ---- the end */

static void free_lane(struct lane *l)
{
	list_each (n, &l->waiting)
		free(list_entry(n, struct lq_run, node));
	list_each (n, &l->rest)
		free(list_entry(n, struct lq_run, node));
	free(l->active);
	free(l);
}

static void free_agent(struct agent *a)
{
	list_each (n, &a->parts) {
		struct part *p = list_entry(n, struct part, node);
		heap_fini(&p->ready);
		free(p);
	}
	free(a);
}

void lq_free(struct lq *q)
{
	void *p;
	for (uint32_t i = 0; i < q->lane_bucket_count; i++)
		for (struct lane *l; (l = q->lane_buckets[i]);) {
			q->lane_buckets[i] = l->bucket_next;
			free_lane(l);
		}
	for (size_t it = 0; map_next(q->agents, &it, NULL, &p);)
		free_agent(p);
	for (size_t it = 0; map_next(q->tenants, &it, NULL, &p);)
		tenant_free(q, p);
	for (int w = 0; w < LQ_MAX_WORKERS; w++)
		heap_fini(&q->workers[w].shares);
	lq_pauses_free(q);
	map_free(q->agents);
	map_free(q->tenants);
	heap_fini(&q->timers);
	heap_fini(&q->turns);
	free(q->run_buckets);
	free(q->lane_buckets);
	free(q);
}
