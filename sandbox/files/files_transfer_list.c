/* SPDX-License-Identifier: Apache-2.0
 * What a directory holds, in an order that a page can go on from: by names, a directory
 * before what it holds. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/attr.h"
#include "common/clock.h"
#include "sandbox/files/files_protect.h"
#include "sandbox/files/files_transfer_io.h"

#define LIMIT_MOST 1000
#define FLUSH_BYTES (64u << 10)

struct listing {
	struct files_transfer *t;
	struct strbuf text, path, last; /* last: the one that was told last */
	struct json_out out;
	struct slice after;
	int64_t depth, limit, count, unnamed;
	bool more, broken;
};

/* '/' before everything: "a/b" comes behind "a" and before "a.txt". */
static int compare(struct slice a, struct slice b)
{
	for (size_t i = 0; i < a.n && i < b.n; i++) {
		int x = (unsigned char)a.p[i], y = (unsigned char)b.p[i];
		if (x != y)
			return x == '/' ? -1 : y == '/' ? 1 : x - y;
	}
	return a.n < b.n ? -1 : a.n > b.n;
}

/* What is in it comes behind that path. */
static bool is_above(struct slice dir, struct slice path)
{
	return slice_eq(dir, path) ||
	       (path.n > dir.n && path.p[dir.n] == '/' && slice_has_prefix(path, dir));
}

static const char *type_word(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return "file";
	case S_IFDIR:
		return "directory";
	case S_IFLNK:
		return "link";
	case S_IFIFO:
		return "pipe";
	case S_IFSOCK:
		return "socket";
	default:
		return "device";
	}
}

static void flush(struct listing *l)
{
	if (l->text.n && !transfer_give(l->t->out, strbuf_slice(&l->text)))
		l->broken = true;
	strbuf_reset(&l->text);
}

static void put_entry(struct listing *l, const struct stat *st)
{
	char at[CLOCK_TEXT_LEN + 1];
	clock_format(st->st_mtim.tv_sec * 1000000 + st->st_mtim.tv_nsec / 1000, at);
	json_obj(&l->out);
	json_kv_str(&l->out, "path", strbuf_slice(&l->path));
	json_kv_cstr(&l->out, "type", type_word(st->st_mode));
	json_kv_i64(&l->out, "bytes", S_ISREG(st->st_mode) ? st->st_size : 0);
	json_kv_cstr(&l->out, "modifiedAt", at);
	json_obj_end(&l->out);
	strbuf_reset(&l->last);
	strbuf_add_slice(&l->last, strbuf_slice(&l->path));
	l->count++;
	if (l->text.n > FLUSH_BYTES)
		flush(l);
}

struct names {
	char **list;
	size_t n, room;
};

static void names_fini(struct names *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->list[i]);
	free(s->list);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool read_names(struct listing *l, int dir, struct names *out)
{
	int own = fcntl(dir, F_DUPFD_CLOEXEC, 0);
	DIR *d = own < 0 ? NULL : fdopendir(own);
	if (!d)
		return false;
	for (const struct dirent *e; (e = readdir(d));) {
		struct slice name = slice_str(e->d_name);
		if (slice_is(name, ".") || slice_is(name, "..") || files_is_temp(name))
			continue;
		/* The runtime's own, and always empty: programs cannot fill it. */
		if (!l->path.n && slice_is(name, ".terabits"))
			continue;
		if (!slice_is_utf8(name)) { /* no request could name it */
			l->unnamed++;
			continue;
		}
		if (out->n == out->room) {
			out->room = out->room ? out->room * 2 : 64;
			out->list = xrealloc(out->list, out->room * sizeof *out->list);
		}
		out->list[out->n++] = xstrdup(e->d_name);
	}
	closedir(d);
	if (out->n)
		qsort(out->list, out->n, sizeof *out->list, by_name);
	return true;
}

static void list_directory(struct listing *l, int dir, int64_t depth);

/* The entry that l->path names. */
static void visit(struct listing *l, int dir, const char *name, int64_t depth)
{
	struct stat st;
	struct slice path = strbuf_slice(&l->path);
	bool is_behind = compare(path, l->after) > 0;
	if (!is_behind && !is_above(path, l->after)) /* nor is anything in it */
		return;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW)) /* gone meanwhile */
		return;
	if (is_behind && l->count == l->limit) {
		l->more = true;
		return;
	}
	if (is_behind)
		put_entry(l, &st);
	if (!S_ISDIR(st.st_mode) || depth >= l->depth || depth >= FILES_DEPTH_MOST)
		return;
	AUTO(auto_close)
	int below = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (below >= 0)
		list_directory(l, below, depth + 1);
}

static void list_directory(struct listing *l, int dir, int64_t depth)
{
	AUTO(names_fini) struct names names = {0};
	size_t before = l->path.n;
	if (!read_names(l, dir, &names))
		return;
	for (size_t i = 0; i < names.n && !l->more && !l->broken; i++) {
		l->path.n = before;
		if (before)
			strbuf_add_char(&l->path, '/');
		strbuf_add_str(&l->path, names.list[i]);
		visit(l, dir, names.list[i], depth);
	}
	l->path.n = before;
}

static int64_t number(const struct listing *l, const char *key, int64_t otherwise,
		      int64_t most)
{
	int64_t v = otherwise;
	json_i64(json_get(l->t->args, key), &v);
	return v < 1 ? 1 : v > most ? most : v;
}

static void run(struct listing *l, int dir, struct slice real)
{
	strbuf_add_str(&l->text, "{}\n");
	l->out = json_out(&l->text);
	json_obj(&l->out);
	json_kv_str(&l->out, "path", real);
	json_key(&l->out, "entries");
	json_arr(&l->out);
	strbuf_add_slice(&l->path, real);
	list_directory(l, dir, 1);
	json_arr_end(&l->out);
	json_key(&l->out, "next"); /* the next page's "after" */
	if (l->more)
		json_put_str(&l->out, strbuf_slice(&l->last));
	else
		json_put_null(&l->out);
	if (l->unnamed) /* names that are no UTF-8 */
		json_kv_i64(&l->out, "unnamed", l->unnamed);
	json_obj_end(&l->out);
	strbuf_add_char(&l->text, '\n');
	flush(l);
}

void transfer_list(struct files_transfer *t)
{
	struct files_path p;
	struct listing l = {.t = t};
	if (!files_path_find(t->root, t->path, &p, &t->why)) {
		transfer_refuse(t, ERR_BAD_REQUEST);
		return;
	}
	if (!p.type) {
		files_path_absent(&p, &t->why);
		transfer_refuse(t, ERR_NOT_FOUND);
		return;
	}
	AUTO(auto_close) int dir = files_path_opendir(t->root, p.real);
	if (dir < 0) {
		files_refuse(&t->why, "%.*s is %s, not a directory that can be read",
			     SLICE_ARG(files_path_shown(files_path_real(&p))),
			     files_path_kind(p.type));
		transfer_refuse(t, ERR_BAD_REQUEST);
		return;
	}
	l.after = json_str(json_get(t->args, "after"));
	l.depth = number(&l, "depth", 1, FILES_DEPTH_MOST);
	l.limit = number(&l, "limit", 200, LIMIT_MOST);
	run(&l, dir, files_path_real(&p));
	strbuf_fini(&l.text);
	strbuf_fini(&l.path);
	strbuf_fini(&l.last);
}
