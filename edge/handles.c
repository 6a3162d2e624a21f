/* SPDX-License-Identifier: Apache-2.0
 * Generation-checked handles. */
#include "edge/handles.h"

#include <stdlib.h>

#include "common/alloc.h"

struct entry {
	void *object;
	uint32_t generation;
	uint32_t next_free; /* index + 1 */
};

struct handles {
	struct entry *entries;
	uint32_t count, cap, free;
};

struct handles *handles_new(void)
{
	return xcalloc(1, sizeof(struct handles));
}

void handles_free(struct handles *h)
{
	free(h->entries);
	free(h);
}

uint64_t handle_new(struct handles *h, void *object)
{
	uint32_t index = h->free ? h->free - 1 : h->count;
	if (h->free) {
		h->free = h->entries[index].next_free;
	} else {
		if (h->count == h->cap) {
			h->cap = h->cap ? h->cap * 2 : 64;
			h->entries = xrealloc(h->entries, h->cap * sizeof *h->entries);
		}
		h->entries[h->count++] = (struct entry){.generation = 0};
	}
	struct entry *e = &h->entries[index];
	e->object = object;
	e->generation++;
	return (uint64_t)e->generation << 32 | index;
}

static struct entry *find(const struct handles *h, uint64_t handle)
{
	uint32_t index = (uint32_t)handle;
	if (index >= h->count || h->entries[index].generation != handle >> 32)
		return NULL;
	return h->entries[index].object ? &h->entries[index] : NULL;
}

void *handle_get(const struct handles *h, uint64_t handle)
{
	struct entry *e = find(h, handle);
	return e ? e->object : NULL;
}

void handle_free(struct handles *h, uint64_t handle)
{
	struct entry *e = find(h, handle);
	if (!e)
		return;
	e->object = NULL;
	e->next_free = h->free;
	h->free = (uint32_t)handle + 1;
}

void *handle_next(const struct handles *h, uint32_t *it)
{
	while (*it < h->count) {
		void *object = h->entries[(*it)++].object;
		if (object)
			return object;
	}
	return NULL;
}
