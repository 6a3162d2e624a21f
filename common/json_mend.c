/* SPDX-License-Identifier: Apache-2.0
 * A walk over strings; what stands between them is copied. */
#include "common/json_mend.h"

#include <stdio.h>
#include <string.h>

#define ESCAPE 6 /* bytes of \uXXXX */
#define REPLACEMENT "\\ufffd"

bool json_is_first_half(int unit)
{
	return unit >= 0xd800 && unit <= 0xdbff;
}

bool json_is_second_half(int unit)
{
	return unit >= 0xdc00 && unit <= 0xdfff;
}

static int digit(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
				      : -1;
}

int json_unit_at(struct slice s, size_t at)
{
	int unit = 0;
	if (at + ESCAPE > s.n || s.p[at] != '\\' || s.p[at + 1] != 'u')
		return -1;
	for (size_t i = at + 2; i < at + ESCAPE; i++) {
		int d = digit(s.p[i]);
		if (d < 0)
			return -1;
		unit = unit * 16 + d;
	}
	return unit;
}

/* Bytes of the UTF-8 character; 0: it is none, or U+0000. */
static size_t character_at(struct slice s, size_t at)
{
	unsigned char c = (unsigned char)s.p[at];
	size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	return c && at + n <= s.n && slice_is_utf8(slice_of(s.p + at, n)) ? n : 0;
}

struct walk {
	struct json_mending *m;
	struct strbuf *out;
	bool changed;
};

static void replace(struct walk *w)
{
	strbuf_add_str(w->out, REPLACEMENT);
	w->m->replaced++;
	w->changed = true;
}

/* The string that may begin with the other half. */
static void put_half(struct walk *w, struct slice s)
{
	w->changed = true;
	if (json_is_second_half(json_unit_at(s, 0)))
		strbuf_add_str(w->out, w->m->half);
	else
		replace(w);
	w->m->half[0] = 0;
}

static void keep_half(struct walk *w, struct slice s, size_t at, struct slice member)
{
	snprintf(w->m->half, sizeof w->m->half, "%.*s", ESCAPE, s.p + at);
	snprintf(w->m->member, sizeof w->m->member, "%.*s", SLICE_ARG(member));
	w->changed = true;
}

/* An escape: how many bytes of the string that was. member.p NULL: nothing is kept back.
 */
static size_t mend_escape(struct walk *w, struct slice s, size_t at, struct slice member)
{
	int unit = json_unit_at(s, at);
	size_t n = unit >= 0 ? ESCAPE : at + 2 <= s.n ? 2 : 1;
	if (json_is_first_half(unit) && json_is_second_half(json_unit_at(s, at + ESCAPE)))
		n = 2 * ESCAPE;
	else if (json_is_first_half(unit) && at + ESCAPE == s.n && member.p &&
		 !w->m->half[0]) {
		keep_half(w, s, at, member);
		return n;
	} else if (!unit || json_is_first_half(unit) || json_is_second_half(unit)) {
		replace(w);
		return n;
	}
	strbuf_add(w->out, s.p + at, n);
	return n;
}

static void mend_string(struct walk *w, struct slice s, struct slice member)
{
	size_t at = 0;
	if (member.p && s.n && w->m->half[0] && slice_is(member, w->m->member)) {
		bool joins = json_is_second_half(json_unit_at(s, 0));
		put_half(w, s);
		if (joins) {
			strbuf_add(w->out, s.p, ESCAPE);
			at = ESCAPE;
		}
	}
	while (at < s.n) {
		size_t n = s.p[at] == '\\' ? 0 : character_at(s, at);
		if (n)
			strbuf_add(w->out, s.p + at, n);
		else if (s.p[at] == '\\')
			n = mend_escape(w, s, at, member);
		else
			replace(w);
		at += n ? n : 1;
	}
}

/* Where a string ends that begins there: its quote, or the end of all. */
static size_t end_of(struct slice text, size_t at)
{
	for (; at < text.n && text.p[at] != '"'; at++)
		if (text.p[at] == '\\')
			at++;
	return at < text.n ? at : text.n;
}

static bool is_name(struct slice text, size_t behind)
{
	while (behind < text.n && strchr(" \t\r\n", text.p[behind]) && text.p[behind])
		behind++;
	return behind < text.n && text.p[behind] == ':';
}

bool json_mend(struct json_mending *m, struct slice text, struct strbuf *out)
{
	struct walk w = {m, out, false};
	struct slice member = SLICE_NONE;
	for (size_t at = 0; at < text.n;) {
		size_t end;
		strbuf_add_char(out, text.p[at]);
		if (text.p[at++] != '"')
			continue;
		end = end_of(text, at);
		struct slice s = slice_of(text.p + at, end - at);
		bool name = is_name(text, end + 1);
		if (name)
			member = s.n < sizeof m->member ? s : SLICE_NONE;
		mend_string(&w, s, name ? SLICE_NONE : member);
		if (end < text.n)
			strbuf_add_char(out, '"');
		at = end + 1;
	}
	return w.changed;
}
