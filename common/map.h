/* SPDX-License-Identifier: Apache-2.0
 * Hash map from bytes to a pointer (SipHash with a random key: foreign keys cannot make
 * it slow). Owns: a copy of each key (short keys cost no second allocation). Never: the
 * values. */
#ifndef TB_MAP_H
#define TB_MAP_H

#include <stdbool.h>
#include <stddef.h>

#include "common/slice.h"

struct map;

struct map *map_new(void);
/* Does not touch the values. */
void map_free(struct map *m);
size_t map_count(const struct map *m);
/* NULL when absent. */
void *map_get(const struct map *m, struct slice key);
/* Returns the value it replaces, or NULL. `value` is not NULL. */
void *map_put(struct map *m, struct slice key, void *value);
/* Returns the value removed, or NULL. */
void *map_take(struct map *m, struct slice key);
/* Visits every entry in no order: *it starts at 0; false at the end. The current entry
 * may be taken while visiting; nothing may be put. */
bool map_next(const struct map *m, size_t *it, struct slice *key, void **value);

#endif
