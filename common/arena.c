/* SPDX-License-Identifier: Apache-2.0
 * Blocks that double from 1 kB to 64 kB; what is larger than a block gets one of its own.
 */
#include "common/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"

#define FIRST_BLOCK 1024
#define LARGEST_BLOCK 65536
#define ALIGNMENT _Alignof(max_align_t)

struct block {
	struct block *older;
	size_t size, used;
	_Alignas(max_align_t) char data[];
};

struct arena_cleanup {
	struct arena_cleanup *older;
	void (*fn)(void *arg);
	void *arg;
};

struct arena {
	struct block *newest, *first;
	struct arena_cleanup *cleanups;
	size_t limit, used, next_size;
};

static struct block *block_new(size_t size, struct block *older)
{
	struct block *b = xmalloc(sizeof *b + size);
	*b = (struct block){.older = older, .size = size};
	return b;
}

struct arena *arena_new(size_t limit_bytes)
{
	struct arena *a = xmalloc(sizeof *a);
	*a = (struct arena){.limit = limit_bytes, .next_size = FIRST_BLOCK * 2};
	a->newest = a->first = block_new(FIRST_BLOCK, NULL);
	return a;
}

static void run_cleanups(struct arena *a)
{
	while (a->cleanups) {
		struct arena_cleanup *c = a->cleanups;
		a->cleanups = c->older;
		if (c->fn)
			c->fn(c->arg);
	}
}

static void drop_blocks(struct block *b, const struct block *keep)
{
	while (b) {
		struct block *older = b->older;
		if (b != keep)
			free(b);
		b = older;
	}
}

void arena_free(struct arena *a)
{
	if (!a)
		return;
	run_cleanups(a);
	drop_blocks(a->newest, NULL);
	free(a);
}

void auto_arena_free(struct arena **a)
{
	arena_free(*a);
}

void arena_reset(struct arena *a)
{
	run_cleanups(a);
	drop_blocks(a->newest, a->first);
	a->newest = a->first;
	a->first->older = NULL;
	a->first->used = 0;
	a->used = 0;
	a->next_size = FIRST_BLOCK * 2;
}

/* A block that has room for n more bytes. */
static struct block *grow(struct arena *a, size_t n)
{
	if (n > a->next_size / 2) {
		/* Below the newest, so that the newest keeps serving small ones. */
		a->newest->older = block_new(n, a->newest->older);
		return a->newest->older;
	}
	a->newest = block_new(a->next_size, a->newest);
	if (a->next_size < LARGEST_BLOCK)
		a->next_size *= 2;
	return a->newest;
}

void *arena_alloc(struct arena *a, size_t n)
{
	struct block *b = a->newest;
	n = (n + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
	if (b->size - b->used < n)
		b = grow(a, n);
	void *p = b->data + b->used;
	b->used += n;
	a->used += n;
	return p;
}

void *arena_zalloc(struct arena *a, size_t n)
{
	return memset(arena_alloc(a, n), 0, n);
}

void *arena_memdup(struct arena *a, const void *p, size_t n)
{
	void *copy = arena_alloc(a, n);
	if (n)
		memcpy(copy, p, n);
	return copy;
}

char *arena_strndup(struct arena *a, const char *s, size_t n)
{
	char *copy = arena_alloc(a, n + 1);
	if (n)
		memcpy(copy, s, n);
	copy[n] = 0;
	return copy;
}

char *arena_strdup(struct arena *a, const char *s)
{
	return arena_strndup(a, s, strlen(s));
}

struct slice arena_slice(struct arena *a, struct slice s)
{
	return slice_of(arena_strndup(a, s.p, s.n), s.n);
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	char *p = arena_alloc(a, (size_t)n + 1);
	va_start(ap, fmt);
	vsnprintf(p, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return p;
}

struct arena_cleanup *arena_cleanup(struct arena *a, void (*fn)(void *arg), void *arg)
{
	struct arena_cleanup *c = arena_alloc(a, sizeof *c);
	*c = (struct arena_cleanup){.older = a->cleanups, .fn = fn, .arg = arg};
	a->cleanups = c;
	return c;
}

void arena_uncleanup(struct arena_cleanup *c)
{
	c->fn = NULL;
}

size_t arena_used(const struct arena *a)
{
	return a->used;
}

bool arena_is_over(const struct arena *a)
{
	return a->used > a->limit;
}
