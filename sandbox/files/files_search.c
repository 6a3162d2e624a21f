/* SPDX-License-Identifier: Apache-2.0
 * Lines that hold a text, in the files below a directory: no expressions, so that none
 * can take long. */
#include <fcntl.h>
#include <unistd.h>

#include "common/alloc.h"
#include "sandbox/files/files_list.h"
#include "sandbox/files/files_text.h"
#include "sandbox/files/files_walk.h"

#define MATCHES_MOST 200
#define OF_A_FILE_MOST 20
#define FILE_MOST (10 << 20)
#define ALL_MOST (256ll << 20)
#define LINE_SHOWN 300
#define SHOWN_BYTES_MOST (160 << 10)

struct search {
	const struct files_list *list;
	struct json_out *out;
	struct strbuf text, folded;
	struct slice wanted;
	struct strbuf wanted_folded;
	int64_t matches, shown, files, skipped, bytes;
};

static void search_fini(struct search *s)
{
	strbuf_fini(&s->text);
	strbuf_fini(&s->folded);
	strbuf_fini(&s->wanted_folded);
}

/* ASCII letters in lower case; as many bytes. */
static void fold(struct strbuf *out, struct slice s)
{
	strbuf_reset(out);
	char *to = strbuf_reserve(out, s.n);
	for (size_t i = 0; i < s.n; i++)
		to[i] = s.p[i] >= 'A' && s.p[i] <= 'Z' ? (char)(s.p[i] | 0x20) : s.p[i];
	out->n = s.n;
	out->p[out->n] = 0;
}

/* The part of a long line around the match. */
static struct slice around(struct slice line, size_t at)
{
	size_t from = at > LINE_SHOWN / 3 ? at - LINE_SHOWN / 3 : 0;
	if (line.n <= LINE_SHOWN)
		return line;
	while (from && ((unsigned char)line.p[from] & 0xC0) == 0x80)
		from--;
	return files_shown(slice_of(line.p + from, line.n - from), LINE_SHOWN);
}

static void put_match(struct search *s, struct slice path, int64_t number,
		      struct slice line, size_t at)
{
	struct slice text = around(line, at);
	if (text.n && text.p[text.n - 1] == '\r')
		text.n--;
	AUTO(strbuf_fini) struct strbuf shown = STRBUF_INIT;
	strbuf_add_slice(&shown, s->list->prefix);
	strbuf_add_slice(&shown, path);
	json_obj(s->out);
	json_kv_str(s->out, "path", strbuf_slice(&shown));
	json_kv_i64(s->out, "line", number);
	json_kv_str(s->out, "text", text);
	json_obj_end(s->out);
	s->shown++;
}

/* text and hay have the same lengths; hay is what is compared. */
static void search_text(struct search *s, struct slice path, struct slice text,
			struct slice hay)
{
	size_t done = 0;
	int64_t number = 1, of_file = 0;
	for (ptrdiff_t i; (i = files_find(hay, s->wanted, done)) >= 0;) {
		size_t at = (size_t)i, start = at, end;
		while (start > done && hay.p[start - 1] != '\n')
			start--;
		const char *stop = memchr(hay.p + at, '\n', hay.n - at);
		end = stop ? (size_t)(stop - hay.p) : hay.n;
		number += files_line_at(slice_of(hay.p + done, at - done), at - done) - 1;
		s->matches++;
		if (s->shown < MATCHES_MOST && s->out->b->n < SHOWN_BYTES_MOST &&
		    of_file++ < OF_A_FILE_MOST)
			put_match(s, path, number, slice_of(text.p + start, end - start),
				  at - start);
		if (!stop)
			return;
		done = end + 1;
		number++;
	}
}

/* False: it is not looked into. */
static bool load(struct search *s, const struct files_entry *e)
{
	char name[FILES_NAME_MOST + 1];
	struct stat st;
	memcpy(name, e->name.p, e->name.n);
	name[e->name.n] = 0;
	AUTO(auto_close)
	int fd = openat(e->dir, name,
			O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	strbuf_reset(&s->text);
	return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	       st.st_size <= FILE_MOST && files_slurp(fd, FILE_MOST, &s->text) >= 0 &&
	       !files_is_binary(strbuf_slice(&s->text));
}

static bool on_entry(void *arg, const struct files_entry *e)
{
	struct search *s = arg;
	const struct files_list *l = s->list;
	if (!S_ISREG(e->type) ||
	    (l->globs.n && !files_globs_match(&l->globs, e->from, e->name)))
		return true;
	if (s->bytes > ALL_MOST)
		return false;
	if (!load(s, e)) {
		s->skipped++;
		return true;
	}
	struct slice text = strbuf_slice(&s->text), hay = text;
	s->files++;
	s->bytes += (int64_t)text.n;
	if (!text.n)
		return true;
	if (l->ignore_case) {
		fold(&s->folded, text);
		hay = strbuf_slice(&s->folded);
	}
	search_text(s, e->path, text, hay);
	return true;
}

bool files_search(struct files_call *c, const struct files_list *l)
{
	AUTO(search_fini) struct search s = {.list = l, .wanted = l->contains};
	struct slice real = files_path_real(&l->path);
	struct files_walk w = {.root = c->root,
			       .depth = (unsigned)l->depth,
			       .hidden = l->hidden,
			       .all = l->all,
			       .on_entry = on_entry,
			       .arg = &s};
	struct json_out o = json_out(&c->out);
	s.out = &o;
	if (l->ignore_case) {
		fold(&s.wanted_folded, l->contains);
		s.wanted = strbuf_slice(&s.wanted_folded);
	}
	json_obj(&o);
	files_list_put_path(&o, l);
	json_key(&o, "matches");
	json_arr(&o);
	if (!files_walk(&w, real))
		return files_refuse(&c->why,
				    "%.*s cannot be opened; it changes, or its mode "
				    "forbids it",
				    SLICE_ARG(files_path_shown(real)));
	json_arr_end(&o);
	if (s.matches > s.shown)
		json_kv_i64(&o, "left_out", s.matches - s.shown);
	json_kv_i64(&o, "files_searched", s.files);
	if (s.skipped)
		json_kv_i64(&o, "files_not_searched", s.skipped);
	if (w.stopped)
		json_kv_cstr(&o, "note",
			     "the search ended at its limit; name a smaller directory or "
			     "a glob");
	files_list_put_left(&o, &w);
	json_obj_end(&o);
	return true;
}
