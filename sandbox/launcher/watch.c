/* SPDX-License-Identifier: Apache-2.0
 * A walk over /proc/PID/task/PID/children: orphans of a jail become its guard's, so that
 * none is missed. */
#include "sandbox/launcher/watch.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PROCESSES_MOST 4096

/* A small file; its length, 0 when it cannot be read. */
static size_t read_file(const char *path, char *out, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
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
	if (!read_file(path, text, sizeof text) ||
	    sscanf(text, "%lu %lu", &total, &pages) != 2)
		return 0;
	return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t watch_memory(pid_t root)
{
	static pid_t found[PROCESSES_MOST];
	static char text[65536];
	unsigned n = 1;
	uint64_t bytes = 0;
	found[0] = root;
	for (unsigned i = 0; i < n; i++) {
		char path[64], *at = text, *end;
		bytes += resident(found[i]);
		snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)found[i],
			 (int)found[i]);
		if (!read_file(path, text, sizeof text))
			continue;
		for (long pid; n < PROCESSES_MOST && (pid = strtol(at, &end, 10)) > 0;
		     at = end)
			found[n++] = (pid_t)pid;
	}
	return bytes;
}
