/* SPDX-License-Identifier: Apache-2.0
 * Borrowed bytes: the operations that are no one-liners. */
#include "common/slice.h"

#include <limits.h>

static unsigned char lower(unsigned char c)
{
	return c >= 'A' && c <= 'Z' ? (unsigned char)(c | 0x20) : c;
}

bool slice_ieq(struct slice a, struct slice b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++)
		if (lower((unsigned char)a.p[i]) != lower((unsigned char)b.p[i]))
			return false;
	return true;
}

bool slice_has_prefix(struct slice s, struct slice prefix)
{
	return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct slice slice_trim(struct slice s)
{
	while (s.n && is_space(s.p[0]))
		s.p++, s.n--;
	while (s.n && is_space(s.p[s.n - 1]))
		s.n--;
	return s;
}

struct slice slice_cut(struct slice *rest, char sep)
{
	struct slice all = *rest;
	const char *at = all.n ? memchr(all.p, sep, all.n) : NULL;
	if (!at) {
		*rest = SLICE_NONE;
		return all;
	}
	size_t n = (size_t)(at - all.p);
	*rest = slice_of(at + 1, all.n - n - 1);
	return slice_of(all.p, n);
}

ptrdiff_t slice_find(struct slice s, struct slice needle)
{
	if (needle.n == 0)
		return 0;
	const char *at = s.n ? memmem(s.p, s.n, needle.p, needle.n) : NULL;
	return at ? at - s.p : -1;
}

bool slice_to_i64(struct slice s, long long *out)
{
	bool negative = s.n && s.p[0] == '-';
	size_t i = negative;
	long long v = 0;
	if (i == s.n)
		return false;
	for (; i < s.n; i++) {
		int digit = s.p[i] - '0';
		if (digit < 0 || digit > 9 || __builtin_mul_overflow(v, 10LL, &v) ||
		    __builtin_sub_overflow(v, (long long)digit, &v))
			return false;
	}
	if (!negative && v == LLONG_MIN)
		return false;
	*out = negative ? v : -v;
	return true;
}

/* Bytes of the well-formed sequence at p, 0 if there is none (RFC 3629, table 3-7 of
 * Unicode). */
static size_t utf8_length(const unsigned char *p, size_t n)
{
	unsigned char low = 0x80, high = 0xbf;
	size_t len;
	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xc2 && p[0] <= 0xdf)
		len = 2;
	else if ((p[0] & 0xf0) == 0xe0)
		len = 3;
	else if (p[0] >= 0xf0 && p[0] <= 0xf4)
		len = 4;
	else
		return 0;
	if (n < len)
		return 0;
	if (p[0] == 0xe0)
		low = 0xa0;
	else if (p[0] == 0xed)
		high = 0x9f;
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f;
	if (p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return len;
}

bool slice_is_utf8(struct slice s)
{
	const unsigned char *p = (const unsigned char *)s.p;
	for (size_t i = 0; i < s.n;) {
		size_t len = utf8_length(p + i, s.n - i);
		if (!len)
			return false;
		i += len;
	}
	return true;
}

bool slice_has_control(struct slice s)
{
	const unsigned char *p = (const unsigned char *)s.p;
	for (size_t i = 0; i < s.n; i++)
		if (p[i] < 0x20 || p[i] == 0x7f ||
		    (p[i] == 0xc2 && i + 1 < s.n && p[i + 1] < 0xa0))
			return true;
	return false;
}
