/* SPDX-License-Identifier: Apache-2.0
 * The count. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sandbox/tree/tree.h"

#define DIRECTORY (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

static bool is_dots(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..");
}

static int enter(int dir, const char *name, mode_t mode)
{
	int fd = openat(dir, name, DIRECTORY);
	if (fd < 0 && errno == EACCES && !fchmodat(dir, name, (mode & 07777) | 0700, 0))
		fd = openat(dir, name, DIRECTORY);
	return fd;
}

static void add(struct tree_sum *s, const struct stat *st)
{
	uint64_t links = S_ISDIR(st->st_mode) || !st->st_nlink ? 1 : st->st_nlink;
	s->files++;
	s->bytes += (uint64_t)st->st_blocks * 512 / links;
}

/* The directory below, open, when this entry is one; NULL otherwise. */
static DIR *take(int dir, const char *name, unsigned depth, struct tree_sum *s)
{
	struct stat st;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW)) /* gone meanwhile */
		return NULL;
	add(s, &st);
	if (!S_ISDIR(st.st_mode))
		return NULL;
	if (depth > TREE_DEPTH_MOST) {
		s->too_deep = true;
		return NULL;
	}
	int fd = enter(dir, name, st.st_mode);
	DIR *below = fd < 0 ? NULL : fdopendir(fd);
	if (!below && fd >= 0)
		close(fd);
	if (!below && errno != ENOENT && errno != ENOTDIR && errno != ELOOP)
		s->closed = true;
	return below;
}

void tree_count(int dir, uint64_t files_most, struct tree_sum *out)
{
	DIR *levels[TREE_DEPTH_MOST + 2];
	unsigned depth = 1;
	int own = openat(dir, ".", DIRECTORY);
	*out = (struct tree_sum){0};
	levels[1] = own < 0 ? NULL : fdopendir(own);
	if (!levels[1]) {
		if (own >= 0)
			close(own);
		out->closed = true;
		return;
	}
	while (depth) {
		DIR *d = levels[depth];
		const struct dirent *e = out->stopped ? NULL : readdir(d);
		if (!e) {
			closedir(d);
			depth--;
			continue;
		}
		if (is_dots(e->d_name))
			continue;
		DIR *below = take(dirfd(d), e->d_name, depth, out);
		out->stopped = out->files > files_most;
		if (below)
			levels[++depth] = below;
	}
}
