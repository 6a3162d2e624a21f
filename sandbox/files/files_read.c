/* SPDX-License-Identifier: Apache-2.0
 * read: a window of lines of a text file, with the line to go on from; of other files,
 * what they are. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/crypto.h"
#include "sandbox/files/files_call.h"
#include "sandbox/files/files_roots.h"
#include "sandbox/files/files_skills.h"
#include "sandbox/files/files_text.h"

#define LINES_MOST 2000
#define BYTES_MOST (50 << 10)    /* of a window */
#define ESCAPED_MOST (160 << 10) /* of a window as JSON */
#define LINE_MOST (8 << 10)
#define IMAGE_HEAD (256 << 10) /* a JPEG may tell its size late */

struct window {
	int64_t from, lines, bytes; /* asked for; lines and bytes: at most */
	int64_t at;                 /* the line being read, from 1 */
	int64_t taken, cut;
	bool closed, inexact, bom;
	struct strbuf line; /* as much of it as is shown */
	size_t line_bytes;  /* all of it */
	struct strbuf raw;  /* the text of the window */
	size_t escaped;
	uint64_t crlf, lf;
	bool is_skill; /* it is hashed, for who pinned it */
	struct crypto_sha256_state hash;
};

static void window_fini(struct window *w)
{
	strbuf_fini(&w->line);
	strbuf_fini(&w->raw);
}

static bool is_wanted(const struct window *w)
{
	return !w->closed && w->at >= w->from;
}

static void take_line(struct window *w)
{
	struct slice s = strbuf_slice(&w->line);
	if (s.n && w->at == 1 && slice_has_prefix(s, SLICE(FILES_BOM))) {
		s = slice_of(s.p + 3, s.n - 3);
		w->bom = true;
	}
	struct slice shown = files_shown(s, LINE_MOST);
	size_t escaped = files_escaped_bytes(shown) + 2;
	bool full = (int64_t)(w->raw.n + shown.n + 1) > w->bytes ||
		    w->escaped + escaped > ESCAPED_MOST;
	if (w->taken && full) {
		w->closed = true;
		return;
	}
	strbuf_add_slice(&w->raw, shown);
	if (w->line_bytes > w->line.n || shown.n < s.n) {
		strbuf_printf(&w->raw, " [cut: this line has %zu bytes]", w->line_bytes);
		w->cut++;
	}
	strbuf_add_char(&w->raw, '\n');
	w->escaped += escaped;
	w->inexact |= !slice_is_utf8(shown) || (shown.n && memchr(shown.p, 0, shown.n));
	w->closed = ++w->taken == w->lines;
}

static void end_line(struct window *w)
{
	if (is_wanted(w))
		take_line(w);
	strbuf_reset(&w->line);
	w->line_bytes = 0;
	w->at++;
}

/* A part of a line; what is beyond any window is only counted. */
static void add_part(struct window *w, struct slice s)
{
	size_t most = LINE_MOST + 8, room = most - w->line.n;
	if (is_wanted(w) && s.n)
		strbuf_add(&w->line, s.p, s.n < room ? s.n : room);
	w->line_bytes += s.n;
}

/* The carriage return before a line's end belongs to the end. */
static void drop_return(struct window *w)
{
	if (w->line.n && w->line.n == w->line_bytes)
		w->line.p[--w->line.n] = 0;
	w->line_bytes--;
}

/* A chunk; *last is the byte before it. */
static void feed(struct window *w, struct slice chunk, char *last)
{
	while (chunk.n) {
		const char *end = memchr(chunk.p, '\n', chunk.n);
		size_t n = end ? (size_t)(end - chunk.p) : chunk.n;
		add_part(w, slice_of(chunk.p, n));
		if (n)
			*last = chunk.p[n - 1];
		if (!end)
			return;
		if (*last == '\r') {
			drop_return(w);
			w->crlf++;
		} else {
			w->lf++;
		}
		*last = '\n';
		end_line(w);
		chunk = slice_of(end + 1, chunk.n - n - 1);
	}
}

/* 1: there is more than is looked at; -1 with errno. */
static int scan(struct window *w, int fd)
{
	static char piece[65536];
	int64_t all = 0;
	char last = '\n';
	ssize_t n;
	if (lseek(fd, 0, SEEK_SET) < 0)
		return -1;
	while ((n = read(fd, piece, sizeof piece)) > 0) {
		all += n;
		if (w->is_skill)
			crypto_sha256_add(&w->hash, slice_of(piece, (size_t)n));
		feed(w, slice_of(piece, (size_t)n), &last);
		if (all >= FILES_SCAN_MOST)
			return 1;
	}
	if (n == 0 && w->line_bytes)
		end_line(w);
	return n < 0 ? -1 : 0;
}

static void put_path(struct json_out *o, const struct files_call *c,
		     const struct files_path *p)
{
	AUTO(strbuf_fini) struct strbuf path = STRBUF_INIT;
	strbuf_add_slice(&path, c->prefix);
	strbuf_add_slice(&path, files_path_real(p));
	json_kv_str(o, "path", strbuf_slice(&path));
}

/* Of the bytes that were read for this window, not of what the file is by now. */
static void put_hash(struct json_out *o, struct window *w)
{
	uint8_t hash[32];
	char hex[65];
	crypto_sha256_end(&w->hash, hash);
	crypto_hex(hash, sizeof hash, hex);
	json_kv_cstr(o, "sha256", hex);
}

static void put_window(struct files_call *c, struct window *w, const struct files_path *p,
		       int64_t total, bool more)
{
	struct json_out o = json_out(&c->out);
	json_obj(&o);
	put_path(&o, c, p);
	if (w->is_skill && !more)
		put_hash(&o, w);
	json_kv_i64(&o, "from_line", w->from);
	json_kv_i64(&o, "lines", w->taken);
	json_kv_i64(&o, more ? "total_lines_at_least" : "total_lines", total);
	if (w->from + w->taken <= total)
		json_kv_i64(&o, "next", w->from + w->taken);
	if (w->cut)
		json_kv_i64(&o, "lines_cut", w->cut);
	if (w->crlf)
		json_kv_cstr(&o, "line_endings", files_ending_word(w->crlf, w->lf));
	if (w->bom)
		json_kv_bool(&o, "bom", true);
	if (w->inexact)
		json_kv_cstr(&o, "note",
			     "bytes that are no UTF-8 are shown as U+FFFD, U+0000 is "
			     "left out");
	json_kv_str(&o, "text", w->raw.n ? strbuf_slice(&w->raw) : SLICE(""));
	json_obj_end(&o);
}

static bool read_text(struct files_call *c, int fd, const struct files_path *p)
{
	AUTO(window_fini)
	struct window w = {.from = 1, .lines = LINES_MOST, .bytes = BYTES_MOST, .at = 1};
	struct slice shown = files_path_shown(files_path_real(p));
	if (!files_arg_i64(c, "from_line", 1, INT64_MAX, &w.from) ||
	    !files_arg_i64(c, "lines", 1, LINES_MOST, &w.lines))
		return false;
	w.is_skill = slice_is(files_path_name(p), FILES_SKILL_FILE);
	if (w.is_skill)
		crypto_sha256_begin(&w.hash);
	int more = scan(&w, fd);
	if (more < 0)
		return files_refuse_errno(&c->why, "reading", files_path_real(p));
	int64_t total = w.at - 1;
	if (w.from > total && more)
		return files_refuse(&c->why,
				    "from_line %lld of %.*s lies beyond its first 256 "
				    "MiB (%lld lines), which is all that is looked at",
				    (long long)w.from, SLICE_ARG(shown),
				    (long long)total);
	if (w.from > total && w.from > 1)
		return files_refuse(
			&c->why, "%.*s has %lld lines; from_line %lld is beyond them",
			SLICE_ARG(shown), (long long)total, (long long)w.from);
	put_window(c, &w, p, total, more);
	return true;
}

/* False: it is text. */
static bool is_bytes(int fd, struct strbuf *head, bool *failed)
{
	*failed = files_slurp(fd, IMAGE_HEAD, head) < 0;
	return *failed || files_is_binary(strbuf_slice(head));
}

static bool put_other(struct files_call *c, int fd, const struct files_path *p,
		      struct slice head)
{
	struct stat st;
	struct json_out o = json_out(&c->out);
	json_obj(&o);
	put_path(&o, c, p);
	if (fstat(fd, &st) || files_put_bytes(&o, fd, head, (uint64_t)st.st_size))
		return files_refuse_errno(&c->why, "reading", files_path_real(p));
	json_obj_end(&o);
	return true;
}

bool files_read(struct files_call *c)
{
	static const char *const known[] = {"path", "from_line", "lines", NULL};
	struct slice path = SLICE_NONE;
	struct files_path p;
	AUTO(strbuf_fini) struct strbuf head = STRBUF_INIT;
	bool failed;
	if (!files_arg_known(c, c->args, known) ||
	    !files_arg_str(c, c->args, "path", &path))
		return false;
	if (!path.p)
		return files_refuse(&c->why, "argument 'path' is missing");
	if (!files_roots_enter(c, &path))
		return false;
	AUTO(auto_close) int fd = files_path_read(c->root, path, &p, &c->why);
	if (fd < 0)
		return false;
	if (!is_bytes(fd, &head, &failed))
		return read_text(c, fd, &p);
	if (failed)
		return files_refuse_errno(&c->why, "reading", files_path_real(&p));
	return put_other(c, fd, &p, strbuf_slice(&head));
}
