/* SPDX-License-Identifier: Apache-2.0
 * The bounded, loading map: entries in order of use, the oldest given up first. */
#include "edge/cache.h"

#include <stdlib.h>

#include "common/alloc.h"
#include "common/die.h"
#include "common/loop.h"
#include "common/map.h"

struct cache_entry {
	struct list used; /* in the cache's order of use; in no list when dropped */
	struct list waiters;
	struct cache *cache;
	int64_t loaded_us;
	bool known;   /* loaded at least once */
	bool absent;  /* and there is none */
	bool loading; /* keeps the memory */
	bool dropped; /* out of the map; freed when the load ends */
	char *key;
	size_t key_n;
	_Alignas(16) char value[];
};

struct cache {
	struct cache_config config;
	struct map *map;
	struct list used; /* the least recently used first */
};

struct cache *cache_new(const struct cache_config *config)
{
	struct cache *c = xcalloc(1, sizeof *c);
	c->config = *config;
	c->map = map_new();
	list_init(&c->used);
	return c;
}

static void free_entry(struct cache_entry *e)
{
	free(e->key);
	free(e);
}

struct slice cache_entry_key(const struct cache_entry *e)
{
	return slice_of(e->key, e->key_n);
}

/* Out of the map; the memory stays while a load is under way. */
static void drop(struct cache_entry *e)
{
	map_take(e->cache->map, cache_entry_key(e));
	list_remove(&e->used);
	e->dropped = true;
	if (!e->loading)
		free_entry(e);
}

void cache_free(struct cache *c)
{
	list_each (n, &c->used) {
		struct cache_entry *e = list_entry(n, struct cache_entry, used);
		list_remove(&e->used);
		free_entry(e);
	}
	map_free(c->map);
	free(c);
}

static void make_room(struct cache *c)
{
	list_each (n, &c->used) {
		struct cache_entry *e = list_entry(n, struct cache_entry, used);
		if (map_count(c->map) < c->config.capacity)
			return;
		if (!e->loading)
			drop(e);
	}
}

static struct cache_entry *add(struct cache *c, struct slice key)
{
	make_room(c);
	struct cache_entry *e = xcalloc(1, sizeof *e + c->config.value_size);
	e->cache = c;
	e->key = xmemdup(key.p, key.n);
	e->key_n = key.n;
	list_init(&e->waiters);
	list_push(&c->used, &e->used);
	map_put(c->map, key, e);
	return e;
}

static void start_load(struct cache_entry *e, const void *hint)
{
	struct cache *c = e->cache;
	if (e->loading)
		return;
	e->loading = true;
	c->config.load(c->config.arg, e, cache_entry_key(e), hint);
}

/* Whether what is known still serves. */
static bool serves(const struct cache_entry *e, int64_t now)
{
	const struct cache_config *config = &e->cache->config;
	int64_t age = now - e->loaded_us;
	if (!e->known)
		return false;
	if (e->absent)
		return age < config->absent_us;
	return !config->fresh_us || age < config->fresh_us;
}

static void wait_for(struct cache_entry *e, struct cache_wait *w, struct loop_task *task)
{
	w->task = task;
	w->waiting = true;
	list_init(&w->node);
	list_push(&e->waiters, &w->node);
}

enum cache_verdict cache_look(struct cache *c, struct slice key, struct cache_wait *w,
			      struct loop_task *task, const void *hint, void *value)
{
	int64_t now = loop_now_us(c->config.loop);
	struct cache_entry *e = map_get(c->map, key);
	if (w->failed)
		return CACHE_FAILED;
	if (w->waiting)
		return CACHE_WAIT;
	if (w->absent) {
		w->absent = false;
		return CACHE_ABSENT;
	}
	if (!e)
		e = add(c, key);
	list_remove(&e->used);
	list_push(&c->used, &e->used);
	if (!serves(e, now)) {
		wait_for(e, w, task);
		start_load(e, hint);
		return CACHE_WAIT;
	}
	if (c->config.refresh_us && !e->absent &&
	    now - e->loaded_us > c->config.refresh_us)
		start_load(e, NULL);
	if (e->absent)
		return CACHE_ABSENT;
	memcpy(value, e->value, c->config.value_size);
	return CACHE_FOUND;
}

enum cache_verdict cache_peek(struct cache *c, struct slice key, void *value)
{
	struct cache_entry *e = map_get(c->map, key);
	if (!e || !serves(e, loop_now_us(c->config.loop)))
		return CACHE_WAIT;
	if (e->absent)
		return CACHE_ABSENT;
	memcpy(value, e->value, c->config.value_size);
	return CACHE_FOUND;
}

void cache_touch(struct cache *c, struct slice key)
{
	struct cache_entry *e = map_get(c->map, key);
	if (!e)
		e = add(c, key);
	if (!serves(e, loop_now_us(c->config.loop)))
		start_load(e, NULL);
}

void cache_leave(struct cache_wait *w)
{
	if (w->waiting)
		list_remove(&w->node);
	w->waiting = false;
}

static void wake_all(struct cache_entry *e, enum err failed, bool absent)
{
	struct list *n;
	while ((n = list_pop(&e->waiters))) {
		struct cache_wait *w = list_entry(n, struct cache_wait, node);
		w->waiting = false;
		w->failed = failed;
		w->absent = absent;
		loop_wake(e->cache->config.loop, w->task);
	}
}

void cache_loaded(struct cache_entry *e, const void *value)
{
	struct cache *c = e->cache;
	check(e->loading);
	e->loading = false;
	e->known = true;
	e->absent = !value;
	e->loaded_us = loop_now_us(c->config.loop);
	if (value)
		memcpy(e->value, value, c->config.value_size);
	wake_all(e, ERR_OK, e->absent);
	if (e->dropped)
		free_entry(e);
}

void cache_failed(struct cache_entry *e, enum err why)
{
	check(e->loading);
	e->loading = false;
	wake_all(e, why, false);
	if (e->dropped)
		free_entry(e);
	else if (!e->known)
		drop(e);
}

void cache_drop(struct cache *c, struct slice key)
{
	struct cache_entry *e = map_get(c->map, key);
	if (e)
		drop(e);
}

void cache_drop_if(struct cache *c, bool (*match)(const void *value, const void *arg),
		   const void *arg)
{
	list_each (n, &c->used) {
		struct cache_entry *e = list_entry(n, struct cache_entry, used);
		if (!e->known || e->loading || e->absent || match(e->value, arg))
			drop(e);
	}
}

size_t cache_count(const struct cache *c)
{
	return map_count(c->map);
}
