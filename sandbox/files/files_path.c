/* SPDX-License-Identifier: Apache-2.0
 * Resolution of names, and opening what they mean. */
#include "sandbox/files/files_path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/alloc.h"
#include "sandbox/files/files_near.h"
#include "sandbox/files/files_protect.h"

#define LINKS_MOST 40
#define TRIES 16 /* while somebody swaps directories and links */
#define TODO_MOST (2 * FILES_PATH_MOST + 2)

/* ---- what can be said of the text alone */

/* "/workspace/a" is "a". False: it is absolute and elsewhere. */
static bool strip_root(struct slice *s)
{
	const struct slice root = SLICE(FILES_ROOT_NAME);
	struct slice rest = *s;
	if (!rest.n || rest.p[0] != '/')
		return true;
	while (rest.n > 1 && rest.p[1] == '/')
		rest.p++, rest.n--;
	if (!slice_has_prefix(rest, root) || (rest.n > root.n && rest.p[root.n] != '/'))
		return false;
	rest = slice_of(rest.p + root.n, rest.n - root.n);
	while (rest.n && rest.p[0] == '/')
		rest.p++, rest.n--;
	*s = rest;
	return true;
}

static bool check_names(struct slice given, struct files_why *why)
{
	struct slice rest = given;
	unsigned depth = 0;
	while (rest.p) {
		struct slice name = slice_cut(&rest, '/');
		if (name.n > FILES_NAME_MOST)
			return files_refuse(why,
					    "the path has a name of %zu bytes "
					    "(\"%.*s...\"), at most 255 are possible",
					    name.n, SLICE_ARG(files_shown(name, 40)));
		if (name.n && ++depth > FILES_DEPTH_MOST)
			return files_refuse(why,
					    "the path has more than 100 parts; use a "
					    "shorter one");
	}
	return true;
}

bool files_path_check(struct slice given, struct files_why *why)
{
	struct slice inside = given;
	if (given.n && memchr(given.p, 0, given.n))
		return files_refuse(why, "the path holds U+0000, which no name may have");
	if (!slice_is_utf8(given))
		return files_refuse(why, "the path is no valid UTF-8");
	if (slice_has_control(given))
		return files_refuse(why, "the path holds a control character (a line "
					 "break, perhaps); write the plain name");
	if (given.n > FILES_PATH_MOST)
		return files_refuse(why,
				    "the path has %zu bytes, at most 4095 are possible",
				    given.n);
	if (!strip_root(&inside))
		return files_refuse(why,
				    "%.*s is outside of the workspace; paths start "
				    "there, for example notes/a.md or " FILES_ROOT_NAME
				    "/notes/a.md",
				    SLICE_ARG(files_path_shown(given)));
	return check_names(given, why);
}

/* ---- resolution */

enum step { STEP_ON, STEP_AGAIN, STEP_REFUSED };

struct walk {
	struct files_path *p;
	struct files_why *why;
	struct slice given;
	char todo[TODO_MOST + 1]; /* what is left of the path, links put in */
	size_t at;
	unsigned links, depth;
};

static int open_beneath(int root, const char *real, int flags)
{
	struct open_how how = {.flags = (uint64_t)(unsigned)flags | O_CLOEXEC,
			       .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS |
					  RESOLVE_NO_SYMLINKS};
	int fd;
	do
		fd = (int)syscall(SYS_openat2, root, *real ? real : ".", &how,
				  sizeof how);
	while (fd < 0 && (errno == EINTR || errno == EAGAIN));
	return fd;
}

static enum step leaves(struct walk *w, const char *how)
{
	files_refuse(w->why,
		     "%.*s leads out of the workspace %s; only what is in the workspace "
		     "can be reached",
		     SLICE_ARG(files_path_shown(w->given)), how);
	return STEP_REFUSED;
}

static enum step not_a_directory(struct walk *w)
{
	files_refuse(w->why, "%.*s is %s, not a directory",
		     SLICE_ARG(files_path_shown(files_path_real(w->p))),
		     files_path_kind(w->p->type));
	return STEP_REFUSED;
}

static enum step too_long(struct walk *w)
{
	files_refuse(w->why, "%.*s leads, through links, to a path that is too long",
		     SLICE_ARG(files_path_shown(w->given)));
	return STEP_REFUSED;
}

static enum step go_up(struct walk *w)
{
	struct files_path *p = w->p;
	if (p->there < p->n) {
		files_refuse(w->why, "there is no directory %.*s to go up from with '..'",
			     SLICE_ARG(files_path_shown(files_path_real(p))));
		return STEP_REFUSED;
	}
	if (!p->n)
		return leaves(w, "through '..'");
	p->n = files_path_parent(p).n;
	p->real[p->n] = 0;
	p->there = p->n;
	p->type = S_IFDIR;
	w->depth--;
	return STEP_ON;
}

/* The name is in real already; it is taken back and the link's text goes before what is
 * left to do. */
static enum step follow(struct walk *w, int fd, size_t before)
{
	char text[TODO_MOST + 1];
	ssize_t n = readlinkat(fd, "", text, FILES_PATH_MOST + 1);
	size_t left = strlen(w->todo + w->at);
	struct slice target = slice_of(text, n > 0 ? (size_t)n : 0);
	w->p->n = before;
	w->p->real[before] = 0;
	w->depth--;
	if (n <= 0)
		return STEP_AGAIN;
	if (++w->links > LINKS_MOST) {
		files_refuse(w->why, "%.*s goes in circles through symbolic links",
			     SLICE_ARG(files_path_shown(w->given)));
		return STEP_REFUSED;
	}
	if (text[0] == '/') {
		if (!strip_root(&target))
			return leaves(w, "through a symbolic link");
		w->p->n = w->p->there = 0;
		w->p->real[0] = 0;
		w->depth = 0;
	}
	size_t slash = w->p->must_dir; /* the one that stood behind the link */
	if (target.n + slash + left > TODO_MOST)
		return too_long(w);
	memmove(w->todo + target.n + slash, w->todo + w->at, left + 1);
	memcpy(w->todo, target.p, target.n);
	if (slash)
		w->todo[target.n] = '/';
	w->at = 0;
	w->p->type = S_IFDIR; /* of what real is now */
	return STEP_ON;
}

/* A name behind something that exists. */
static enum step look_up(struct walk *w, size_t before)
{
	struct files_path *p = w->p;
	struct stat st;
	AUTO(auto_close) int fd = open_beneath(p->root, p->real, O_PATH | O_NOFOLLOW);
	if (fd < 0 && errno == ENOENT) {
		p->there = before;
		p->type = 0;
		return STEP_ON;
	}
	if (fd < 0 && (errno == ELOOP || errno == ENOTDIR || errno == EXDEV))
		return STEP_AGAIN;
	if (fd < 0 || fstat(fd, &st)) {
		files_refuse_errno(w->why, "look-up", files_path_real(p));
		return STEP_REFUSED;
	}
	if (S_ISLNK(st.st_mode))
		return follow(w, fd, before);
	p->there = p->n;
	p->type = st.st_mode & S_IFMT;
	return STEP_ON;
}

static enum step go_down(struct walk *w, struct slice name)
{
	struct files_path *p = w->p;
	size_t before = p->n;
	if (p->n + 1 + name.n > FILES_PATH_MOST || name.n > FILES_NAME_MOST ||
	    w->depth == FILES_DEPTH_MOST)
		return too_long(w);
	if (p->n)
		p->real[p->n++] = '/';
	memcpy(p->real + p->n, name.p, name.n);
	p->n += name.n;
	p->real[p->n] = 0;
	w->depth++;
	return p->there == before ? look_up(w, before) : STEP_ON;
}

static enum step step(struct walk *w)
{
	struct files_path *p = w->p;
	struct slice rest = slice_str(w->todo + w->at), name = slice_cut(&rest, '/');
	w->at += name.n + (rest.p != NULL);
	if (!name.n)
		return STEP_ON;
	if (p->type && !S_ISDIR(p->type))
		return not_a_directory(w);
	p->must_dir = rest.p != NULL;
	if (slice_is(name, ".") || slice_is(name, "..")) {
		p->must_dir = true;
		return name.n == 2 ? go_up(w) : STEP_ON;
	}
	/* A link moves todo, so the name is copied. */
	char copy[FILES_NAME_MOST + 1];
	if (name.n > FILES_NAME_MOST)
		return too_long(w);
	memcpy(copy, name.p, name.n);
	return go_down(w, slice_of(copy, name.n));
}

static enum step walk(struct walk *w)
{
	enum step s = STEP_ON;
	while (s == STEP_ON && w->todo[w->at])
		s = step(w);
	if (s == STEP_ON && w->p->must_dir && w->p->type && !S_ISDIR(w->p->type))
		return not_a_directory(w);
	return s;
}

bool files_path_find(int root, struct slice given, struct files_path *p,
		     struct files_why *why)
{
	struct walk w = {.p = p, .why = why, .given = given};
	struct slice inside = given;
	if (!files_path_check(given, why))
		return false;
	strip_root(&inside);
	for (int i = 0; i < TRIES; i++) {
		*p = (struct files_path){.root = root, .type = S_IFDIR};
		w.at = w.links = w.depth = 0;
		if (inside.n)
			memcpy(w.todo, inside.p, inside.n);
		w.todo[inside.n] = 0;
		switch (walk(&w)) {
		case STEP_ON:
			return true;
		case STEP_REFUSED:
			return false;
		case STEP_AGAIN:
			break;
		}
	}
	return files_refuse(why, "%.*s changes while it is looked at; try again",
			    SLICE_ARG(files_path_shown(given)));
}

/* ---- what was found */

struct slice files_path_real(const struct files_path *p)
{
	return slice_of(p->real, p->n);
}

struct slice files_path_parent(const struct files_path *p)
{
	const char *slash = p->n ? memrchr(p->real, '/', p->n) : NULL;
	return slice_of(p->real, slash ? (size_t)(slash - p->real) : 0);
}

struct slice files_path_name(const struct files_path *p)
{
	size_t before = files_path_parent(p).n;
	before += before > 0;
	return slice_of(p->real + before, p->n - before);
}

const char *files_path_kind(mode_t type)
{
	switch (type & S_IFMT) {
	case S_IFREG:
		return "a file";
	case S_IFDIR:
		return "a directory";
	case S_IFIFO:
		return "a pipe";
	case S_IFSOCK:
		return "a socket";
	case S_IFLNK:
		return "a symbolic link";
	default:
		return "a device";
	}
}

bool files_path_absent(const struct files_path *p, struct files_why *why)
{
	struct slice real = files_path_shown(files_path_real(p));
	struct slice there = slice_of(p->real, p->there);
	const char *tail = p->real + p->there + (p->there > 0);
	struct slice missing = slice_of(tail, strcspn(tail, "/"));
	char known[FILES_PATH_MOST + 1], near[FILES_NAME_MOST + 1];
	memcpy(known, there.p, there.n);
	known[there.n] = 0;
	AUTO(auto_close) int dir = files_path_opendir(p->root, known);
	bool last = missing.p + missing.n == p->real + p->n;
	if (dir >= 0 && files_near_name(dir, missing, near))
		return files_refuse(why, "there is no %.*s; %.*s holds a similar %s",
				    SLICE_ARG(real), SLICE_ARG(files_path_shown(there)),
				    near);
	if (last)
		return files_refuse(why,
				    "there is no %.*s; list_directory shows what %.*s "
				    "holds",
				    SLICE_ARG(real), SLICE_ARG(files_path_shown(there)));
	return files_refuse(why, "there is no %.*s: %.*s has no directory %.*s",
			    SLICE_ARG(real), SLICE_ARG(files_path_shown(there)),
			    SLICE_ARG(files_shown(missing, 100)));
}

bool files_path_is_file(const struct files_path *p, struct files_why *why)
{
	if (!p->type)
		return files_path_absent(p, why);
	if (S_ISREG(p->type))
		return true;
	return files_refuse(
		why, "%.*s is %s, not a file%s",
		SLICE_ARG(files_path_shown(files_path_real(p))), files_path_kind(p->type),
		S_ISDIR(p->type) ? "; list_directory shows what it holds" : "");
}

/* ---- descriptors */

/* -1 with errno; EAGAIN: it changed since it was found. */
static int open_file(const struct files_path *p)
{
	struct stat st;
	int fd = open_beneath(p->root, p->real,
			      O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		return fd;
	int error = fd >= 0 ? EAGAIN : errno;
	auto_close(&fd);
	errno = error == ELOOP || error == ENOENT || error == ENOTDIR || error == ENXIO
			? EAGAIN
			: error;
	return -1;
}

int files_path_read(int root, struct slice given, struct files_path *p,
		    struct files_why *why)
{
	for (int i = 0; i < TRIES; i++) {
		if (!files_path_find(root, given, p, why) || !files_path_is_file(p, why))
			return -1;
		int fd = open_file(p);
		if (fd >= 0)
			return fd;
		if (errno != EAGAIN) {
			files_refuse_errno(why, "reading", files_path_real(p));
			return -1;
		}
	}
	files_refuse(why, "%.*s changes while it is opened; try again",
		     SLICE_ARG(files_path_shown(given)));
	return -1;
}

int files_path_opendir(int root, const char *real)
{
	return open_beneath(root, real, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
}

/* One after the other, each opened in the one before. */
static int make_directories(int dir, struct slice names, struct files_why *why,
			    struct slice real)
{
	while (names.n) {
		char name[FILES_NAME_MOST + 1];
		struct slice one = slice_cut(&names, '/');
		memcpy(name, one.p, one.n);
		name[one.n] = 0;
		if (mkdirat(dir, name, 0777) && errno != EEXIST) {
			files_refuse_errno(why, "making a directory", real);
			close(dir);
			return -1;
		}
		int next = open_beneath(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
		close(dir);
		dir = next;
		if (dir < 0) {
			files_refuse_errno(why, "opening a directory", real);
			return -1;
		}
	}
	return dir;
}

int files_path_for_writing(const struct files_path *p, struct files_why *why)
{
	struct slice real = files_path_real(p), parent = files_path_parent(p);
	const char *protected = files_protected(real);
	char known[FILES_PATH_MOST + 1];
	if (protected) {
		files_refuse(why, "%.*s is protected: %s",
			     SLICE_ARG(files_path_shown(real)), protected);
		return -1;
	}
	size_t there = p->there < parent.n ? p->there : parent.n;
	memcpy(known, p->real, there);
	known[there] = 0;
	int dir = files_path_opendir(p->root, known);
	if (dir < 0 && (errno == ELOOP || errno == ENOTDIR || errno == ENOENT)) {
		files_refuse(why, "%.*s changes while it is opened; try again",
			     SLICE_ARG(files_path_shown(real)));
		return -1;
	}
	if (dir < 0) {
		files_refuse_errno(why, "opening the directory", real);
		return -1;
	}
	size_t skip = there + (there > 0 && there < parent.n);
	return make_directories(dir, slice_of(parent.p + skip, parent.n - skip), why,
				real);
}

bool files_path_still(const struct files_path *p, int fd)
{
	struct slice parent = files_path_parent(p);
	char known[FILES_PATH_MOST + 1];
	struct stat held, now;
	memcpy(known, parent.p, parent.n);
	known[parent.n] = 0;
	AUTO(auto_close) int again = open_beneath(p->root, known, O_PATH | O_DIRECTORY);
	return again >= 0 && fstat(fd, &held) == 0 && fstat(again, &now) == 0 &&
	       held.st_dev == now.st_dev && held.st_ino == now.st_ino;
}
