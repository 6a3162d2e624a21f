/* SPDX-License-Identifier: Apache-2.0
 * Counts, each by a process that ends with it. */
#include "sandbox/launcher/rooms.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/attr.h"
#include "common/clock.h"
#include "common/log.h"

#define GOOD_US 500000
#define SHARE 10 /* a count may take that part of the time */
#define LONGEST_S 60
#define ROOMS_MOST 256
/* How a workspace gets fuller or emptier shall be seen beyond its quota, too. */
#define COUNTED_MOST(files) (2 * (files) + 1000)

static int64_t pause_us(const struct room *r)
{
	return r->took_us * SHARE > GOOD_US ? r->took_us * SHARE : GOOD_US;
}

bool room_is_counted(const struct room *r)
{
	return r->counted_us && clock_mono_us() - r->counted_us < pause_us(r);
}

bool room_is_due(const struct room *r)
{
	return !r->counter && clock_mono_us() - r->ended_us >= pause_us(r);
}

void room_forget_count(struct room *r)
{
	r->counted_us = 0;
	r->is_spoilt = r->counter != 0;
}

/* ---- the count, in its process */

static int open_workspace(const struct grant *g)
{
	struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
			       .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
	struct stat st;
	int fd = (int)syscall(SYS_openat2, AT_FDCWD, g->workspace, &how, sizeof how);
	if (fd < 0 || fstat(fd, &st) || st.st_dev != g->dev || st.st_ino != g->ino)
		_exit(1);
	return fd;
}

NORETURN static void count(const struct jail_host *h, const struct grant *g, int result)
{
	struct tree_sum sum;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, "count", 0, 0, 0);
	alarm(LONGEST_S);
	int fd = open_workspace(g);
	if (h->identity == JAIL_SWITCH_UID &&
	    (setgroups(0, NULL) || setresgid(g->uid, g->uid, g->uid) ||
	     setresuid(g->uid, g->uid, g->uid)))
		_exit(2);
	int out = fcntl(result, F_DUPFD, 3), dir = fcntl(fd, F_DUPFD, 3);
	if (out < 0 || dir < 0 || dup2(out, 0) < 0 || dup2(dir, 1) < 0)
		_exit(3);
	close_range(3, ~0U, 0); /* descriptors for its levels */
	tree_count(1, COUNTED_MOST(g->quota_files), &sum);
	_exit(write(0, &sum, sizeof sum) == sizeof sum ? 0 : 4);
}

int room_count(struct room *r, const struct jail_host *h, const struct grant *g)
{
	int ends[2];
	if (r->counter)
		return 0;
	if (pipe2(ends, O_CLOEXEC))
		return -1;
	r->began_us = clock_mono_us();
	pid_t pid = fork();
	if (pid == 0)
		count(h, g, ends[1]);
	close(ends[1]);
	if (pid < 0) {
		close(ends[0]);
		return -1;
	}
	r->counter = pid;
	r->result = ends[0];
	return 0;
}

/* ---- what it said */

static void take(struct room *r)
{
	struct tree_sum sum;
	int how = 0;
	bool told = read(r->result, &sum, sizeof sum) == sizeof sum;
	close(r->result);
	while (waitpid(r->counter, &how, 0) < 0 && errno == EINTR)
		;
	if (!told) {
		log_error("count-failed", "status=%d", how);
		sum = (struct tree_sum){.closed = true};
	}
	r->counter = 0;
	r->result = -1;
	r->sum = sum;
	r->ended_us = clock_mono_us();
	r->took_us = r->ended_us - r->began_us;
	r->counted_us = r->is_spoilt ? 0 : r->ended_us;
	r->is_spoilt = false;
	r->is_new = true;
}

unsigned rooms_poll(const struct list *rooms, struct pollfd *p, unsigned most)
{
	unsigned n = 0;
	list_each (at, rooms) {
		const struct room *r = list_entry(at, struct room, node);
		if (r->counter && n < most)
			p[n++] = (struct pollfd){.fd = r->result, .events = POLLIN};
	}
	return n;
}

void rooms_look(struct list *rooms)
{
	list_each (at, rooms) {
		struct room *r = list_entry(at, struct room, node);
		struct pollfd p = {.fd = r->result, .events = POLLIN};
		if (r->counter && poll(&p, 1, 0) > 0)
			take(r);
	}
}

struct room *rooms_next(struct list *rooms)
{
	list_each (at, rooms) {
		struct room *r = list_entry(at, struct room, node);
		if (r->is_new) {
			r->is_new = false;
			return r;
		}
	}
	return NULL;
}

uint64_t room_left(const struct room *r)
{
	uint64_t used = r->sum.bytes + r->reserved_bytes;
	return used < r->most_bytes ? r->most_bytes - used : 0;
}

bool room_is_full(const struct room *r, char text[ROOMS_TEXT])
{
	const struct tree_sum *s = &r->sum;
	if (s->closed)
		snprintf(text, ROOMS_TEXT,
			 "the workspace cannot be counted: a directory in it may not be "
			 "read by its owner; chmod u+rwx it");
	else if (s->too_deep)
		snprintf(text, ROOMS_TEXT,
			 "the workspace is nested deeper than %d directories; remove "
			 "those",
			 TREE_DEPTH_MOST);
	else if (s->files > r->most_files)
		snprintf(text, ROOMS_TEXT,
			 "the workspace is over its quota: %s%llu of %llu files; remove "
			 "files",
			 s->stopped ? "more than " : "",
			 (unsigned long long)(s->files - s->stopped),
			 (unsigned long long)r->most_files);
	else if (s->bytes > r->most_bytes)
		snprintf(text, ROOMS_TEXT,
			 "the workspace is over its quota: %llu of %llu bytes; remove "
			 "files",
			 (unsigned long long)s->bytes, (unsigned long long)r->most_bytes);
	else
		return false;
	return true;
}

/* ---- all of them */

static void forget_oldest(struct list *rooms)
{
	unsigned n = 0;
	struct room *idle = NULL;
	list_each (at, rooms) {
		struct room *r = list_entry(at, struct room, node);
		n++;
		if (!idle && !r->jails && !r->counter)
			idle = r;
	}
	if (n < ROOMS_MOST || !idle)
		return;
	list_remove(&idle->node);
	free(idle);
}

struct room *room_of(struct list *rooms, const struct grant *g)
{
	struct room *r = NULL;
	list_each (at, rooms) {
		struct room *one = list_entry(at, struct room, node);
		if (one->dev == g->dev && one->ino == g->ino)
			r = one;
	}
	if (!r) {
		forget_oldest(rooms);
		r = xcalloc(1, sizeof *r);
		*r = (struct room){.dev = g->dev, .ino = g->ino, .result = -1};
		list_push(rooms, &r->node);
	}
	r->most_bytes = g->quota_bytes;
	r->most_files = g->quota_files;
	return r;
}
