/* SPDX-License-Identifier: Apache-2.0
 * Binary heap. */
#include "supervisor/heap.h"

#include <stdlib.h>

#include "common/alloc.h"
#include "common/die.h"

#define FIRST_CAP 4

void heap_fini(struct heap *h)
{
	free(h->v);
	*h = (struct heap){0};
}

static void place(struct heap *h, uint32_t at, struct heap_node *e)
{
	h->v[at] = e;
	e->at = at + 1;
}

static void sift_up(struct heap *h, uint32_t at, struct heap_node *e)
{
	while (at > 0 && h->v[(at - 1) / 2]->key > e->key) {
		place(h, at, h->v[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	place(h, at, e);
}

static void sift_down(struct heap *h, uint32_t at, struct heap_node *e)
{
	for (;;) {
		uint32_t child = at * 2 + 1;
		if (child >= h->n)
			break;
		if (child + 1 < h->n && h->v[child + 1]->key < h->v[child]->key)
			child++;
		if (h->v[child]->key >= e->key)
			break;
		place(h, at, h->v[child]);
		at = child;
	}
	place(h, at, e);
}

static void resize(struct heap *h, uint32_t cap)
{
	h->cap = cap;
	h->v = xrealloc(h->v, cap * sizeof *h->v);
}

/* To where its key belongs, up or down from a place that is free. */
static void sift(struct heap *h, uint32_t at, struct heap_node *e)
{
	if (at > 0 && h->v[(at - 1) / 2]->key > e->key)
		sift_up(h, at, e);
	else
		sift_down(h, at, e);
}

void heap_add(struct heap *h, struct heap_node *e, int64_t key)
{
	check(!heap_has(e));
	if (h->n == h->cap)
		resize(h, h->cap ? h->cap * 2 : FIRST_CAP);
	e->key = key;
	sift_up(h, h->n++, e);
}

void heap_remove(struct heap *h, struct heap_node *e)
{
	if (!heap_has(e))
		return;
	uint32_t at = e->at - 1;
	struct heap_node *last = h->v[--h->n];
	e->at = 0;
	if (last != e)
		sift(h, at, last);
	if (h->n == 0)
		heap_fini(h);
	else if (h->cap > FIRST_CAP && h->n < h->cap / 4)
		resize(h, h->cap / 2);
}

void heap_set(struct heap *h, struct heap_node *e, int64_t key)
{
	if (!heap_has(e)) {
		heap_add(h, e, key);
	} else if (e->key != key) {
		e->key = key;
		sift(h, e->at - 1, e);
	}
}
