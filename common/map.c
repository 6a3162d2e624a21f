/* SPDX-License-Identifier: Apache-2.0
 * Open addressing with linear probing; removal shifts followers back, so no tombstones
 * pile up. */
#include "common/map.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/crypto.h"
#include "common/die.h"

#define INLINE_KEY 32
#define FIRST_SIZE 16

struct entry {
	uint64_t hash; /* 0: free */
	void *value;
	uint32_t key_len;
	union {
		char inline_key[INLINE_KEY];
		char *key;
	};
};

struct map {
	struct entry *entries;
	size_t size, count; /* size: a power of two */
	uint8_t seed[16];
};

struct map *map_new(void)
{
	struct map *m = xcalloc(1, sizeof *m);
	crypto_random(m->seed, sizeof m->seed);
	m->size = FIRST_SIZE;
	m->entries = xcalloc(m->size, sizeof *m->entries);
	return m;
}

static const char *key_of(const struct entry *e)
{
	return e->key_len > INLINE_KEY ? e->key : e->inline_key;
}

static void drop_key(struct entry *e)
{
	if (e->key_len > INLINE_KEY)
		free(e->key);
}

void map_free(struct map *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->size; i++)
		if (m->entries[i].hash)
			drop_key(&m->entries[i]);
	free(m->entries);
	free(m);
}

size_t map_count(const struct map *m)
{
	return m->count;
}

static uint64_t hash_of(const struct map *m, struct slice key)
{
	return crypto_siphash(m->seed, key) | 1;
}

/* The entry of the key, or the free one where it would go. */
static struct entry *find(const struct map *m, struct slice key, uint64_t hash)
{
	size_t i = (hash >> 1) & (m->size - 1);
	for (;; i = (i + 1) & (m->size - 1)) {
		struct entry *e = &m->entries[i];
		if (!e->hash)
			return e;
		if (e->hash == hash && e->key_len == key.n &&
		    (key.n == 0 || !memcmp(key_of(e), key.p, key.n)))
			return e;
	}
}

void *map_get(const struct map *m, struct slice key)
{
	struct entry *e = find(m, key, hash_of(m, key));
	return e->hash ? e->value : NULL;
}

static void grow(struct map *m)
{
	struct entry *old = m->entries;
	size_t old_size = m->size;
	m->size *= 2;
	m->entries = xcalloc(m->size, sizeof *m->entries);
	for (size_t i = 0; i < old_size; i++) {
		if (!old[i].hash)
			continue;
		size_t at = (old[i].hash >> 1) & (m->size - 1);
		while (m->entries[at].hash)
			at = (at + 1) & (m->size - 1);
		m->entries[at] = old[i];
	}
	free(old);
}

void *map_put(struct map *m, struct slice key, void *value)
{
	check(value && key.n <= UINT32_MAX);
	uint64_t hash = hash_of(m, key);
	struct entry *e = find(m, key, hash);
	if (e->hash) {
		void *old = e->value;
		e->value = value;
		return old;
	}
	if ((m->count + 1) * 4 > m->size * 3) {
		grow(m);
		e = find(m, key, hash);
	}
	*e = (struct entry){.hash = hash, .value = value, .key_len = (uint32_t)key.n};
	if (key.n > INLINE_KEY)
		e->key = xmemdup(key.p, key.n);
	else if (key.n)
		memcpy(e->inline_key, key.p, key.n);
	m->count++;
	return NULL;
}

/* Closes the hole at i: a follower moves back unless that would put it before its own
 * place. */
static void close_hole(struct map *m, size_t i)
{
	size_t mask = m->size - 1;
	for (size_t next = (i + 1) & mask; m->entries[next].hash;
	     next = (next + 1) & mask) {
		size_t home = (m->entries[next].hash >> 1) & mask;
		if (((next - home) & mask) < ((next - i) & mask))
			continue;
		m->entries[i] = m->entries[next];
		i = next;
	}
	m->entries[i] = (struct entry){0};
}

void *map_take(struct map *m, struct slice key)
{
	struct entry *e = find(m, key, hash_of(m, key));
	if (!e->hash)
		return NULL;
	void *value = e->value;
	drop_key(e);
	close_hole(m, (size_t)(e - m->entries));
	m->count--;
	return value;
}

/* Downwards from below a free entry: taking the current entry pulls back only later ones,
 * which were shown already, and no cluster spans the start. The place of the start is
 * kept in the upper half of *it, the steps taken in the lower. */
bool map_next(const struct map *m, size_t *it, struct slice *key, void **value)
{
	const size_t half = (size_t)1 << 32;
	size_t mask = m->size - 1;
	if (*it == 0) {
		size_t start = 0;
		while (m->entries[start].hash)
			start++;
		*it = start * half;
	}
	size_t start = *it / half;
	for (size_t step = *it % half + 1; step < m->size; step++) {
		struct entry *e = &m->entries[(start - step) & mask];
		if (!e->hash)
			continue;
		*it = start * half + step;
		if (key)
			*key = slice_of(key_of(e), e->key_len);
		if (value)
			*value = e->value;
		return true;
	}
	return false;
}
