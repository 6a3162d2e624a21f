/* SPDX-License-Identifier: Apache-2.0
 * The base of control groups, and who cleans up. */
#include "supervisor/groups.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/attr.h"
#include "common/log.h"
#include "common/loop.h"
#include "supervisor/children.h"
#include "supervisor/sup.h"

#define AGAIN_US 50000
#define PATIENCE_MS 1000
#define RECORD_BYTES 4096

struct groups {
	struct sup *sup;
	struct cgroup_base base;
	char record[4200]; /* the file's name */
	int record_fd;     /* and it, locked */
	struct loop_timer *again;
};

/* ---- what dead nodes left */

/* False: some of it is still there. */
static bool remove_listed(char *text)
{
	bool gone = true;
	char *rest = text;
	for (char *line; (line = strsep(&rest, "\n"));) {
		struct cgroup_base b = {.kind = CGROUP_V1};
		if (!*line || strlen(line) >= CGROUP_PATH)
			continue;
		memcpy(b.memory, line, strlen(line));
		memcpy(b.pids, line, strlen(line));
		gone &= cgroup_base_remove(&b, PATIENCE_MS);
	}
	return gone;
}

static void bury(int dir, const char *name)
{
	char text[RECORD_BYTES];
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return;
	ssize_t n = flock(fd, LOCK_EX | LOCK_NB) ? -1 : read(fd, text, sizeof text - 1);
	if (n >= 0) {
		text[n] = 0;
		if (remove_listed(text))
			unlinkat(dir, name, 0);
		else
			log_warn(
				"groups-left",
				"record=\"%s\" message=\"processes of a dead node do not "
				"end\"",
				name);
	}
	close(fd);
}

static void bury_dead(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	for (const struct dirent *e; d && (e = readdir(d));)
		if (e->d_name[0] != '.')
			bury(fd, e->d_name);
	if (d)
		closedir(d);
	else if (fd >= 0)
		close(fd);
}

/* ---- from root to the node's user */

/* Of a hierarchy of v1: where the node's user may make groups. */
static void name_delegated(const struct sup *s, char own[CGROUP_PATH])
{
	size_t n = strlen(own);
	if (n && n + 20 < CGROUP_PATH)
		snprintf(own + n, CGROUP_PATH - n, "/terabits.%u", (unsigned)s->uid);
}

static void delegate_v1(const struct sup *s, char own[CGROUP_PATH])
{
	name_delegated(s, own);
	/* What is refused is found out, and said, by who makes the base. */
	if (*own && (mkdir(own, 0755) == 0 || errno == EEXIST) &&
	    lchown(own, s->uid, s->gid))
		log_debug("groups-kept", "path=\"%s\"", own);
}

static void delegate_v2(const struct sup *s, const char *own)
{
	static const char *const files[] = {"cgroup.procs", "cgroup.threads",
					    "cgroup.subtree_control", "."};
	int fd = *own ? open(own, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	char text[512] = "";
	/* Not one that has no controllers for us, such as the topmost of a hybrid. */
	bool is_ours =
		fd >= 0 && cgroup_read(fd, "cgroup.controllers", text, sizeof text) > 0 &&
		strstr(text, "memory") && faccessat(fd, "cgroup.type", F_OK, 0) == 0;
	for (size_t i = 0; is_ours && i < ARRAY_LEN(files); i++)
		if (fchownat(fd, files[i], s->uid, s->gid, AT_SYMLINK_NOFOLLOW))
			log_debug("groups-kept", "path=\"%s/%s\"", own, files[i]);
	if (fd >= 0)
		close(fd);
}

void groups_delegate(const struct sup *s)
{
	struct cgroup_places p;
	if (!s->was_root)
		return;
	cgroup_find("/proc/self", &p);
	delegate_v2(s, p.unified);
	delegate_v1(s, p.memory);
	delegate_v1(s, p.pids);
}

/* ---- the base */

/* Every directory that may be made now, before one is. */
static bool record(struct groups *g, const char *dir, const char *id,
		   const struct cgroup_places *p)
{
	const char *const own[] = {p->unified, p->memory, p->pids};
	snprintf(g->record, sizeof g->record, "%s/%s", dir, id);
	if ((mkdir(dir, 0700) && errno != EEXIST) ||
	    (g->record_fd =
		     open(g->record, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600)) < 0)
		return false;
	if (flock(g->record_fd, LOCK_EX | LOCK_NB))
		return false;
	for (int i = 0; i < 3; i++)
		if (*own[i] && dprintf(g->record_fd, "%s/terabits-%s\n", own[i], id) < 0)
			return false;
	return true;
}

static void on_again(void *arg)
{
	groups_sweep(arg);
}

struct groups *groups_new(struct sup *s)
{
	struct groups *g = xcalloc(1, sizeof *g);
	struct cgroup_places places;
	char dir[4140], id[UUID_TEXT_LEN + 1];
	*g = (struct groups){.sup = s, .record_fd = -1};
	g->again = loop_timer_new(s->loop, on_again, g);
	uuid_format(s->node, id);
	memmove(id, id + UUID_TEXT_LEN - 12, 13);
	snprintf(dir, sizeof dir, "%s/cgroups", s->config.state_dir);
	bury_dead(dir);
	cgroup_find("/proc/self", &places);
	if (s->was_root) {
		name_delegated(s, places.memory);
		name_delegated(s, places.pids);
	}
	if (record(g, dir, id, &places))
		cgroup_base_make(&places, id, &g->base);
	else
		snprintf(g->base.why, sizeof g->base.why,
			 "the state directory cannot be written: %s",
			 strerrordesc_np(errno));
	if (g->base.kind == CGROUP_NONE && g->record_fd >= 0) {
		unlink(g->record);
		close(g->record_fd);
		g->record_fd = -1;
	}
	return g;
}

const struct cgroup_base *groups_base(const struct groups *g)
{
	return &g->base;
}

void groups_fill(const struct groups *g, struct wire_boot *b)
{
	b->cgroup = g->base.kind;
	b->cgroup_cpu = g->base.cpu;
	b->cgroup_memory = slice_str(g->base.memory);
	b->cgroup_pids = slice_str(g->base.pids);
}

/* ---- the end of launchers, and of the node */

static bool is_of_living(void *arg, const char *name)
{
	const struct sup *s = arg;
	char prefix[CGROUP_NAME];
	list_each (n, &s->children) {
		const struct child *c = list_entry(n, struct child, node);
		if (c->launcher_pid <= 0)
			continue;
		cgroup_prefix((unsigned)c->ordinal, c->launcher_life, prefix);
		if (!strncmp(name, prefix, strlen(prefix)))
			return true;
	}
	return false;
}

void groups_sweep(struct groups *g)
{
	if (g->base.kind == CGROUP_NONE)
		return;
	if (!cgroup_base_sweep(&g->base, is_of_living, g->sup))
		loop_timer_start(g->again, AGAIN_US);
}

void groups_free(struct groups *g)
{
	if (g->base.kind != CGROUP_NONE && cgroup_base_remove(&g->base, PATIENCE_MS))
		unlink(g->record);
	if (g->record_fd >= 0)
		close(g->record_fd);
	loop_timer_free(g->again);
	free(g);
}
