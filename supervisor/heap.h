/* SPDX-License-Identifier: Apache-2.0
 * Binary heap of pointers, smallest first, each element knowing its place: O(log n)
 * removal from the middle. */
#ifndef TB_HEAP_H
#define TB_HEAP_H

#include <stdbool.h>
#include <stdint.h>

struct heap_node {
	int64_t key;
	uint32_t at; /* place + 1; 0: in no heap */
};

struct heap {
	struct heap_node **v;
	uint32_t n, cap;
};

void heap_fini(struct heap *h);
void heap_add(struct heap *h, struct heap_node *e, int64_t key);
/* No-op when it is in no heap. */
void heap_remove(struct heap *h, struct heap_node *e);
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
