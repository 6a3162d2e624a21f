/* SPDX-License-Identifier: Apache-2.0
 * Cells are made first, so that a column is as wide as its widest. */
#include "cli/table.h"

#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "common/alloc.h"
#include "common/attr.h"

static const struct column {
	enum command_id command;
	const char *section, *path, *title;
	enum format format;
} columns[] = {
#define COLUMN(command, section, path, title, format)                                    \
	{COMMAND_##command, section, path, title, FORMAT_##format},
#define SAY(command, path, is, is_not)
#define PEEK(command, peek, section, filter, sentence)
#define ONE_OF(command, set)
#define NEEDS(command, option)
#include "cli/answers.tbl"
#undef COLUMN
#undef SAY
#undef PEEK
#undef ONE_OF
#undef NEEDS
};
#define COLUMNS ARRAY_LEN(columns)

json_t table_at(json_t v, const char *path)
{
	while (*path) {
		char key[64];
		size_t n = strcspn(path, ".");
		if (n >= sizeof key)
			return NULL;
		memcpy(key, path, n);
		key[n] = 0;
		v = json_get(v, key);
		path += n + (path[n] == '.');
	}
	return v;
}

/* ---- one value */

void table_put_duration(struct strbuf *out, double ms)
{
	long long s = (long long)(ms / 1000);
	if (ms < 0) {
		strbuf_add_char(out, '-');
		table_put_duration(out, -ms);
	} else if (ms < 1000) {
		strbuf_printf(out, "%.0f ms", ms);
	} else if (s < 60) {
		strbuf_printf(out, "%.1f s", ms / 1000);
	} else if (s < 3600) {
		strbuf_printf(out, "%lld min %lld s", s / 60, s % 60);
	} else if (s < 86400) {
		strbuf_printf(out, "%lld h %lld min", s / 3600, s / 60 % 60);
	} else {
		strbuf_printf(out, "%lld d %lld h", s / 86400, s / 3600 % 24);
	}
}

static void put_size(struct strbuf *out, double bytes)
{
	static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
	size_t i = 0;
	for (; bytes >= 1000 && i + 1 < ARRAY_LEN(units); i++)
		bytes /= 1024;
	strbuf_printf(out, i ? "%.1f %s" : "%.0f %s", bytes, units[i]);
}

/* Everything below a blank, and DEL, and the two-byte controls of UTF-8 (C2 80..9F). */
static void put_plain(struct strbuf *out, struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		unsigned char next = i + 1 < s.n ? (unsigned char)s.p[i + 1] : 0;
		if (c == 0xc2 && next >= 0x80 && next < 0xa0) {
			strbuf_add_char(out, ' ');
			i++;
		} else {
			strbuf_add_char(out, c < 0x20 || c == 0x7f ? ' ' : (char)c);
		}
	}
}

static void put_any(struct strbuf *out, json_t v)
{
	AUTO(strbuf_fini) struct strbuf text = STRBUF_INIT;
	if (json_kind(v) == JSON_STRING) {
		put_plain(out, json_str(v));
		return;
	}
	json_print(&text, v);
	put_plain(out, strbuf_slice(&text));
}

void table_put(struct strbuf *out, json_t v, enum format f)
{
	enum json_kind kind = json_kind(v);
	double n = json_double(v, 0);
	if (kind == JSON_ABSENT || kind == JSON_NULL)
		strbuf_add_char(out, '-');
	else if (f == FORMAT_YES && kind == JSON_BOOL)
		strbuf_add_str(out, json_bool(v, false) ? "yes" : "-");
	else if (kind != JSON_NUMBER || f < FORMAT_MS || f > FORMAT_BYTES)
		put_any(out, v);
	else if (f == FORMAT_MS)
		table_put_duration(out, n);
	else if (f == FORMAT_US)
		strbuf_printf(out, "%.1f ms", n / 1000);
	else
		put_size(out, f == FORMAT_KIB ? n * 1024 : n);
}

/* ---- a section */

/* Columns on a screen, one a code point. */
static size_t width(const char *s)
{
	size_t n = 0;
	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

static int is_left(enum format f)
{
	return f == FORMAT_TEXT || f == FORMAT_YES || f == FORMAT_JSON;
}

static void put_padded(struct strbuf *out, const char *text, size_t wide, int left,
		       int last)
{
	size_t blanks = wide - width(text);
	if (!left)
		strbuf_printf(out, "%*s", (int)blanks, "");
	strbuf_add_str(out, text);
	if (left && !last)
		strbuf_printf(out, "%*s", (int)blanks, "");
	strbuf_add_str(out, last ? "\n" : "  ");
}

static char *cell(json_t item, const struct column *c)
{
	struct strbuf b = STRBUF_INIT;
	table_put(&b, table_at(item, c->path), c->format);
	return b.p ? b.p : xstrdup("");
}

static int is_kept(const struct table_view *view, json_t item, long shown)
{
	return (!view->keep || view->keep(view->args, item)) &&
	       (!view->limit || shown < view->limit);
}

static void put_rows(struct strbuf *out, char **cells, size_t rows,
		     const struct column *c, size_t n)
{
	size_t wide[COLUMNS];
	for (size_t k = 0; k < n; k++) {
		wide[k] = width(c[k].title);
		for (size_t r = 0; r < rows; r++)
			if (width(cells[r * n + k]) > wide[k])
				wide[k] = width(cells[r * n + k]);
	}
	for (size_t k = 0; k < n; k++)
		put_padded(out, c[k].title, wide[k], is_left(c[k].format), k + 1 == n);
	for (size_t r = 0; r < rows; r++)
		for (size_t k = 0; k < n; k++)
			put_padded(out, cells[r * n + k], wide[k], is_left(c[k].format),
				   k + 1 == n);
}

static void put_table(struct strbuf *out, json_t list, const struct column *c, size_t n,
		      const struct table_view *view)
{
	struct json_iter it = json_iter(list);
	char **cells = xcalloc(json_len(list) * n + 1, sizeof *cells);
	size_t rows = 0;
	for (json_t item; (item = json_next(&it, NULL));) {
		if (!is_kept(view, item, (long)rows))
			continue;
		for (size_t k = 0; k < n; k++)
			cells[rows * n + k] = cell(item, &c[k]);
		rows++;
	}
	if (rows)
		put_rows(out, cells, rows, c, n);
	else
		strbuf_printf(out, "no %s\n", c->section);
	for (size_t i = 0; i < rows * n; i++)
		free(cells[i]);
	free(cells);
}

static void put_record(struct strbuf *out, json_t v, const struct column *c, size_t n)
{
	size_t wide = 0;
	for (size_t k = 0; k < n; k++)
		if (table_at(v, c[k].path) && width(c[k].title) > wide)
			wide = width(c[k].title);
	for (size_t k = 0; k < n; k++) {
		if (!table_at(v, c[k].path))
			continue;
		put_padded(out, c[k].title, wide, 1, 0);
		table_put(out, table_at(v, c[k].path), c[k].format);
		strbuf_add_char(out, '\n');
	}
}

/* How many rows from i on are of the same section. */
static size_t section_length(size_t i)
{
	size_t n = 1;
	while (i + n < COLUMNS && columns[i + n].command == columns[i].command &&
	       !strcmp(columns[i + n].section, columns[i].section))
		n++;
	return n;
}

/* That the answer was cut: as a whole, or this section of it. */
static bool is_cut(json_t answer, const char *section)
{
	char key[64];
	snprintf(key, sizeof key, "%sMore", section);
	return json_bool(json_get(answer, "more"), false) ||
	       json_bool(json_get(answer, key), false);
}

static void put_section(struct strbuf *out, json_t answer, size_t i, size_t n,
			const struct table_view *view)
{
	json_t v = table_at(answer, columns[i].section);
	size_t before = out->n;
	int64_t total;
	if (!v)
		return;
	if (before)
		strbuf_add_char(out, '\n');
	if (json_kind(v) != JSON_ARRAY) {
		put_record(out, v, &columns[i], n);
		return;
	}
	put_table(out, v, &columns[i], n, view);
	if (!view->keep && json_i64(json_get(answer, "total"), &total) &&
	    total > (int64_t)json_len(v))
		strbuf_printf(out, "%zu of %lld; --limit shows more\n", json_len(v),
			      (long long)total);
	else if (!view->keep && is_cut(answer, columns[i].section))
		strbuf_add_str(out, "there are more; --limit shows more\n");
}

void table_print(struct strbuf *out, json_t answer, const struct table_view *view)
{
	for (size_t i = 0, n; i < COLUMNS; i += n) {
		n = section_length(i);
		if (columns[i].command == view->command &&
		    (!view->only || !strcmp(view->only, columns[i].section)))
			put_section(out, answer, i, n, view);
	}
}

int table_has(enum command_id command)
{
	for (size_t i = 0; i < COLUMNS; i++)
		if (columns[i].command == command)
			return 1;
	return 0;
}
