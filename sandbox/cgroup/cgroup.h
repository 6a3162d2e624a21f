/* SPDX-License-Identifier: Apache-2.0
 * Control groups for jails: what all processes of a jail may use together.
 *
 * A node makes one directory of its own below the group it was started in (the base), a
 * launcher one below it for each jail that runs. Of cgroup v2 that is one tree, of v1 one
 * of the memory and one of the pids hierarchy. Measured on v1: a removed memory group
 * stays in the kernel (24 kB) as long as a page that its jail read or wrote is cached, so
 * that a launcher uses its groups again.
 *
 * Owns: directories below the base. Never: touches a group that is not made here. Fails:
 * with a reason in words; then limits are of single processes. */
#ifndef TB_CGROUP_H
#define TB_CGROUP_H

#include <stdbool.h>
#include <stdint.h>

#include "common/ident.h"
#include "common/list.h"

enum cgroup_kind { CGROUP_NONE, CGROUP_V1, CGROUP_V2 };

#define CGROUP_PATH 512
#define CGROUP_NAME 48

/* The groups this process is in, as directories; "": there is no such hierarchy. */
struct cgroup_places {
	char unified[CGROUP_PATH];                   /* v2 */
	char memory[CGROUP_PATH], pids[CGROUP_PATH]; /* v1 */
};
/* `proc` is "/proc/self", or a directory with files of those names. */
void cgroup_find(const char *proc, struct cgroup_places *p);

struct cgroup_base {
	enum cgroup_kind kind;
	bool cpu;                                    /* v2: cpu.max is there too */
	char memory[CGROUP_PATH], pids[CGROUP_PATH]; /* v2: both the same */
	char home[CGROUP_PATH]; /* v2: the group we were started in */
	char why[300];          /* CGROUP_NONE: why none */
};
/* Makes the base: of v2 where our own group was given to us (then the calling process
 * moves into a group beside the base), else of v1 where its hierarchies are writable.
 * `id` makes its name. Before other processes of the node are started. */
void cgroup_base_make(const struct cgroup_places *p, const char *id,
		      struct cgroup_base *b);
/* What cgroup_base_make would reach; leaves nothing. Of v2 it judges as if this process
 * and its parent were not in the group. */
void cgroup_base_try(const struct cgroup_places *p, struct cgroup_base *b);
/* Ends what is left in its groups and removes them, but for those whose name begins with
 * what `is_kept` (may be NULL) says; then the base, unless one was kept. False: something
 * is still ending: try again. */
bool cgroup_base_sweep(const struct cgroup_base *b, bool (*is_kept)(void *, const char *),
		       void *arg);
/* The sweep of all, tried for at most that long; of v2 the calling process goes back to
 * where it was. */
bool cgroup_base_remove(const struct cgroup_base *b, int patience_ms);

/* ---- a launcher's groups */

struct cgroup_pool {
	struct cgroup_base base;
	char prefix[CGROUP_NAME];
	int memory, pids; /* the base, open */
	struct list idle;
	unsigned idle_count, last;
};
/* One group: holds one jail at a time. */
struct cgroup_group {
	struct list node;
	char name[CGROUP_NAME + 16];
	uint64_t memory_bytes, out_of_memory; /* how often when it was taken */
	uint32_t processes;
};
/* How a process gets into a group: born into the directory (v2), or by writing "0" to
 * files that are open for that (v1). -1: none. */
struct cgroup_way {
	int into, join[2];
};

/* What the groups of one launcher's life are called. */
void cgroup_prefix(unsigned ordinal, struct uuid incarnation, char out[CGROUP_NAME]);
/* 0, or -1 and errno. Of CGROUP_NONE it does nothing. */
int cgroup_pool_open(struct cgroup_pool *p, const struct cgroup_base *b,
		     const char *prefix);
/* Removes the idle groups. */
void cgroup_pool_close(struct cgroup_pool *p);
/* A group with these limits and nobody in it, and the way into it, to be closed after
 * use. NULL and errno. */
struct cgroup_group *cgroup_take(struct cgroup_pool *p, uint64_t memory_bytes,
				 uint32_t processes, struct cgroup_way *way);
/* Other limits of a group that was taken, before what it is for starts in it. 0, or -1
 * and errno: it cannot be held to them. */
int cgroup_limit(const struct cgroup_pool *p, struct cgroup_group *g,
		 uint64_t memory_bytes, uint32_t processes);
void cgroup_way_close(struct cgroup_way *way);
/* The kernel ended one of its processes for want of memory. */
bool cgroup_ran_out(const struct cgroup_pool *p, const struct cgroup_group *g);
/* Ends everything in it, where the kernel can do that at once (v2). */
void cgroup_kill(const struct cgroup_pool *p, const struct cgroup_group *g);
/* Of a jail that has ended: for the next one, or removed. */
void cgroup_give_back(struct cgroup_pool *p, struct cgroup_group *g);

/* ---- files of a group; `at` a directory, file below it */

/* 0, or -1 and errno. */
int cgroup_write(int at, const char *file, const char *text);
/* Bytes read, out then ends with NUL; -1 and errno. */
int cgroup_read(int at, const char *file, char *out, unsigned size);

#endif
