/* SPDX-License-Identifier: Apache-2.0
 * A walk over /proc/PID/task/TID/children: orphans of a jail become its guard's, so that
 * none is missed. */
#include "sandbox/launcher/watch.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PROCESSES_MOST 4096

/* A small file, which is closed; its length, 0 when it cannot be read. */
static size_t read_whole(int fd, char *out, size_t size)
{
	if (fd < 0)
		return 0;
	ssize_t n = read(fd, out, size - 1);
	close(fd);
	out[n > 0 ? n : 0] = 0;
	return n > 0 ? (size_t)n : 0;
}

static uint64_t resident(pid_t pid)
{
	char path[64], text[256];
	unsigned long total, pages;
	snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
	if (!read_whole(open(path, O_RDONLY | O_CLOEXEC), text, sizeof text) ||
	    sscanf(text, "%lu %lu", &total, &pages) != 2)
		return 0;
	return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

struct found {
	pid_t pids[PROCESSES_MOST];
	unsigned n;
};

static void add_children_of(struct found *f, int tasks, const char *tid)
{
	static char text[65536];
	char path[64], *at = text, *end;
	snprintf(path, sizeof path, "%.20s/children", tid);
	int fd = openat(tasks, path, O_RDONLY | O_CLOEXEC);
	if (!read_whole(fd, text, sizeof text))
		return;
	for (long pid; f->n < PROCESSES_MOST && (pid = strtol(at, &end, 10)) > 0;
	     at = end)
		f->pids[f->n++] = (pid_t)pid;
}

/* A child belongs to the thread that forked it, whichever of them that is. */
static void add_children(struct found *f, pid_t pid)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
	DIR *tasks = opendir(path);
	if (!tasks)
		return;
	for (const struct dirent *e; (e = readdir(tasks));)
		if (e->d_name[0] != '.')
			add_children_of(f, dirfd(tasks), e->d_name);
	closedir(tasks);
}

uint64_t watch_memory(pid_t root)
{
	static struct found f;
	uint64_t bytes = 0;
	f.n = 1;
	f.pids[0] = root;
	for (unsigned i = 0; i < f.n; i++) {
		bytes += resident(f.pids[i]);
		add_children(&f, f.pids[i]);
	}
	return bytes;
}
