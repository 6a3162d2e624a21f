/* SPDX-License-Identifier: Apache-2.0
 * Line by line. White space and line breaks of a value become single blanks in the end,
 * so that the ways of writing it differ in where it ends and in its escapes alone. */
#include "sandbox/files/files_front.h"

#include <stdint.h>
#include <stdio.h>

#include "sandbox/files/files_text.h"
#include "sandbox/files/files_why.h"

struct reader {
	struct slice rest; /* of the front matter; p NULL: it is over */
	struct files_front *f;
};

static bool refuse(struct files_front *f, const char *why)
{
	snprintf(f->why, sizeof f->why, "%s", why);
	return false;
}

/* ---- lines */

static struct slice trim_end(struct slice s)
{
	while (s.n &&
	       (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t' || s.p[s.n - 1] == '\r'))
		s.n--;
	return s;
}

static struct slice trim_start(struct slice s)
{
	while (s.n && (s.p[0] == ' ' || s.p[0] == '\t'))
		s = slice_of(s.p + 1, s.n - 1);
	return s;
}

/* Without its end; false: there is none left. */
static bool next_line(struct slice *rest, struct slice *line)
{
	if (!rest->p || !rest->n)
		return false;
	*line = trim_end(slice_cut(rest, '\n'));
	return true;
}

/* A line that goes on with the value of the key above it: indented, or empty. */
static bool next_of_value(struct reader *r, struct slice *line)
{
	struct slice rest = r->rest;
	if (!next_line(&rest, line) ||
	    (line->n && line->p[0] != ' ' && line->p[0] != '\t'))
		return false;
	r->rest = rest;
	*line = trim_start(*line);
	return true;
}

static bool is_comment(struct slice s)
{
	return s.n && s.p[0] == '#';
}

/* ---- characters */

/* What shows nothing, or turns around what is shown: no text of a person needs it. */
static bool is_hidden(uint32_t c)
{
	static const struct {
		uint32_t from, to;
	} hidden[] = {{0x00AD, 0x00AD},  {0x061C, 0x061C}, {0x180E, 0x180E},
		      {0x200B, 0x200F},  {0x202A, 0x202E}, {0x2060, 0x206F},
		      {0xFE00, 0xFE0F},  {0xFEFF, 0xFEFF}, {0xFFF9, 0xFFFB},
		      {0xE0000, 0xE0FFF}};
	for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++)
		if (c >= hidden[i].from && c <= hidden[i].to)
			return true;
	return false;
}

static bool is_blank(uint32_t c)
{
	return c <= ' ' || (c >= 0x7f && c <= 0xa0) || c == 0x2028 || c == 0x2029;
}

static void add_utf8(struct strbuf *b, uint32_t c)
{
	if (c < 0x80) {
		strbuf_add_char(b, (char)c);
	} else if (c < 0x800) {
		strbuf_add_char(b, (char)(0xC0 | c >> 6));
		strbuf_add_char(b, (char)(0x80 | (c & 0x3F)));
	} else if (c < 0x10000) {
		strbuf_add_char(b, (char)(0xE0 | c >> 12));
		strbuf_add_char(b, (char)(0x80 | (c >> 6 & 0x3F)));
		strbuf_add_char(b, (char)(0x80 | (c & 0x3F)));
	} else {
		strbuf_add_char(b, (char)(0xF0 | c >> 18));
		strbuf_add_char(b, (char)(0x80 | (c >> 12 & 0x3F)));
		strbuf_add_char(b, (char)(0x80 | (c >> 6 & 0x3F)));
		strbuf_add_char(b, (char)(0x80 | (c & 0x3F)));
	}
}

/* The first character of a text that is UTF-8, taken off it. */
static uint32_t take_utf8(struct slice *s)
{
	unsigned char first = (unsigned char)s->p[0];
	size_t n = first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
	uint32_t c = n == 1 ? first : first & (0x7Fu >> n);
	for (size_t i = 1; i < n; i++)
		c = c << 6 | ((unsigned char)s->p[i] & 0x3F);
	*s = slice_of(s->p + n, s->n - n);
	return c;
}

/* A character of a value: white space becomes one blank, and none at its beginning. */
static void add(struct strbuf *b, uint32_t c)
{
	if (is_hidden(c))
		return;
	if (!is_blank(c))
		add_utf8(b, c);
	else if (b->n && b->p[b->n - 1] != ' ')
		strbuf_add_char(b, ' ');
}

static void add_all(struct strbuf *b, struct slice s)
{
	while (s.n)
		add(b, take_utf8(&s));
}

/* ---- values */

/* Behind a quote's end: nothing, or a comment. */
static bool is_over(struct slice s)
{
	s = trim_start(s);
	return !s.n || is_comment(s);
}

static bool read_single(struct reader *r, struct slice s, struct strbuf *out)
{
	for (;;) {
		while (s.n) {
			uint32_t c = take_utf8(&s);
			if (c == '\'' && (!s.n || s.p[0] != '\''))
				return is_over(s) ||
				       refuse(r->f, "text follows a quote's end");
			if (c == '\'')
				take_utf8(&s);
			add(out, c);
		}
		add(out, '\n');
		if (!next_of_value(r, &s))
			return refuse(r->f, "a quote (') in its front matter has no end");
	}
}

static int digit_of(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
				      : -1;
}

/* So many hex digits; false: they are no character. */
static bool take_hex(struct slice *s, size_t digits, uint32_t *c)
{
	if (s->n < digits)
		return false;
	*c = 0;
	for (size_t i = 0; i < digits; i++) {
		int d = digit_of(s->p[i]);
		if (d < 0)
			return false;
		*c = *c << 4 | (uint32_t)d;
	}
	*s = slice_of(s->p + digits, s->n - digits);
	return *c <= 0x10FFFF && (*c < 0xD800 || *c > 0xDFFF);
}

/* Behind a backslash, which is not the line's last character. */
static bool read_escape(struct slice *s, struct strbuf *out)
{
	uint32_t c = take_utf8(s);
	switch (c) {
	case 'x':
	case 'u':
	case 'U':
		if (!take_hex(s, c == 'x' ? 2 : c == 'u' ? 4 : 8, &c))
			return false;
		break;
	case '"':
	case '\\':
	case '/':
	case ' ':
		break;
	case 'n':
	case 'r':
	case 't':
	case '0':
	case 'a':
	case 'b':
	case 'e':
	case 'f':
	case 'v':
	case 'N':
	case '_':
	case 'L':
	case 'P':
		c = ' ';
		break;
	default:
		return false;
	}
	add(out, c);
	return true;
}

static bool read_double(struct reader *r, struct slice s, struct strbuf *out)
{
	for (;;) {
		bool goes_on = false; /* the line's break was escaped */
		while (s.n) {
			uint32_t c = take_utf8(&s);
			if (c == '"')
				return is_over(s) ||
				       refuse(r->f, "text follows a quote's end");
			if (c != '\\')
				add(out, c);
			else if (!s.n)
				goes_on = true;
			else if (!read_escape(&s, out))
				return refuse(r->f, "an escape (\\) in its front matter "
						    "means no character");
		}
		if (!goes_on)
			add(out, '\n');
		if (!next_of_value(r, &s))
			return refuse(r->f,
				      "a quote (\") in its front matter has no end");
	}
}

/* | or >, with what may stand behind it. */
static bool read_block(struct reader *r, struct slice head, struct strbuf *out)
{
	struct slice line;
	head = slice_of(head.p + 1, head.n - 1);
	while (head.n && (head.p[0] == '+' || head.p[0] == '-' ||
			  (head.p[0] >= '1' && head.p[0] <= '9')))
		head = slice_of(head.p + 1, head.n - 1);
	if (!is_over(head))
		return refuse(r->f, "text follows a | or > of its front matter; it has "
				    "to begin in the next line");
	while (next_of_value(r, &line)) {
		add_all(out, line);
		add(out, '\n');
	}
	return true;
}

/* Up to a comment; false: it is none of a text's beginnings. */
static bool add_plain(struct strbuf *out, struct slice s)
{
	size_t n = 0;
	while (n < s.n &&
	       !(s.p[n] == '#' && (!n || s.p[n - 1] == ' ' || s.p[n - 1] == '\t')))
		n++;
	add_all(out, slice_of(s.p, n));
	add(out, '\n');
	return n == s.n;
}

static bool read_plain(struct reader *r, struct slice s, struct strbuf *out)
{
	struct slice line;
	static const char others[] = "&*!%@`[]{},";
	if (s.n && memchr(others, s.p[0], sizeof others - 1))
		return refuse(r->f, "a value of its front matter is no plain text; put "
				    "it between quotes");
	bool goes_on = add_plain(out, s);
	while (next_of_value(r, &line))
		if (goes_on)
			goes_on = add_plain(out, line);
	return true;
}

static bool read_value(struct reader *r, struct slice s, struct strbuf *out)
{
	bool done;
	struct slice line;
	if (out->n)
		return refuse(r->f, "its front matter says name or description twice");
	while (!s.n || is_comment(s)) { /* it begins in a later line, if at all */
		if (!next_of_value(r, &line))
			return true;
		s = line;
	}
	switch (s.p[0]) {
	case '\'':
		done = read_single(r, slice_of(s.p + 1, s.n - 1), out);
		break;
	case '"':
		done = read_double(r, slice_of(s.p + 1, s.n - 1), out);
		break;
	case '|':
	case '>':
		done = read_block(r, s, out);
		break;
	default:
		done = read_plain(r, s, out);
	}
	if (out->n && out->p[out->n - 1] == ' ')
		out->p[--out->n] = 0;
	return done;
}

/* ---- the whole */

/* "key: value" or "key:"; false: it is neither. */
static bool cut_key(struct slice line, struct slice *key, struct slice *value)
{
	const char *colon = memchr(line.p, ':', line.n);
	size_t n = colon ? (size_t)(colon - line.p) : 0;
	if (!n || (n + 1 < line.n && colon[1] != ' ' && colon[1] != '\t'))
		return false;
	*key = trim_end(slice_of(line.p, n));
	*value = trim_start(slice_of(colon + 1, line.n - n - 1));
	return true;
}

/* A line of its own: of no key's value. */
static bool read_line(struct reader *r, struct slice line)
{
	struct slice key, value;
	bool passed = !line.n || line.p[0] == ' ' || line.p[0] == '\t' ||
		      line.p[0] == '#' || line.p[0] == '-';
	if (passed) /* of a key that is passed over */
		return true;
	if (!cut_key(line, &key, &value))
		return refuse(r->f, "a line of its front matter is no \"key: value\"");
	if (slice_is(key, "name"))
		return read_value(r, value, &r->f->name);
	if (slice_is(key, "description"))
		return read_value(r, value, &r->f->description);
	return true;
}

/* What is between the two lines ---. */
static bool cut_front(struct slice text, struct files_front *f, struct slice *out)
{
	struct slice line, rest;
	if (slice_has_prefix(text, SLICE(FILES_BOM)))
		text = slice_of(text.p + 3, text.n - 3);
	rest = text;
	if (!next_line(&rest, &line) || !slice_is(line, "---"))
		return refuse(f, "it has no front matter: its first line has to be ---");
	const char *from = rest.p;
	while (next_line(&rest, &line)) {
		if ((size_t)(line.p - text.p) > FILES_FRONT_MOST)
			return refuse(f, "its front matter is longer than 16 KiB");
		if (!slice_is(line, "---") && !slice_is(line, "..."))
			continue;
		*out = slice_of(from, (size_t)(line.p - from));
		return true;
	}
	return refuse(f, "its front matter has no end: a line --- has to follow it");
}

bool files_front_is_name(struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		bool letter = (s.p[i] >= 'a' && s.p[i] <= 'z') ||
			      (s.p[i] >= '0' && s.p[i] <= '9');
		bool dash = s.p[i] == '-' && i && i + 1 < s.n && s.p[i - 1] != '-';
		if (!letter && !dash)
			return false;
	}
	return s.n >= 1 && s.n <= FILES_SKILL_NAME;
}

static size_t characters(struct slice s)
{
	size_t n = 0;
	for (size_t i = 0; i < s.n; i++)
		n += ((unsigned char)s.p[i] & 0xC0) != 0x80;
	return n;
}

static bool judge(struct files_front *f)
{
	struct slice name = strbuf_slice(&f->name);
	if (!name.n)
		return refuse(f, "its front matter says no name");
	if (!files_front_is_name(name)) {
		snprintf(f->why, sizeof f->why,
			 "its name '%.*s' is none: 1 to 64 of a-z, 0-9 and single - "
			 "between them",
			 SLICE_ARG(files_shown(name, 64)));
		return false;
	}
	if (!f->description.n)
		return refuse(f, "its front matter says no description");
	if (characters(strbuf_slice(&f->description)) > FILES_SKILL_DESCRIPTION)
		return refuse(f, "its description is longer than 1,024 characters");
	return true;
}

bool files_front_read(struct slice text, struct files_front *f)
{
	struct reader r = {.f = f};
	struct slice line;
	if (!slice_is_utf8(text))
		return refuse(f, "it is no valid UTF-8");
	if (!cut_front(text, f, &r.rest))
		return false;
	while (next_line(&r.rest, &line))
		if (!read_line(&r, line))
			return false;
	return judge(f);
}

void files_front_fini(struct files_front *f)
{
	strbuf_fini(&f->name);
	strbuf_fini(&f->description);
}
