/* SPDX-License-Identifier: Apache-2.0
 * The groups of one launcher. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/alloc.h"
#include "sandbox/cgroup/cgroup.h"

#define IDLE_MOST 16
/* More of it is left in a group than the next jail shall begin with: what it cached. */
#define LEFT_BYTES (16ull << 20)
/* The guard's own, and of a fork of the launcher what is written to. */
#ifdef TB_SANITIZED
#define OURS_BYTES (32ull << 20)
#else
#define OURS_BYTES (4ull << 20)
#endif
#define CPU_MOST "200000 100000" /* of two processors */

static bool is_v2(const struct cgroup_pool *p)
{
	return p->base.kind == CGROUP_V2;
}

static int put(int at, const struct cgroup_group *g, const char *file, uint64_t value)
{
	char path[128], text[24];
	snprintf(path, sizeof path, "%s/%s", g->name, file);
	snprintf(text, sizeof text, "%" PRIu64, value);
	return cgroup_write(at, path, text);
}

/* A number of a group's file, behind a word (NULL: the first); 0 when there is none. */
static uint64_t get(int at, const struct cgroup_group *g, const char *file,
		    const char *word)
{
	char path[128], text[1024];
	snprintf(path, sizeof path, "%s/%s", g->name, file);
	if (cgroup_read(at, path, text, sizeof text) <= 0)
		return 0;
	const char *found = word ? strstr(text, word) : text;
	return found ? strtoull(found + (word ? strlen(word) : 0), NULL, 10) : 0;
}

void cgroup_prefix(unsigned ordinal, struct uuid incarnation, char out[CGROUP_NAME])
{
	char text[UUID_TEXT_LEN + 1];
	uuid_format(incarnation, text);
	snprintf(out, CGROUP_NAME, "%u-%s.", ordinal, text + UUID_TEXT_LEN - 12);
}

int cgroup_pool_open(struct cgroup_pool *p, const struct cgroup_base *b,
		     const char *prefix)
{
	*p = (struct cgroup_pool){.base = *b, .memory = -1, .pids = -1};
	list_init(&p->idle);
	snprintf(p->prefix, sizeof p->prefix, "%s", prefix);
	if (b->kind == CGROUP_NONE)
		return 0;
	p->memory = open(b->memory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	p->pids = open(b->pids, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (p->memory >= 0 && p->pids >= 0)
		return 0;
	int e = errno;
	cgroup_pool_close(p);
	errno = e;
	return -1;
}

static int remove_group(const struct cgroup_pool *p, const struct cgroup_group *g)
{
	int rv = unlinkat(p->memory, g->name, AT_REMOVEDIR);
	if (rv && errno != ENOENT)
		return -1;
	if (!is_v2(p))
		rv = unlinkat(p->pids, g->name, AT_REMOVEDIR);
	return rv && errno != ENOENT ? -1 : 0;
}

void cgroup_pool_close(struct cgroup_pool *p)
{
	list_each (n, &p->idle) { /* which allows the removal of n */
		struct cgroup_group *g = list_entry(n, struct cgroup_group, node);
		remove_group(p, g);
		list_remove(&g->node);
		free(g);
	}
	if (p->memory >= 0)
		close(p->memory);
	if (p->pids >= 0)
		close(p->pids);
	p->base.kind = CGROUP_NONE;
	p->memory = p->pids = -1;
	p->idle_count = 0;
}

/* ---- limits */

/* Memory and swap together are never below memory alone: the one that grows goes first.
 */
static int limit_memory_v1(const struct cgroup_pool *p, const struct cgroup_group *g,
			   uint64_t bytes)
{
	static const char *const files[] = {"memory.limit_in_bytes",
					    "memory.memsw.limit_in_bytes"};
	bool grows = g->memory_bytes && bytes > g->memory_bytes;
	for (int i = 0; i < 2; i++) {
		int which = grows ? 1 - i : i;
		/* Swap is counted where the kernel was told to. */
		if (put(p->memory, g, files[which], bytes) &&
		    (which == 0 || errno != ENOENT))
			return -1;
	}
	return 0;
}

static int begin_v2(const struct cgroup_pool *p, const struct cgroup_group *g)
{
	char path[128];
	if (put(p->memory, g, "memory.swap.max", 0) && errno != ENOENT)
		return -1;
	if (put(p->memory, g, "memory.oom.group", 1) && errno != ENOENT)
		return -1;
	snprintf(path, sizeof path, "%s/cpu.max", g->name);
	return p->base.cpu ? cgroup_write(p->memory, path, CPU_MOST) : 0;
}

int cgroup_limit(const struct cgroup_pool *p, struct cgroup_group *g,
		 uint64_t memory_bytes, uint32_t processes)
{
	uint64_t bytes = memory_bytes + OURS_BYTES;
	processes++; /* its guard is one of them */
	if (bytes != g->memory_bytes) {
		int rv = is_v2(p) ? put(p->memory, g, "memory.max", bytes)
				  : limit_memory_v1(p, g, bytes);
		if (rv)
			return -1;
		g->memory_bytes = bytes;
	}
	if (processes != g->processes) {
		if (put(p->pids, g, "pids.max", processes))
			return -1;
		g->processes = processes;
	}
	return 0;
}

static uint64_t count_out_of_memory(const struct cgroup_pool *p,
				    const struct cgroup_group *g)
{
	/* The line of the group's kills; another one begins with the same letters. */
	return get(p->memory, g, is_v2(p) ? "memory.events" : "memory.oom_control",
		   "\noom_kill ");
}

/* ---- taking */

static struct cgroup_group *make(struct cgroup_pool *p)
{
	struct cgroup_group *g = xcalloc(1, sizeof *g);
	snprintf(g->name, sizeof g->name, "%s%u", p->prefix, ++p->last);
	if (mkdirat(p->memory, g->name, 0755) == 0) {
		if (is_v2(p) ? begin_v2(p, g) == 0 : mkdirat(p->pids, g->name, 0755) == 0)
			return g;
		int e = errno;
		unlinkat(p->memory, g->name, AT_REMOVEDIR);
		errno = e;
	}
	free(g);
	return NULL;
}

static int open_way(const struct cgroup_pool *p, const struct cgroup_group *g,
		    struct cgroup_way *w)
{
	char path[128];
	if (is_v2(p)) {
		w->into = openat(p->memory, g->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		return w->into < 0 ? -1 : 0;
	}
	/* Of its own, single thread a process may write this without a wait for all
	 * processors, which cgroup.procs would be. */
	snprintf(path, sizeof path, "%s/tasks", g->name);
	w->join[0] = openat(p->memory, path, O_WRONLY | O_CLOEXEC);
	w->join[1] = openat(p->pids, path, O_WRONLY | O_CLOEXEC);
	return w->join[0] < 0 || w->join[1] < 0 ? -1 : 0;
}

void cgroup_way_close(struct cgroup_way *w)
{
	const int fds[] = {w->into, w->join[0], w->join[1]};
	for (int i = 0; i < 3; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	*w = (struct cgroup_way){-1, {-1, -1}};
}

static void retire(struct cgroup_pool *p, struct cgroup_group *g)
{
	if (remove_group(p, g) == 0) {
		free(g);
		return;
	}
	list_push(&p->idle, &g->node); /* somebody in it is still ending */
	p->idle_count++;
}

static struct cgroup_group *next(struct cgroup_pool *p)
{
	struct list *n = list_pop(&p->idle);
	p->idle_count -= n != NULL;
	return n ? list_entry(n, struct cgroup_group, node) : NULL;
}

struct cgroup_group *cgroup_take(struct cgroup_pool *p, uint64_t memory_bytes,
				 uint32_t processes, struct cgroup_way *way)
{
	*way = (struct cgroup_way){-1, {-1, -1}};
	for (int fresh = 0; fresh < 2; fresh++) { /* a used one may refuse its limits */
		struct cgroup_group *g = fresh ? make(p) : next(p);
		if (!g)
			continue;
		if (cgroup_limit(p, g, memory_bytes, processes) == 0 &&
		    open_way(p, g, way) == 0) {
			g->out_of_memory = count_out_of_memory(p, g);
			return g;
		}
		int e = errno;
		cgroup_way_close(way);
		retire(p, g);
		errno = e;
	}
	return NULL;
}

bool cgroup_ran_out(const struct cgroup_pool *p, const struct cgroup_group *g)
{
	return count_out_of_memory(p, g) > g->out_of_memory;
}

void cgroup_kill(const struct cgroup_pool *p, const struct cgroup_group *g)
{
	if (is_v2(p))
		put(p->memory, g, "cgroup.kill", 1);
}

void cgroup_give_back(struct cgroup_pool *p, struct cgroup_group *g)
{
	uint64_t left = get(p->memory, g,
			    is_v2(p) ? "memory.current" : "memory.usage_in_bytes", NULL);
	if (p->idle_count >= IDLE_MOST || left > LEFT_BYTES) {
		retire(p, g);
		return;
	}
	list_push(&p->idle, &g->node);
	p->idle_count++;
}
