/* SPDX-License-Identifier: Apache-2.0
 * The light JSON scanner. A string's end is found by memchr, so long histories cost
 * little. */
#include "tests/fakes/fake_scan.h"

#include <stdint.h>

struct scan scan_of(struct slice text)
{
	return (struct scan){.p = text.p, .end = text.p + text.n};
}

void scan_space(struct scan *s)
{
	while (s->p < s->end &&
	       (*s->p == ' ' || *s->p == '\n' || *s->p == '\r' || *s->p == '\t'))
		s->p++;
}

static bool fail(struct scan *s)
{
	s->bad = true;
	return false;
}

/* At the opening quote; steps behind the closing one, which is the first quote after an
 * even number of backslashes. */
static bool skip_string(struct scan *s)
{
	const char *first = s->p + 1;
	for (const char *at = first; at < s->end; at++) {
		at = memchr(at, '"', (size_t)(s->end - at));
		if (!at)
			break;
		const char *back = at;
		while (back > first && back[-1] == '\\')
			back--;
		if ((at - back) % 2 == 0) {
			s->p = at + 1;
			return true;
		}
	}
	return fail(s);
}

static bool skip_container(struct scan *s)
{
	size_t depth = 0;
	while (s->p < s->end) {
		char c = *s->p;
		if (c == '"') {
			if (!skip_string(s))
				return false;
			continue;
		}
		s->p++;
		if (c == '{' || c == '[')
			depth++;
		else if ((c == '}' || c == ']') && --depth == 0)
			return true;
	}
	return fail(s);
}

static bool skip_scalar(struct scan *s)
{
	const char *start = s->p;
	while (s->p < s->end && !memchr(",:]} \n\r\t", *s->p, 8))
		s->p++;
	return s->p > start || fail(s);
}

bool scan_value(struct scan *s, struct slice *raw)
{
	scan_space(s);
	const char *start = s->p;
	if (start >= s->end)
		return fail(s);
	bool ok = *start == '"'                    ? skip_string(s)
		  : *start == '{' || *start == '[' ? skip_container(s)
						   : skip_scalar(s);
	*raw = slice_of(start, (size_t)(s->p - start));
	return ok;
}

bool scan_open(struct scan *s, char bracket)
{
	scan_space(s);
	s->begun = false;
	if (s->p >= s->end || *s->p != bracket)
		return fail(s);
	s->p++;
	return true;
}

/* Whether one more item comes; steps over its comma. */
static bool next_item(struct scan *s, char close)
{
	scan_space(s);
	if (s->p >= s->end)
		return fail(s);
	if (*s->p == close) {
		s->p++;
		return false;
	}
	if (s->begun) {
		if (*s->p != ',')
			return fail(s);
		s->p++;
	}
	s->begun = true;
	return true;
}

bool scan_element(struct scan *s, struct slice *value)
{
	return next_item(s, ']') && scan_value(s, value);
}

bool scan_member(struct scan *s, struct slice *key, struct slice *value)
{
	if (!next_item(s, '}'))
		return false;
	if (!scan_value(s, key) || key->n < 2 || key->p[0] != '"')
		return fail(s);
	*key = slice_of(key->p + 1, key->n - 2);
	scan_space(s);
	if (s->p >= s->end || *s->p != ':')
		return fail(s);
	s->p++;
	return scan_value(s, value);
}

/* ---- text */

static void add_utf8(struct strbuf *out, uint32_t c)
{
	char b[4];
	size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
	for (size_t i = n; i-- > 1; c >>= 6)
		b[i] = (char)(0x80 | (c & 0x3f));
	b[0] = (char)(lead[n] | c);
	strbuf_add(out, b, n);
}

/* Four hex digits at p; -1 if they are none. */
static int32_t hex4(const char *p, const char *end)
{
	int32_t v = 0;
	if (end - p < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		char c = p[i];
		int digit = c >= '0' && c <= '9'   ? c - '0'
			    : c >= 'a' && c <= 'f' ? c - 'a' + 10
			    : c >= 'A' && c <= 'F' ? c - 'A' + 10
						   : -1;
		if (digit < 0)
			return -1;
		v = v * 16 + digit;
	}
	return v;
}

/* Behind "\u"; half of a surrogate pair alone becomes U+FFFD. */
static const char *unicode_escape(const char *p, const char *end, struct strbuf *out)
{
	int32_t c = hex4(p, end);
	p = c < 0 ? p : p + 4;
	if (c >= 0xd800 && c < 0xdc00 && end - p >= 6 && p[0] == '\\' && p[1] == 'u') {
		int32_t low = hex4(p + 2, end);
		if (low >= 0xdc00 && low < 0xe000) {
			c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
			p += 6;
		}
	}
	add_utf8(out, c < 0 || (c >= 0xd800 && c < 0xe000) ? 0xfffd : (uint32_t)c);
	return p;
}

static void unescape(struct slice inside, struct strbuf *out)
{
	const char *p = inside.p, *end = p + inside.n;
	while (p < end) {
		const char *back = memchr(p, '\\', (size_t)(end - p));
		strbuf_add(out, p, (size_t)((back ? back : end) - p));
		if (!back || back + 1 >= end)
			return;
		static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
		const char *known = memchr(from, back[1], 5);
		p = back + 2;
		if (back[1] == 'u')
			p = unicode_escape(p, end, out);
		else
			strbuf_add_char(out, known ? to[known - from] : back[1]);
	}
}

bool scan_is(struct slice inside, const char *word)
{
	if (inside.n == 0 || !memchr(inside.p, '\\', inside.n))
		return slice_is(inside, word);
	struct strbuf plain = STRBUF_INIT;
	unescape(inside, &plain);
	bool same = slice_is(strbuf_slice(&plain), word);
	strbuf_fini(&plain);
	return same;
}

bool scan_is_string(struct slice raw)
{
	return raw.n >= 2 && raw.p[0] == '"';
}

struct slice scan_inside(struct slice raw)
{
	return scan_is_string(raw) ? slice_of(raw.p + 1, raw.n - 2) : SLICE_NONE;
}

static void part_text(struct slice part, struct strbuf *out)
{
	struct scan s = scan_of(part);
	struct slice key, value, text = SLICE_NONE;
	bool is_text = false;
	if (!scan_open(&s, '{'))
		return;
	while (scan_member(&s, &key, &value)) {
		if (scan_is(key, "type"))
			is_text = scan_is(scan_inside(value), "text");
		else if (scan_is(key, "text"))
			text = scan_inside(value);
	}
	if (is_text && text.n)
		unescape(text, out);
}

void scan_text(struct slice raw, struct strbuf *out)
{
	if (scan_is_string(raw)) {
		unescape(scan_inside(raw), out);
		return;
	}
	if (raw.n == 0 || raw.p[0] != '[')
		return;
	struct scan s = scan_of(raw);
	struct slice part;
	scan_open(&s, '[');
	while (scan_element(&s, &part))
		part_text(part, out);
}

bool scan_object(struct slice raw, const struct scan_want *want, size_t n)
{
	struct scan s = scan_of(raw);
	struct slice key, value;
	for (size_t i = 0; i < n; i++)
		*want[i].value = SLICE_NONE;
	if (raw.n == 0 || !scan_open(&s, '{'))
		return false;
	while (scan_member(&s, &key, &value))
		for (size_t i = 0; i < n; i++)
			if (scan_is(key, want[i].key))
				*want[i].value = value;
	return !s.bad;
}

struct scan scan_list(struct slice raw)
{
	struct scan s = scan_of(raw.n && raw.p[0] == '[' ? raw : SLICE("[]"));
	scan_open(&s, '[');
	return s;
}

bool scan_at_end(struct scan *s)
{
	scan_space(s);
	return !s->bad && s->p == s->end;
}
