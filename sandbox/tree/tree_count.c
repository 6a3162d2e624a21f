/* SPDX-License-Identifier: Apache-2.0
 * The count. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/dirs.h"
#include "sandbox/tree/tree.h"

#define DIRECTORY (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

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
	DIR *below = dir_of(enter(dir, name, st.st_mode));
	if (!below && errno != ENOENT && errno != ENOTDIR && errno != ELOOP)
		s->closed = true;
	return below;
}

void tree_count(int dir, uint64_t files_most, struct tree_sum *out)
{
	DIR *levels[TREE_DEPTH_MOST + 2];
	unsigned depth = 1;
	*out = (struct tree_sum){0};
	levels[1] = dir_open(dir, ".");
	if (!levels[1]) {
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
		if (dir_is_dots(e->d_name))
			continue;
		DIR *below = take(dirfd(d), e->d_name, depth, out);
		out->stopped = out->files > files_most;
		if (below)
			levels[++depth] = below;
	}
}
