/* SPDX-License-Identifier: Apache-2.0
 * list_directory: names with sizes, some levels deep; or, with `contains`, a search. */
#include "sandbox/files/files_list.h"

#include <stdlib.h>
#include <unistd.h>

#include "common/alloc.h"
#include "sandbox/files/files_roots.h"
#include "sandbox/files/files_text.h"
#include "sandbox/files/files_walk.h"

#define ENTRIES_MOST 1000
#define BYTES_MOST (160 << 10) /* of the entries as JSON */
#define DEPTH_MOST 50
#define DEPTH_OF_PATTERNS 20

struct shown {
	char *path; /* with a slash behind a directory */
	char *link; /* of a link; else NULL */
	uint64_t bytes;
	mode_t type;
};

struct listing {
	const struct files_list *list;
	struct shown shown[ENTRIES_MOST];
	size_t n, bytes;
	uint64_t left;
};

static void listing_free(struct listing **l)
{
	for (size_t i = 0; i < (*l)->n; i++) {
		free((*l)->shown[i].path);
		free((*l)->shown[i].link);
	}
	free(*l);
}

static char *link_text(const struct files_entry *e)
{
	char name[FILES_NAME_MOST + 1], text[1024];
	memcpy(name, e->name.p, e->name.n);
	name[e->name.n] = 0;
	ssize_t n = readlinkat(e->dir, name, text, sizeof text);
	return xstrndup(text, n > 0 ? (size_t)n : 0);
}

static bool on_entry(void *arg, const struct files_entry *e)
{
	struct listing *l = arg;
	if (l->list->globs.n && !files_globs_match(&l->list->globs, e->from, e->name))
		return true;
	size_t bytes = files_escaped_bytes(e->path) + 40;
	if (l->n == ENTRIES_MOST || l->bytes + bytes > BYTES_MOST) {
		l->left++;
		return true;
	}
	AUTO(strbuf_fini) struct strbuf path = STRBUF_INIT;
	strbuf_add_slice(&path, l->list->prefix);
	strbuf_add_slice(&path, e->path);
	if (S_ISDIR(e->type))
		strbuf_add_char(&path, '/');
	struct shown *s = &l->shown[l->n++];
	*s = (struct shown){.path = xstrdup(path.p), .bytes = e->bytes, .type = e->type};
	if (S_ISLNK(e->type)) {
		s->link = link_text(e);
		bytes += files_escaped_bytes(slice_str(s->link));
	}
	l->bytes += bytes;
	return true;
}

/* A directory's entries directly behind it: '/' comes before any other character. */
static int by_path(const void *a, const void *b)
{
	const unsigned char *x = (const void *)((const struct shown *)a)->path,
			    *y = (const void *)((const struct shown *)b)->path;
	while (*x && *x == *y)
		x++, y++;
	unsigned p = *x == '/' ? 1 : *x, q = *y == '/' ? 1 : *y;
	return (p > q) - (p < q);
}

static const char *type_word(mode_t type)
{
	return S_ISFIFO(type) ? "pipe" : S_ISSOCK(type) ? "socket" : "device";
}

static void put_entry(struct json_out *o, const struct shown *s)
{
	json_obj(o);
	json_kv_cstr(o, "path", s->path);
	if (s->link)
		json_kv_cstr(o, "link_to", s->link);
	else if (S_ISREG(s->type))
		json_kv_i64(o, "bytes", (int64_t)s->bytes);
	else if (!S_ISDIR(s->type))
		json_kv_cstr(o, "type", type_word(s->type));
	json_obj_end(o);
}

void files_list_put_left(struct json_out *o, const struct files_walk *w)
{
	if (w->hidden_left)
		json_kv_i64(o, "hidden", (int64_t)w->hidden_left);
	if (w->ignored_left)
		json_kv_i64(o, "ignored", (int64_t)w->ignored_left);
	if (w->unreadable)
		json_kv_i64(o, "unreadable_directories", (int64_t)w->unreadable);
}

void files_list_put_path(struct json_out *o, const struct files_list *l)
{
	AUTO(strbuf_fini) struct strbuf path = STRBUF_INIT;
	strbuf_add_slice(&path, l->prefix);
	strbuf_add_slice(&path, files_path_real(&l->path));
	json_kv_str(o, "path", path.n ? strbuf_slice(&path) : SLICE("."));
}

static bool list(struct files_call *c, const struct files_list *asked)
{
	AUTO(listing_free) struct listing *l = xcalloc(1, sizeof *l);
	struct slice real = files_path_real(&asked->path);
	struct files_walk w = {.root = c->root,
			       .depth = (unsigned)asked->depth,
			       .hidden = asked->hidden,
			       .all = asked->all,
			       .on_entry = on_entry,
			       .arg = l};
	l->list = asked;
	if (!files_walk(&w, real))
		return files_refuse(&c->why,
				    "%.*s cannot be opened; it changes, or its mode "
				    "forbids it",
				    SLICE_ARG(files_path_shown(real)));
	qsort(l->shown, l->n, sizeof *l->shown, by_path);
	struct json_out o = json_out(&c->out);
	json_obj(&o);
	files_list_put_path(&o, asked);
	json_key(&o, "entries");
	json_arr(&o);
	for (size_t i = 0; i < l->n; i++)
		put_entry(&o, &l->shown[i]);
	json_arr_end(&o);
	if (l->left || w.stopped)
		json_kv_i64(&o, w.stopped ? "left_out_at_least" : "left_out",
			    (int64_t)l->left);
	files_list_put_left(&o, &w);
	json_obj_end(&o);
	return true;
}

static bool take_arguments(struct files_call *c, struct files_list *l, struct slice *path,
			   struct slice *glob)
{
	static const char *const known[] = {"path", "depth",    "glob",        "hidden",
					    "all",  "contains", "ignore_case", NULL};
	int64_t depth = 0;
	if (!files_arg_known(c, c->args, known) ||
	    !files_arg_str(c, c->args, "path", path) ||
	    !files_arg_str(c, c->args, "glob", glob) ||
	    !files_arg_str(c, c->args, "contains", &l->contains) ||
	    !files_arg_i64(c, "depth", 1, DEPTH_MOST, &depth) ||
	    !files_arg_bool(c, c->args, "hidden", &l->hidden) ||
	    !files_arg_bool(c, c->args, "all", &l->all) ||
	    !files_arg_bool(c, c->args, "ignore_case", &l->ignore_case))
		return false;
	if (l->contains.p && (!l->contains.n || l->contains.n > 1000))
		return files_refuse(&c->why,
				    "contains has %zu bytes; it is 1 to 1000 "
				    "bytes of plain text",
				    l->contains.n);
	if (l->contains.p && memchr(l->contains.p, '\n', l->contains.n))
		return files_refuse(&c->why, "contains holds a line break; it is looked "
					     "for in single lines");
	bool deep = l->contains.p || (glob->n && slice_find(*glob, SLICE("/")) >= 0);
	l->depth = depth ? depth : deep ? DEPTH_OF_PATTERNS : 1;
	return true;
}

static void list_fini(struct files_list *l)
{
	files_globs_fini(&l->globs);
}

bool files_list_directory(struct files_call *c)
{
	AUTO(list_fini) struct files_list l = {.contains = SLICE_NONE};
	struct slice path = SLICE(""), glob = SLICE("");
	if (!take_arguments(c, &l, &path, &glob) || !files_roots_enter(c, &path) ||
	    !files_path_find(c->root, path, &l.path, &c->why))
		return false;
	if (glob.n && !files_globs_init(&l.globs, glob, &c->why))
		return false;
	l.prefix = c->prefix;
	struct slice shown = files_path_shown(files_path_real(&l.path));
	if (!l.path.type)
		return files_path_absent(&l.path, &c->why);
	if (!S_ISDIR(l.path.type))
		return files_refuse(&c->why, "%.*s is %s, not a directory%s",
				    SLICE_ARG(shown), files_path_kind(l.path.type),
				    S_ISREG(l.path.type) ? "; read shows it" : "");
	return l.contains.p ? files_search(c, &l) : list(c, &l);
}
