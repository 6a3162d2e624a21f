/* SPDX-License-Identifier: Apache-2.0
 * What programs may not change of a workspace, because somebody outside would obey it:
 * the hooks and settings of git repositories, and .terabits.
 *
 * A read-only mount lies over each; a mount also keeps its name: it can be neither
 * renamed nor removed from in here. So .git itself, and the directories above it, are
 * mounted over themselves, writable: a whole repository cannot be moved away to make room
 * for another of its name. What is missing is made, empty, for a name that does not exist
 * cannot be held. A file that has a second name gets a copy of its own first: it would be
 * written by the other name.
 *
 * Never: follows a link, or does anything with more rights than the tenant has, but for
 * the mounts. Residue: docs/sandbox.md. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/attr.h"
#include "sandbox/jail/guard.h"

#define DEPTH_MOST 3          /* directories between the workspace and a .git */
#define DIRECTORIES_MOST 2048 /* looked into for one */
#define PATH_MOST 1024
#define COPY_MOST (4u << 20)

enum held { HELD_WRITABLE, HELD_READ_ONLY };

struct place {
	struct place *next;
	unsigned depth;
	char path[]; /* from the workspace */
};

struct protect {
	const struct birth *b;
	int workspace;
	struct place *first, **last;
	struct place *held; /* what is a mount already */
	unsigned seen;
};

/* ---- opening */

/* Anew by its path each time: so what is mounted there meanwhile is found. */
static int open_at(const struct protect *p, const char *path, int flags)
{
	struct open_how how = {
		.flags = (uint64_t)(unsigned)flags | O_CLOEXEC | O_NOFOLLOW,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
	return (int)syscall(SYS_openat2, p->workspace, *path ? path : ".", &how,
			    sizeof how);
}

/* S_IFMT of what is there; 0: nothing, or nothing that we reach. */
static mode_t kind_at(const struct protect *p, const char *path)
{
	struct stat st;
	AUTO(auto_close) int fd = open_at(p, path, O_PATH);
	return fd >= 0 && fstat(fd, &st) == 0 ? st.st_mode & S_IFMT : 0;
}

static DIR *list_at(const struct protect *p, const char *path)
{
	int fd = open_at(p, path, O_RDONLY | O_DIRECTORY);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d && fd >= 0)
		close(fd);
	return d;
}

/* false: too long to be looked at. */
static bool join(char out[PATH_MOST], const char *dir, const char *name)
{
	return snprintf(out, PATH_MOST, "%s%s%s", dir, *dir ? "/" : "", name) < PATH_MOST;
}

static struct place *place_new(const char *path, unsigned depth)
{
	struct place *f = xmalloc(sizeof *f + strlen(path) + 1);
	f->next = NULL;
	f->depth = depth;
	strcpy(f->path, path);
	return f;
}

/* ---- holding */

static bool is_held(const struct protect *p, const char *path)
{
	for (const struct place *h = p->held; h; h = h->next)
		if (!strcmp(h->path, path))
			return true;
	return false;
}

/* Mounts it over itself. */
static void hold(struct protect *p, const char *path, enum held how)
{
	struct mount_attr read_only = {.attr_set = MOUNT_ATTR_RDONLY};
	if (is_held(p, path))
		return;
	AUTO(auto_close) int at = open_at(p, path, O_PATH);
	if (at < 0)
		birth_fail(p->b, "open", path);
	AUTO(auto_close)
	int tree = open_tree(at, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
	if (tree < 0)
		birth_fail(p->b, "open_tree", path);
	if (how == HELD_READ_ONLY &&
	    mount_setattr(tree, "", AT_EMPTY_PATH, &read_only, sizeof read_only))
		birth_fail(p->b, "mount_setattr", path);
	if (move_mount(tree, "", at, "",
		       MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH))
		birth_fail(p->b, "move_mount", path);
	struct place *h = place_new(path, 0);
	h->next = p->held;
	p->held = h;
}

static void hold_above(struct protect *p, const char *path)
{
	char above[PATH_MOST];
	for (const char *at = strchr(path, '/'); at; at = strchr(at + 1, '/')) {
		snprintf(above, sizeof above, "%.*s", (int)(at - path), path);
		hold(p, above, HELD_WRITABLE);
	}
}

/* ---- a file with two names */

static bool copy(int from, int to)
{
	char piece[16384];
	size_t all = 0;
	for (ssize_t n; (n = read(from, piece, sizeof piece)) != 0;) {
		all += n > 0 ? (size_t)n : 0;
		if (n < 0 || all > COPY_MOST || write(to, piece, (size_t)n) != n)
			return false;
	}
	return true;
}

/* What cannot be copied goes: better no hook than one that somebody else writes. */
static void part(int dir, const char *name, mode_t mode)
{
	const char *temp = ".tb-write-part";
	AUTO(auto_close)
	int from = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	unlinkat(dir, temp, 0);
	AUTO(auto_close)
	int to = openat(dir, temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (from >= 0 && to >= 0 && copy(from, to) && !fchmod(to, mode & 0777) &&
	    !renameat(dir, temp, dir, name))
		return;
	unlinkat(dir, temp, 0);
	unlinkat(dir, name, 0);
}

static void part_if_shared(int dir, const char *name)
{
	struct stat st;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
	    st.st_nlink > 1)
		part(dir, name, st.st_mode);
}

static void part_all(const struct protect *p, const char *path)
{
	DIR *d = list_at(p, path);
	for (const struct dirent *e; d && (e = readdir(d));)
		part_if_shared(dirfd(d), e->d_name);
	if (d)
		closedir(d);
}

/* ---- one repository */

static void make_directory(int dir, const char *name)
{
	if (dir >= 0)
		mkdirat(dir, name, 0755); /* a full disk makes none: then it is open */
}

static void make_file(int dir, const char *name)
{
	int fd = dir < 0 ? -1
			 : openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
				  0644);
	if (fd >= 0)
		close(fd);
}

/* Its hooks and its settings. */
static void hold_settings(struct protect *p, const char *git)
{
	static const char *const files[] = {"config", "config.worktree"};
	char path[PATH_MOST];
	AUTO(auto_close) int dir = open_at(p, git, O_RDONLY | O_DIRECTORY);
	make_directory(dir, "hooks");
	make_file(dir, "config");
	if (join(path, git, "hooks") && S_ISDIR(kind_at(p, path))) {
		part_all(p, path);
		hold(p, path, HELD_READ_ONLY);
	}
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		if (!join(path, git, files[i]) || !S_ISREG(kind_at(p, path)))
			continue;
		part_if_shared(dir, files[i]);
		hold(p, path, HELD_READ_ONLY);
	}
}

/* The repositories of its submodules. */
static void hold_modules(struct protect *p, const char *modules, unsigned depth)
{
	char path[PATH_MOST], config[PATH_MOST];
	DIR *d = list_at(p, modules);
	for (const struct dirent *e;
	     d && p->seen < DIRECTORIES_MOST && (e = readdir(d));) {
		if (e->d_name[0] == '.' || !join(path, modules, e->d_name) ||
		    !S_ISDIR(kind_at(p, path)))
			continue;
		p->seen++;
		if (join(config, path, "config") && S_ISREG(kind_at(p, config))) {
			hold(p, path, HELD_WRITABLE);
			hold_settings(p, path);
		} else if (depth < DEPTH_MOST) {
			hold_modules(p, path, depth + 1);
		}
	}
	if (d)
		closedir(d);
}

/* path: of a .git, which is a directory, or a file that names one. */
static void hold_git(struct protect *p, const char *path)
{
	char modules[PATH_MOST];
	mode_t kind = kind_at(p, path);
	if (!S_ISDIR(kind) && !S_ISREG(kind))
		return;
	hold_above(p, path);
	if (S_ISREG(kind)) {
		hold(p, path, HELD_READ_ONLY);
		return;
	}
	hold(p, path, HELD_WRITABLE);
	hold_settings(p, path);
	if (join(modules, path, "modules"))
		hold_modules(p, modules, 1);
}

/* ---- all of them */

static void look_into(struct protect *p, const struct place *at)
{
	char path[PATH_MOST];
	DIR *d = list_at(p, at->path);
	for (const struct dirent *e; d && (e = readdir(d));) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") ||
		    !join(path, at->path, e->d_name))
			continue;
		if (!strcasecmp(e->d_name, ".git")) {
			hold_git(p, path);
			continue;
		}
		bool may = e->d_type == DT_DIR || e->d_type == DT_UNKNOWN;
		if (!may || at->depth == DEPTH_MOST || p->seen == DIRECTORIES_MOST)
			continue;
		p->seen++;
		*p->last = place_new(path, at->depth + 1);
		p->last = &(*p->last)->next;
	}
	if (d)
		closedir(d);
}

static void hold_policy(struct protect *p)
{
	make_directory(p->workspace, ".terabits");
	mode_t kind = kind_at(p, ".terabits");
	if (S_ISDIR(kind) || S_ISREG(kind))
		hold(p, ".terabits", HELD_READ_ONLY);
}

static void forget(struct place *list)
{
	while (list) {
		struct place *next = list->next;
		free(list);
		list = next;
	}
}

void birth_protect(const struct birth *b)
{
	struct protect p = {.b = b};
	bool is_root = b->host->identity == JAIL_SWITCH_UID;
	if (is_root) {
		setfsgid(b->spec->uid);
		setfsuid(b->spec->uid);
	}
	p.workspace = open("/workspace", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (p.workspace < 0)
		birth_fail(b, "open", "/workspace");
	p.last = &p.first;
	hold_policy(&p);
	*p.last = place_new("", 0);
	p.last = &p.first->next;
	for (const struct place *at = p.first; at; at = at->next)
		look_into(&p, at);
	forget(p.first);
	forget(p.held);
	close(p.workspace);
	if (is_root) {
		setfsuid(0);
		setfsgid(0);
	}
}
