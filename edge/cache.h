/* SPDX-License-Identifier: Apache-2.0
 * What Postgres knows, kept for a while: a bounded map with one load at a time for a key
 * and everybody else waiting for it.
 *
 * Values are copied out: nobody holds a pointer into the cache. Past `refresh_us` an
 * entry is loaded again while the old value still serves, so a warm request never waits.
 * Owns: keys and values. Fails: a failed load is told to those who waited, and forgotten.
 */
#ifndef TB_EDGE_CACHE_H
#define TB_EDGE_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/list.h"
#include "common/slice.h"

struct cache;
struct cache_entry;
struct loop;
struct loop_task;

struct cache_config {
	struct loop *loop;
	unsigned capacity;
	size_t value_size;
	int64_t refresh_us; /* age from which a value in use is loaded again; 0: never */
	int64_t fresh_us;   /* age up to which it serves; 0: for ever */
	int64_t absent_us;  /* how long "there is none" is remembered, beyond those who
			       waited */
	/* Starts a load; ends in cache_loaded or cache_failed, later or at once. The key
	 * stays valid until then; `hint` only during the call (NULL in a refresh). */
	void (*load)(void *arg, struct cache_entry *e, struct slice key,
		     const void *hint);
	void *arg;
};

/* One who waits. Zero it before the first look, cache_leave before its memory goes. */
struct cache_wait {
	struct list node;
	struct loop_task *task;
	bool waiting;
	bool absent; /* what was waited for is: told once, whatever its age by now */
	enum err failed;
};

enum cache_verdict { CACHE_FOUND, CACHE_ABSENT, CACHE_WAIT, CACHE_FAILED };

struct cache *cache_new(const struct cache_config *c);
void cache_free(struct cache *c);
/* FOUND: the value was copied to *value. WAIT: w->task will be woken; look again then.
 * FAILED: the load that was waited for failed with w->failed. */
enum cache_verdict cache_look(struct cache *c, struct slice key, struct cache_wait *w,
			      struct loop_task *task, const void *hint, void *value);
/* What is known, without waiting for more and without a load. WAIT: nothing, or it is too
 * old. */
enum cache_verdict cache_peek(struct cache *c, struct slice key, void *value);
/* Loads it, if it is not known or too old; nobody waits. */
void cache_touch(struct cache *c, struct slice key);
void cache_leave(struct cache_wait *w);
struct slice cache_entry_key(const struct cache_entry *e);
/* value NULL: there is none. */
void cache_loaded(struct cache_entry *e, const void *value);
void cache_failed(struct cache_entry *e, enum err why);
void cache_drop(struct cache *c, struct slice key);
/* Drops every value for which match(value, arg) holds, and all that is absent or being
 * loaded. */
void cache_drop_if(struct cache *c, bool (*match)(const void *value, const void *arg),
		   const void *arg);
size_t cache_count(const struct cache *c);

#endif
