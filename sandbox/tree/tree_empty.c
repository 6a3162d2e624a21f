/* SPDX-License-Identifier: Apache-2.0
 * The removal. No recursion and two descriptors, however deep the tree is: what is below
 * comes up first. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sandbox/tree/tree.h"

#define DIRECTORY (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

struct emptying {
	int top;
	uint64_t removed, moved;
	unsigned next;
	int error; /* the last one */
};

static bool is_dots(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..");
}

static DIR *open_in(int dir, const char *name)
{
	int fd = openat(dir, name, DIRECTORY);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d && fd >= 0)
		close(fd);
	return d;
}

/* What its owner locked he may unlock. */
static void unlock(int dir, const char *name)
{
	struct stat st;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode) &&
	    (st.st_mode & 0700) != 0700)
		fchmodat(dir, name, 0700, 0);
}

/* 0: gone; ENOTEMPTY: a directory that holds something. */
static int take_away(struct emptying *e, int dir, const char *name)
{
	if (unlinkat(dir, name, 0) == 0) {
		e->removed++;
		return 0;
	}
	if (errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return errno;
	if (unlinkat(dir, name, AT_REMOVEDIR) == 0) {
		e->removed++;
		return 0;
	}
	return errno == EEXIST ? ENOTEMPTY : errno;
}

static int move_up(struct emptying *e, int dir, const char *name)
{
	char up[32];
	unlock(dir, name); /* its ".." changes */
	for (;;) {
		snprintf(up, sizeof up, ".gone-%x", e->next++);
		if (renameat2(dir, name, e->top, up, RENAME_NOREPLACE) == 0) {
			e->moved++;
			return 0;
		}
		if (errno != EEXIST)
			return errno;
	}
}

/* A directory of the top: its files go, its directories come up, then it goes. */
static int flatten(struct emptying *e, const char *name)
{
	int error = 0;
	unlock(e->top, name);
	DIR *d = open_in(e->top, name);
	if (!d)
		return errno;
	for (const struct dirent *n; (n = readdir(d));) {
		if (is_dots(n->d_name))
			continue;
		int rv = take_away(e, dirfd(d), n->d_name);
		if (rv == ENOTEMPTY)
			rv = move_up(e, dirfd(d), n->d_name);
		error = rv ? rv : error;
	}
	closedir(d);
	if (unlinkat(e->top, name, AT_REMOVEDIR) == 0) {
		e->removed++;
		return 0;
	}
	return error ? error : errno;
}

/* false: nothing was there. */
static bool pass(struct emptying *e)
{
	bool any = false;
	DIR *d = open_in(e->top, ".");
	if (!d) {
		e->error = errno;
		return true;
	}
	for (const struct dirent *n; (n = readdir(d));) {
		if (is_dots(n->d_name))
			continue;
		any = true;
		int rv = take_away(e, e->top, n->d_name);
		if (rv == ENOTEMPTY)
			rv = flatten(e, n->d_name);
		e->error = rv ? rv : e->error;
	}
	closedir(d);
	return any;
}

int tree_empty(int dir, uint64_t *removed)
{
	struct emptying e = {.top = dir};
	for (;;) {
		uint64_t before = e.removed + e.moved;
		e.error = 0;
		if (!pass(&e)) {
			e.error = 0;
			break;
		}
		/* A pass that got nowhere: somebody fills it, or it may not be removed.
		 */
		if (e.removed + e.moved == before && e.error)
			break;
	}
	if (removed)
		*removed = e.removed;
	return e.error;
}
