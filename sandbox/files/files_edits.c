/* SPDX-License-Identifier: Apache-2.0
 * The edit applier: matches in a view of the text with plain line ends, sorted, then one
 * pass over the text. */
#include "sandbox/files/files_edits.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/alloc.h"
#include "common/die.h"
#include "sandbox/files/files_mismatch.h"
#include "sandbox/files/files_text.h"

#define MATCHES_MOST 100000
#define COUNTED_MOST 1000 /* of a text that should occur once */
#define LINES_SHOWN 10

struct match {
	size_t at, n; /* in the view */
	size_t edit;
};

struct edits {
	struct slice name, text; /* the text without its mark */
	struct slice view;       /* with plain line ends */
	struct files_edit *edits;
	struct slice *plain_old, *plain_new;
	size_t count;
	bool many, crlf;
	struct match *matches;
	size_t n, room;
	struct strbuf made; /* where views live */
	struct files_why *why;
};

/* ---- line ends */

/* The next "\r\n" of s; -1: none. */
static ptrdiff_t next_crlf(struct slice s)
{
	const char *p = s.p, *end = s.p + s.n;
	while (p < end && (p = memchr(p, '\n', (size_t)(end - p)))) {
		if (p > s.p && p[-1] == '\r')
			return p - 1 - s.p;
		p++;
	}
	return -1;
}

static size_t count_crlf(struct slice s)
{
	size_t n = 0;
	for (ptrdiff_t i; (i = next_crlf(s)) >= 0; n++)
		s = slice_of(s.p + i + 2, s.n - (size_t)i - 2);
	return n;
}

static void add_plain(struct strbuf *out, struct slice s)
{
	for (ptrdiff_t i; (i = next_crlf(s)) >= 0;) {
		strbuf_add(out, s.p, (size_t)i);
		strbuf_add_char(out, '\n');
		s = slice_of(s.p + i + 2, s.n - (size_t)i - 2);
	}
	strbuf_add(out, s.p, s.n);
}

static void add_crlf(struct strbuf *out, struct slice plain)
{
	while (plain.p) {
		strbuf_add_slice(out, slice_cut(&plain, '\n'));
		if (plain.p)
			strbuf_add_str(out, "\r\n");
	}
}

static struct slice without_mark(struct slice s)
{
	return slice_has_prefix(s, SLICE(FILES_BOM)) ? slice_of(s.p + 3, s.n - 3) : s;
}

/* Bytes that s is longer with "\r\n" than with "\n". */
static size_t returns_in(const struct edits *e, struct slice plain)
{
	size_t n = 0;
	for (size_t i = 0; e->crlf && i < plain.n; i++)
		n += plain.p[i] == '\n';
	return n;
}

/* All views in one buffer that does not move once it is full. */
static void make_views(struct edits *e)
{
	size_t need = e->text.n + 1, crlf = count_crlf(e->text);
	for (size_t i = 0; i < e->count; i++)
		need += e->edits[i].old_text.n + e->edits[i].new_text.n + 2;
	strbuf_reserve(&e->made, need);
	const char *fixed = e->made.p;
	e->crlf = crlf > (size_t)files_line_at(e->text, e->text.n) - 1 - crlf;
	e->view = e->text;
	if (crlf) {
		add_plain(&e->made, e->text);
		e->view = strbuf_slice(&e->made);
	}
	for (size_t i = 0; i < e->count * 2; i++) {
		size_t before = e->made.n;
		add_plain(&e->made, without_mark(i & 1 ? e->edits[i / 2].new_text
						       : e->edits[i / 2].old_text));
		struct slice made = slice_of(e->made.p + before, e->made.n - before);
		*(i & 1 ? &e->plain_new[i / 2] : &e->plain_old[i / 2]) = made;
	}
	check(e->made.p == fixed);
}

/* ---- matches */

/* "edits[2].old_text", or "old_text" where there is one edit. */
static const char *field(const struct edits *e, size_t i, const char *name, char out[64])
{
	if (e->many)
		snprintf(out, 64, "edits[%zu].%s", i, name);
	else
		snprintf(out, 64, "%s", name);
	return out;
}

static bool add_match(struct edits *e, size_t at, size_t n, size_t edit)
{
	if (e->n == MATCHES_MOST)
		return files_refuse(e->why,
				    "more than %d replacements in %.*s at once; use "
				    "write, or longer old texts",
				    MATCHES_MOST, SLICE_ARG(e->name));
	if (e->n == e->room) {
		e->room = e->room ? e->room * 2 : 16;
		e->matches = xrealloc(e->matches, e->room * sizeof *e->matches);
	}
	e->matches[e->n++] = (struct match){at, n, edit};
	return true;
}

static ptrdiff_t next_match(const struct edits *e, struct slice old, size_t from)
{
	return files_find(e->view, old, from);
}

static bool too_many(struct edits *e, size_t i, ptrdiff_t at)
{
	struct slice old = e->plain_old[i];
	char lines[200], word[64];
	size_t n = 0, used = 0;
	int64_t line = 1;
	for (size_t from = 0; at >= 0 && n < COUNTED_MOST; n++) {
		line += files_line_at(slice_of(e->view.p + from, (size_t)at - from),
				      (size_t)at - from) -
			1;
		from = (size_t)at;
		if (n < LINES_SHOWN)
			used += (size_t)snprintf(lines + used, sizeof lines - used,
						 "%s%lld", n ? ", " : "",
						 (long long)line);
		at = next_match(e, old, from + 1);
	}
	return files_refuse(e->why,
			    "%s occurs %s%zu times in %.*s (lines %s%s); give more "
			    "context, or set replace_all",
			    field(e, i, "old_text", word), at >= 0 ? "at least " : "", n,
			    SLICE_ARG(e->name), lines, n > LINES_SHOWN ? ", ..." : "");
}

static bool match_all(struct edits *e, size_t i, ptrdiff_t at)
{
	struct slice old = e->plain_old[i];
	while (at >= 0) {
		if (!add_match(e, (size_t)at, old.n, i))
			return false;
		at = next_match(e, old, (size_t)at + old.n);
	}
	return true;
}

static bool match_edit(struct edits *e, size_t i)
{
	struct slice old = e->plain_old[i];
	char word[64];
	field(e, i, "old_text", word);
	if (!old.n)
		return files_refuse(e->why,
				    "%s is empty; give the text that shall be replaced "
				    "(write replaces a whole file)",
				    word);
	if (slice_eq(old, e->plain_new[i]))
		return files_refuse(e->why,
				    "%s is the same as its new_text; nothing would "
				    "change",
				    word);
	ptrdiff_t at = next_match(e, old, 0);
	if (at < 0) {
		files_mismatch(e->name, word, e->view, old, e->why);
		return false;
	}
	e->edits[i].line = files_line_at(e->view, (size_t)at);
	if (e->edits[i].all)
		return match_all(e, i, at);
	if (next_match(e, old, (size_t)at + 1) >= 0)
		return too_many(e, i, at);
	return add_match(e, (size_t)at, old.n, i);
}

static int by_place(const void *a, const void *b)
{
	const struct match *x = a, *y = b;
	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	return (x->edit > y->edit) - (x->edit < y->edit);
}

static bool sort_matches(struct edits *e)
{
	if (e->n)
		qsort(e->matches, e->n, sizeof *e->matches, by_place);
	for (size_t i = 1; i < e->n; i++) {
		const struct match *a = &e->matches[i - 1], *b = &e->matches[i];
		if (a->at + a->n <= b->at)
			continue;
		return files_refuse(e->why,
				    "edits[%zu] and edits[%zu] overlap at line %lld of "
				    "%.*s; make them one",
				    a->edit < b->edit ? a->edit : b->edit,
				    a->edit < b->edit ? b->edit : a->edit,
				    (long long)files_line_at(e->view, b->at),
				    SLICE_ARG(e->name));
	}
	return true;
}

static bool fits(const struct edits *e)
{
	size_t n = e->text.n;
	for (size_t i = 0; i < e->n && n <= 2 * (size_t)FILES_EDITED_MOST; i++) {
		struct slice new_text = e->plain_new[e->matches[i].edit];
		n += new_text.n + returns_in(e, new_text);
	}
	if (n <= 2 * (size_t)FILES_EDITED_MOST)
		return true;
	return files_refuse(e->why, "%.*s would become larger than 20 MiB",
			    SLICE_ARG(e->name));
}

/* ---- the new text */

/* How many bytes of `text` are `n` bytes of the view, both from where they are in step.
 */
static size_t raw_length(struct slice text, size_t n)
{
	size_t raw = 0;
	while (n--) {
		raw += raw + 1 < text.n && text.p[raw] == '\r' && text.p[raw + 1] == '\n';
		raw++;
	}
	return raw;
}

static void build(struct edits *e, struct strbuf *out)
{
	bool alias = e->view.p == e->text.p;
	size_t at = 0; /* in the view; rest is what the text has from there */
	struct slice rest = e->text;
	for (size_t i = 0; i < e->n; i++) {
		const struct match *m = &e->matches[i];
		struct slice put = e->plain_new[m->edit];
		size_t keep = alias ? m->at - at : raw_length(rest, m->at - at);
		strbuf_add(out, rest.p, keep);
		rest = slice_of(rest.p + keep, rest.n - keep);
		size_t drop = alias ? m->n : raw_length(rest, m->n);
		rest = slice_of(rest.p + drop, rest.n - drop);
		if (e->crlf)
			add_crlf(out, put);
		else
			strbuf_add_slice(out, put);
		at = m->at + m->n;
		e->edits[m->edit].replaced++;
	}
	strbuf_add_slice(out, rest);
}

static void edits_fini(struct edits *e)
{
	free(e->matches);
	free(e->plain_old);
	free(e->plain_new);
	strbuf_fini(&e->made);
}

bool files_edits_apply(struct slice name, struct slice text, struct files_edit *edits,
		       size_t n, bool many, struct strbuf *out, struct files_why *why)
{
	struct slice bare = without_mark(text);
	AUTO(edits_fini)
	struct edits e = {.name = name,
			  .text = bare,
			  .edits = edits,
			  .plain_old = xcalloc(n + 1, sizeof(struct slice)),
			  .plain_new = xcalloc(n + 1, sizeof(struct slice)),
			  .count = n,
			  .many = many,
			  .why = why};
	make_views(&e);
	for (size_t i = 0; i < n; i++) {
		edits[i].replaced = 0;
		if (!match_edit(&e, i))
			return false;
	}
	if (!sort_matches(&e) || !fits(&e))
		return false;
	strbuf_add(out, text.p, text.n - bare.n);
	build(&e, out);
	return true;
}
