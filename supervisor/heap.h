/* SPDX-License-Identifier: Apache-2.0
 * Binary heap of pointers, smallest first, each element knowing its place: O(log n)
 * removal from the middle. */
#ifndef TB_HEAP_H
#define TB_HEAP_H

#include <stdbool.h>
#include <stdint.h>

/* 12 bytes: there are two of them for every queued run. */
struct __attribute__((packed, aligned(4))) heap_node {
	int64_t key;
	uint32_t at; /* place + 1; 0: in no heap */
};

struct heap {
	struct heap_node **v; /* NULL while empty */
	uint32_t n, cap;
};

void heap_fini(struct heap *h);
void heap_add(struct heap *h, struct heap_node *e, int64_t key);
/* No-op when it is in no heap. Gives memory back as the heap empties. */
void heap_remove(struct heap *h, struct heap_node *e);
/* Adds it, or gives it another key. */
void heap_set(struct heap *h, struct heap_node *e, int64_t key);
/* NULL when empty. */
static inline struct heap_node *heap_top(const struct heap *h)
{
	return h->n ? h->v[0] : 0;
}
static inline bool heap_has(const struct heap_node *e)
{
	return e->at != 0;
}

#endif
