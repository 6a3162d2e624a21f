/* SPDX-License-Identifier: Apache-2.0
 * Bump allocation with one lifetime: everything of a run (or a request) goes at once,
 * foreign things with it. Owns: its blocks and the registered cleanups. Never returns
 * NULL. Fails: crossing the limit sets a sticky flag that the owner asks for at its stage
 * ends (arena_is_over); the allocation itself still succeeds, so no caller checks. */
#ifndef TB_ARENA_H
#define TB_ARENA_H

#include <stdbool.h>
#include <stddef.h>

#include "common/attr.h"
#include "common/slice.h"

struct arena;

/* limit_bytes: where arena_is_over turns true. The first block is small (1 kB) and blocks
 * double up to 64 kB. */
struct arena *arena_new(size_t limit_bytes);
/* Runs cleanups in reverse order, then frees all. NULL is allowed. */
void arena_free(struct arena *a);
void auto_arena_free(struct arena **a);
/* Forgets all, runs the cleanups, keeps the first block. */
void arena_reset(struct arena *a);
/* Aligned for any type. */
void *arena_alloc(struct arena *a, size_t n);
void *arena_zalloc(struct arena *a, size_t n);
void *arena_memdup(struct arena *a, const void *p, size_t n);
/* NUL-terminated copies. */
char *arena_strdup(struct arena *a, const char *s);
char *arena_strndup(struct arena *a, const char *s, size_t n);
PRINTF_LIKE(2, 3) char *arena_printf(struct arena *a, const char *fmt, ...);
/* A copy that lives as long as the arena. */
struct slice arena_slice(struct arena *a, struct slice s);
/* fn(arg) when the arena is freed or reset. Returns a handle for arena_uncleanup. */
struct arena_cleanup *arena_cleanup(struct arena *a, void (*fn)(void *arg), void *arg);
/* The foreign thing ended before the arena: its cleanup will not run. */
void arena_uncleanup(struct arena_cleanup *c);
size_t arena_used(const struct arena *a);
bool arena_is_over(const struct arena *a);

#endif
