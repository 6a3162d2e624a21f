/* SPDX-License-Identifier: Apache-2.0
 * A queue of directories; each is opened anew by its canonical path, beneath the
 * workspace and through no link. */
#include "sandbox/files/files_walk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/dirs.h"
#include "common/strbuf.h"
#include "sandbox/files/files_ignore.h"
#include "sandbox/files/files_names.h"
#include "sandbox/files/files_protect.h"

struct folder {
	struct folder *next;
	unsigned depth; /* of its entries */
	size_t n;
	char path[];
};

struct state {
	struct files_walk *w;
	struct files_ignore *ignore;
	struct folder *first, **last;
	size_t start; /* bytes of the path where the walk began */
};

static void add_folder(struct state *s, struct slice path, unsigned depth)
{
	struct folder *f = xmalloc(sizeof *f + path.n + 1);
	*f = (struct folder){.depth = depth, .n = path.n};
	if (path.n)
		memcpy(f->path, path.p, path.n);
	f->path[path.n] = 0;
	*s->last = f;
	s->last = &f->next;
}

/* Takes `dir` over. */
static bool read_names(struct files_walk *w, int dir, struct files_names *out)
{
	DIR *d = dir_of(dir);
	if (!d)
		return false;
	for (struct dirent *e; (e = readdir(d));) {
		struct slice name = slice_str(e->d_name);
		if (slice_is(name, ".") || slice_is(name, "..") || files_is_temp(name))
			continue;
		if (w->seen == FILES_WALK_MOST) {
			w->stopped = true;
			break;
		}
		w->seen++;
		files_names_add(out, e->d_name);
	}
	closedir(d);
	files_names_sort(out);
	return true;
}

static bool is_left_out(struct state *s, const struct files_entry *e)
{
	struct files_walk *w = s->w;
	if (!w->all && files_ignored(s->ignore, e->path, S_ISDIR(e->type))) {
		w->ignored_left++;
		return true;
	}
	if (!w->hidden && e->name.p[0] == '.') {
		w->hidden_left++;
		return true;
	}
	return false;
}

/* False: the walk ends. */
static bool visit(struct state *s, const struct folder *f, int dir, const char *name)
{
	struct files_walk *w = s->w;
	AUTO(strbuf_fini) struct strbuf path = STRBUF_INIT;
	struct stat st;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW)) /* gone meanwhile */
		return true;
	strbuf_printf(&path, "%s%s%s", f->path, f->n ? "/" : "", name);
	size_t skip = s->start + (s->start > 0);
	struct files_entry e = {.path = strbuf_slice(&path),
				.from = slice_of(path.p + skip, path.n - skip),
				.name = slice_str(name),
				.type = st.st_mode & S_IFMT,
				.bytes = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0,
				.dir = dir,
				.deeper = f->depth >= w->depth};
	if (is_left_out(s, &e))
		return true;
	if (!w->on_entry(w->arg, &e)) {
		w->stopped = true;
		return false;
	}
	if (S_ISDIR(e.type) && !e.deeper && path.n < FILES_PATH_MOST)
		add_folder(s, e.path, f->depth + 1);
	return true;
}

static bool enter(struct state *s, const struct folder *f)
{
	AUTO(files_names_fini) struct files_names names = {0};
	AUTO(auto_close) int dir = files_path_opendir(s->w->root, f->path);
	int own = dir >= 0 ? fcntl(dir, F_DUPFD_CLOEXEC, 0) : -1;
	if (own < 0 || !read_names(s->w, own, &names))
		return false;
	if (!s->w->all)
		files_ignore_load(s->ignore, dir, slice_of(f->path, f->n));
	for (size_t i = 0; i < names.n; i++)
		if (!visit(s, f, dir, names.list[i]))
			break;
	return true;
}

/* The rules of the directories above the one where it begins. */
static void load_above(struct state *s, struct slice real)
{
	char path[FILES_PATH_MOST + 1];
	for (size_t n = 0; real.n && n < real.n; n++) {
		if (n > 0 && real.p[n] != '/')
			continue;
		memcpy(path, real.p, n);
		path[n] = 0;
		AUTO(auto_close) int dir = files_path_opendir(s->w->root, path);
		if (dir >= 0)
			files_ignore_load(s->ignore, dir, slice_of(path, n));
	}
}

bool files_walk(struct files_walk *w, struct slice real)
{
	struct state s = {.w = w, .ignore = files_ignore_new(), .start = real.n};
	bool opened = true;
	s.last = &s.first;
	if (!w->all)
		load_above(&s, real);
	add_folder(&s, real, 1);
	for (struct folder *f; (f = s.first);) {
		if (!w->stopped && !enter(&s, f)) {
			opened = opened && f->depth > 1;
			w->unreadable++;
		}
		s.first = f->next;
		if (!s.first)
			s.last = &s.first;
		free(f);
	}
	files_ignore_free(s.ignore);
	return opened;
}
