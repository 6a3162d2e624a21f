/* SPDX-License-Identifier: Apache-2.0
 * Buckets of requests, taken in advance; the minute's model tokens, cached. */
#include "edge/limits.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/alloc.h"
#include "common/list.h"
#include "common/map.h"
#include "edge/meter_store.h"
#include "edge/reply.h"

/* What was taken and not used so long goes: it is nobody's reserve. */
#define STALE_US 10000000
#define BUCKETS_MAX 16384
#define LEASE_MAX 1000u
#define USED_FRESH_US 1000000

/* Requests of a token or, id nil, of a tenant. */
struct bucket {
	struct list used;    /* in the order of use */
	struct list waiters; /* struct cache_wait */
	struct list queued;  /* to be asked for this turn; else in no list */
	int64_t tenant;
	struct uuid id;
	uint32_t most; /* a minute */
	unsigned held; /* taken and not used yet */
	unsigned waiting;
	bool busy;         /* asked for, not answered */
	int64_t taken_us;  /* the last time ... */
	double rest;       /* ... and what stood in the shared bucket then */
	int64_t closed_us; /* that is empty until then */
};

struct limits {
	struct edge *edge;
	struct map *map; /* tenant and id */
	struct list used, queue;
	struct cache *tokens; /* struct meter_used */
	unsigned in_flight;
	struct bucket *flight[METER_BATCH];
	struct meter_take rows[METER_BATCH];
	unsigned runs;
	struct meter_run run[METER_BATCH];
};

/* ---- the shared bucket */

static unsigned lease(const struct bucket *b)
{
	unsigned second = b->most / 60;
	return second < 1 ? 1 : second > LEASE_MAX ? LEASE_MAX : second;
}

static void wake(struct limits *l, struct bucket *b, enum err failed)
{
	struct list *n;
	while ((n = list_pop(&b->waiters))) {
		struct cache_wait *w = list_entry(n, struct cache_wait, node);
		w->waiting = false;
		w->failed = failed;
		loop_wake(l->edge->loop, w->task);
	}
	b->waiting = 0;
}

static void on_taken(void *arg, enum err e)
{
	struct limits *l = arg;
	int64_t now = loop_now_us(l->edge->loop);
	unsigned count = l->in_flight;
	l->in_flight = 0;
	for (unsigned i = 0; i < count; i++) {
		struct bucket *b = l->flight[i];
		const struct meter_take *row = &l->rows[i];
		b->busy = false;
		if (!e) {
			b->held += row->granted;
			b->rest = row->left;
			b->taken_us = now;
			b->closed_us = row->granted ? 0 : now + row->wait_us;
		}
		wake(l, b, e);
	}
	loop_again(l->edge->loop);
}

/* LOOP_STEPS: before the pool writes. One question at a time: they grow with load. */
static void on_turn(void *arg)
{
	struct limits *l = arg;
	if (l->runs) {
		meter_store_runs(l->edge, l->run, l->runs);
		l->runs = 0;
	}
	if (l->in_flight || list_is_empty(&l->queue))
		return;
	while (l->in_flight < METER_BATCH && !list_is_empty(&l->queue)) {
		struct bucket *b = list_entry(list_pop(&l->queue), struct bucket, queued);
		unsigned want = lease(b) > b->waiting ? lease(b) : b->waiting;
		l->rows[l->in_flight] = (struct meter_take){.tenant = b->tenant,
							    .subject = b->id,
							    .most = b->most,
							    .want = want};
		l->flight[l->in_flight++] = b;
	}
	meter_store_take(l->edge, l->rows, l->in_flight, on_taken, l);
}

static void ask(struct limits *l, struct bucket *b)
{
	if (b->busy)
		return;
	b->busy = true;
	list_push(&l->queue, &b->queued);
	loop_again(l->edge->loop);
}

/* ---- the buckets of this process */

#define KEY_BYTES 24

static struct slice key_of(int64_t tenant, struct uuid id, char key[KEY_BYTES])
{
	memcpy(key, &tenant, 8);
	memcpy(key + 8, id.b, 16);
	return slice_of(key, KEY_BYTES);
}

static void forget(struct limits *l, struct bucket *b)
{
	char key[KEY_BYTES];
	map_take(l->map, key_of(b->tenant, b->id, key));
	list_remove(&b->used);
	free(b);
}

static void make_room(struct limits *l)
{
	list_each (n, &l->used) {
		struct bucket *b = list_entry(n, struct bucket, used);
		if (map_count(l->map) < BUCKETS_MAX)
			return;
		if (!b->busy)
			forget(l, b);
	}
}

static struct bucket *find(struct limits *l, int64_t tenant, struct uuid id,
			   uint32_t most)
{
	char key[KEY_BYTES];
	struct bucket *b = map_get(l->map, key_of(tenant, id, key));
	if (!b) {
		make_room(l);
		b = xcalloc(1, sizeof *b);
		b->tenant = tenant;
		b->id = id;
		list_init(&b->used);
		list_init(&b->waiters);
		list_init(&b->queued);
		map_put(l->map, key_of(tenant, id, key), b);
	}
	if (b->most != most)
		b->closed_us = 0;
	b->most = most;
	list_remove(&b->used);
	list_push(&l->used, &b->used);
	return b;
}

static enum limits_verdict take(struct limits *l, struct bucket *b, int64_t now)
{
	if (b->held && now - b->taken_us > STALE_US)
		b->held = 0;
	if (!b->held) {
		if (now < b->closed_us)
			return LIMITS_ANSWERED;
		ask(l, b);
		return LIMITS_WAIT;
	}
	b->held--;
	if (b->held < lease(b) / 2 && now >= b->closed_us)
		ask(l, b);
	return LIMITS_PASS;
}

/* ---- what is left, for the answer's head */

void limits_format(int64_t us, char text[LIMITS_TIME_MAX])
{
	int64_t s = (us + 999999) / 1000000;
	if (us < 1000000)
		snprintf(text, LIMITS_TIME_MAX, "%dms",
			 us > 0 ? (int)((us + 999) / 1000) : 0);
	else if (s < 60)
		snprintf(text, LIMITS_TIME_MAX, "%ds", (int)s);
	else
		snprintf(text, LIMITS_TIME_MAX, "%dm%ds", (int)(s / 60 % 10000),
			 (int)(s % 60));
}

static unsigned left_of(const struct bucket *b, int64_t now)
{
	double since = (double)(now - b->taken_us) * b->most / 60e6;
	double left = b->rest + since + b->held;
	return left >= b->most ? b->most : left > 0 ? (unsigned)left : 0;
}

static void say(struct call *c, const struct bucket *b, int64_t now)
{
	struct request *r = c->request;
	char reset[LIMITS_TIME_MAX];
	unsigned left = left_of(b, now);
	limits_format((int64_t)(b->most - left) * 60000000 / b->most, reset);
	r->fields = slice_str(arena_printf(
		r->arena,
		"%.*sx-ratelimit-limit-requests: %u\r\n"
		"x-ratelimit-remaining-requests: %u\r\n"
		"x-ratelimit-reset-requests: %s\r\n",
		(int)r->fields.n, r->fields.n ? r->fields.p : "", b->most, left, reset));
}

static unsigned seconds(int64_t us)
{
	return us > 0 ? (unsigned)((us + 999999) / 1000000) : 1;
}

static enum limits_verdict refuse(struct call *c, const struct bucket *b, int64_t now)
{
	say(c, b, now);
	reply_err(c->request, ERR_RATE_LIMITED, NULL,
		  arena_printf(c->request->arena, "%s may ask %u times a minute: wait",
			       uuid_is_nil(b->id) ? "this tenant" : "this token",
			       b->most),
		  seconds(b->closed_us - now));
	return LIMITS_ANSWERED;
}

static enum limits_verdict wait_for(struct call *c, struct bucket *b)
{
	c->wait.task = &c->task;
	c->wait.waiting = true;
	list_init(&c->wait.node);
	list_push(&b->waiters, &c->wait.node);
	b->waiting++;
	return LIMITS_WAIT;
}

static enum limits_verdict judge(struct call *c, struct bucket *b, int64_t now,
				 enum limits_verdict v)
{
	if (v == LIMITS_ANSWERED)
		return refuse(c, b, now);
	return v == LIMITS_WAIT ? wait_for(c, b) : LIMITS_PASS;
}

/* Of both there has to be one; the tighter one is shown. */
static enum limits_verdict take_request(struct call *c, struct limits *l)
{
	const struct caller *who = &c->caller;
	int64_t now = loop_now_us(c->edge->loop);
	struct uuid nil = {{0}};
	struct bucket *own = NULL, *all = NULL;
	enum limits_verdict v;
	if (who->requests) {
		own = find(l, who->tenant, who->token, who->requests);
		v = take(l, own, now);
		if (v != LIMITS_PASS)
			return judge(c, own, now, v);
	}
	if (who->tenant_requests) {
		all = find(l, who->tenant, nil, who->tenant_requests);
		v = take(l, all, now);
		if (v != LIMITS_PASS) {
			if (own)
				own->held++;
			return judge(c, all, now, v);
		}
	}
	if (own && (!all || left_of(own, now) <= left_of(all, now)))
		say(c, own, now);
	else if (all)
		say(c, all, now);
	return LIMITS_PASS;
}

/* ---- model tokens */

struct used_key {
	int64_t tenant;
	struct uuid token;
	int64_t most;
};

static void load_used(void *arg, struct cache_entry *e, struct slice key,
		      const void *hint)
{
	struct used_key k;
	(void)hint;
	memcpy(&k, key.p, sizeof k);
	meter_store_used(arg, e, k.tenant, k.token, k.most);
}

/* Whether the route asks a model, and places no order for it. */
static bool places(enum route r)
{
	switch (r) {
	case ROUTE_SESSION_REGENERATE:
	case ROUTE_SESSION_KEY_REGENERATE:
	case ROUTE_SESSION_EDIT:
	case ROUTE_SESSION_KEY_EDIT:
	case ROUTE_SESSION_COMPACT:
	case ROUTE_SESSION_KEY_COMPACT:
	case ROUTE_RUN_RETRY:
	case ROUTE_DEAD_REDRIVE:
	case ROUTE_EMBEDDINGS:
		return true;
	default:
		return false;
	}
}

static enum limits_verdict too_many_tokens(struct call *c, const struct used_key *k,
					   const struct meter_used *u)
{
	struct request *r = c->request;
	int64_t wait = u->until_us - loop_now_us(c->edge->loop);
	char reset[LIMITS_TIME_MAX];
	limits_format(wait, reset);
	r->fields =
		slice_str(arena_printf(r->arena,
				       "%.*sx-ratelimit-limit-tokens: "
				       "%lld\r\nx-ratelimit-remaining-tokens: 0\r\n"
				       "x-ratelimit-reset-tokens: %s\r\n",
				       (int)r->fields.n, r->fields.n ? r->fields.p : "",
				       (long long)k->most, reset));
	reply_err(
		r, ERR_RATE_LIMITED, NULL,
		arena_printf(r->arena,
			     "%s may use %lld model tokens a minute and used %lld: wait",
			     uuid_is_nil(k->token) ? "this tenant" : "this token",
			     (long long)k->most, (long long)u->tokens),
		seconds(wait));
	return LIMITS_ANSWERED;
}

static enum limits_verdict check_used(struct call *c, struct limits *l, struct uuid token,
				      int64_t most)
{
	struct used_key k = {c->caller.tenant, token, most};
	struct meter_used used;
	if (!most)
		return LIMITS_PASS;
	switch (cache_look(l->tokens, slice_of(&k, sizeof k), &c->wait, &c->task, NULL,
			   &used)) {
	case CACHE_FOUND:
		return used.tokens >= most ? too_many_tokens(c, &k, &used) : LIMITS_PASS;
	case CACHE_WAIT:
		return LIMITS_WAIT;
	default:
		reply_err(c->request, ERR_DATABASE, NULL, NULL, 0);
		return LIMITS_ANSWERED;
	}
}

void limits_note_run(const struct call *c, struct uuid run)
{
	struct limits *l = c ? c->edge->limits : NULL;
	if (!l || !c->caller.tokens || l->runs == METER_BATCH)
		return;
	l->run[l->runs++] = (struct meter_run){c->caller.tenant, c->caller.token, run};
	loop_again(c->edge->loop);
}

enum limits_verdict limits_place(struct call *c)
{
	struct limits *l = c->edge->limits;
	struct uuid nil = {{0}};
	if (!l)
		return LIMITS_PASS;
	enum limits_verdict v = check_used(c, l, c->caller.token, c->caller.tokens);
	return v == LIMITS_PASS ? check_used(c, l, nil, c->caller.tenant_tokens) : v;
}

/* ---- both */

/* Tokens before requests: who has to wait for the one shall not pay for the other. */
enum limits_verdict limits_check(struct call *c)
{
	struct limits *l = c->edge->limits;
	enum limits_verdict v = LIMITS_PASS;
	if (!l || c->wait.waiting)
		return l ? LIMITS_WAIT : LIMITS_PASS;
	if (c->wait.failed) {
		reply_err(c->request, c->wait.failed, NULL, NULL, 0);
		return LIMITS_ANSWERED;
	}
	if (places(c->match.route))
		v = limits_place(c);
	return v == LIMITS_PASS ? take_request(c, l) : v;
}

struct limits *limits_new(struct edge *e)
{
	struct limits *l = xcalloc(1, sizeof *l);
	l->edge = e;
	l->map = map_new();
	list_init(&l->used);
	list_init(&l->queue);
	l->tokens =
		cache_new(&(struct cache_config){.loop = e->loop,
						 .capacity = BUCKETS_MAX,
						 .value_size = sizeof(struct meter_used),
						 .fresh_us = USED_FRESH_US,
						 .load = load_used,
						 .arg = e});
	loop_hook(e->loop, LOOP_STEPS, on_turn, l);
	return l;
}

void limits_free(struct limits *l)
{
	loop_unhook(l->edge->loop, on_turn, l);
	list_each (n, &l->used)
		forget(l, list_entry(n, struct bucket, used));
	map_free(l->map);
	cache_free(l->tokens);
	free(l);
}
