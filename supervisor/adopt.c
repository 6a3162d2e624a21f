/* SPDX-License-Identifier: Apache-2.0
 * By descriptors, for who owned these directories before could put a link in the place of
 * a name between a look and an act. */
#include "supervisor/adopt.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/attr.h"
#include "common/die.h"
#include "common/dirs.h"
#include "common/ident.h"
#include "common/log.h"
#include "common/slice.h"
#include "supervisor/identity.h"
#include "supervisor/sup.h"
#include "supervisor/workspaces.h"

/* What the node makes in its state directory; the database's own files are not among it.
 */
static const struct {
	const char *name;
	int levels; /* of names below it */
} ours[] = {{"secrets", 1}, {"token", 0}, {"workspaces", 1}, {"cgroups", 1}, {"log", 1}};

/* ---- root's, to the node's user */

/* One entry; its type, 0 when there is none. */
static mode_t take(const struct sup *s, int dir, const char *name)
{
	struct stat st;
	AUTO(auto_close)
	int fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st))
		return 0;
	bool is_plain = S_ISDIR(st.st_mode) || (S_ISREG(st.st_mode) && st.st_nlink == 1);
	if (st.st_uid == 0 && is_plain && fchownat(fd, "", s->uid, s->gid, AT_EMPTY_PATH))
		fatal("%s of the state directory cannot be given to the user %s: %s",
		      name, s->config.user, strerror(errno));
	return st.st_mode & S_IFMT;
}

static void take_below(const struct sup *s, int dir, const char *name, int levels)
{
	if (take(s, dir, name) != S_IFDIR || !levels)
		return;
	DIR *d = dir_open(dir, name);
	for (const struct dirent *e; d && (e = readdir(d));)
		if (!dir_is_dots(e->d_name))
			take_below(s, dirfd(d), e->d_name, levels - 1);
	if (d)
		closedir(d);
}

/* The directory, open; -1: it is not there yet. One of root's must be a node's: empty, or
 * with that mark in it. */
static int take_directory(const struct sup *s, const char *path, const char *mark,
			  const char *setting)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st))
		return -1;
	if (st.st_uid != 0)
		return fd;
	if (faccessat(fd, mark, F_OK, AT_SYMLINK_NOFOLLOW) && !dir_is_empty(fd))
		fatal_usage("%s belongs to root and is no directory of a node's own: set "
			    "%s to another one, or give it to the user %s (chown)",
			    path, setting, s->config.user);
	if (fchown(fd, s->uid, s->gid))
		fatal("%s cannot be given to the user %s: %s", path, s->config.user,
		      strerror(errno));
	return fd;
}

static void take_state(const struct sup *s)
{
	AUTO(auto_close)
	int fd = take_directory(s, s->config.state_dir, "secrets", "TERABITS_STATE_DIR");
	for (size_t i = 0; fd >= 0 && i < ARRAY_LEN(ours); i++)
		take_below(s, fd, ours[i].name, ours[i].levels);
}

static void take_runtime(const struct sup *s)
{
	const char *path = s->config.runtime_dir;
	if (!*path)
		return;
	mkdir(path, 0711); /* what is wrong with it is said by who uses it */
	AUTO(auto_close)
	int fd = take_directory(s, path, "l", "TERABITS_RUNTIME_DIR");
	if (fd >= 0)
		take(s, fd, "l");
}

/* ---- the node's, to its tenants */

/* False: something could not be given. What is in a directory goes before it, so that an
 * interrupted one is gone on with. */
static bool give_tree(const struct sup *s, char *path, uid_t uid)
{
	char *const roots[] = {path, NULL};
	bool whole = true;
	FTS *all = fts_open(roots, FTS_PHYSICAL | FTS_XDEV, NULL);
	for (const FTSENT *e; all && (e = fts_read(all));) {
		if (e->fts_info == FTS_D)
			continue;
		const struct stat *st = e->fts_statp;
		if (e->fts_info == FTS_NS || st->st_uid == uid)
			continue;
		if ((st->st_uid != 0 && st->st_uid != s->uid) ||
		    fchownat(AT_FDCWD, e->fts_accpath, uid, uid, AT_SYMLINK_NOFOLLOW))
			whole = false;
	}
	if (all)
		fts_close(all);
	return all && whole;
}

/* A workspace is named by an id alone; another directory is ours, and may hold some. */
static void give_workspaces_of(const struct sup *s, const char *path, uid_t uid)
{
	DIR *d = opendir(path);
	struct stat st;
	struct uuid id;
	for (const struct dirent *e; d && (e = readdir(d));) {
		char below[PATH_MAX];
		if (e->d_name[0] == '.' ||
		    fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) ||
		    !S_ISDIR(st.st_mode) || st.st_uid == uid)
			continue;
		if ((size_t)snprintf(below, sizeof below, "%s/%s", path, e->d_name) >=
		    sizeof below)
			continue;
		if (!uuid_parse(slice_str(e->d_name), &id) &&
		    strcmp(e->d_name, WORKSPACES_SKILLS))
			give_workspaces_of(s, below, uid);
		else if (!give_tree(s, below, uid))
			log_warn("workspace-kept",
				 "path=\"%s\" message=\"some of it "
				 "belongs to another user still\"",
				 below);
	}
	if (d)
		closedir(d);
}

static void give_workspaces(const struct sup *s)
{
	char all[PATH_MAX], path[PATH_MAX + 300];
	long long tenant;
	snprintf(all, sizeof all, "%.4000s/workspaces", s->config.state_dir);
	DIR *d = opendir(all);
	for (const struct dirent *e; d && (e = readdir(d));) {
		if (!slice_to_i64(slice_str(e->d_name), &tenant))
			continue;
		snprintf(path, sizeof path, "%s/%s", all, e->d_name);
		give_workspaces_of(s, path, identity_of_tenant(tenant));
	}
	if (d)
		closedir(d);
}

void adopt(const struct sup *s)
{
	if (geteuid() == 0) {
		take_state(s);
		take_runtime(s);
	}
	if (s->tenant_uids)
		give_workspaces(s);
}
