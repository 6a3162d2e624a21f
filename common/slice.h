/* SPDX-License-Identifier: Apache-2.0
 * Borrowed bytes: a pointer and a length, no NUL promised, nothing owned. */
#ifndef TB_SLICE_H
#define TB_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct slice {
	const char *p;
	size_t n;
};

#define SLICE(literal) ((struct slice){(literal), sizeof(literal) - 1})
#define SLICE_NONE ((struct slice){NULL, 0})
/* For printf("%.*s"). */
#define SLICE_ARG(s) (int)(s).n, (s).p ? (s).p : ""

static inline struct slice slice_str(const char *s)
{
	return (struct slice){s, s ? strlen(s) : 0};
}
static inline struct slice slice_of(const void *p, size_t n)
{
	return (struct slice){p, n};
}
static inline bool slice_eq(struct slice a, struct slice b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}
static inline bool slice_is(struct slice a, const char *s)
{
	return slice_eq(a, slice_str(s));
}
/* ASCII letters compare without case. */
bool slice_ieq(struct slice a, struct slice b);
bool slice_has_prefix(struct slice s, struct slice prefix);
/* Without leading and trailing spaces, tabs, CR and LF. */
struct slice slice_trim(struct slice s);
/* Cuts `*rest` at the first `sep`: returns what is before it and leaves what is after.
 * Without a sep: all of it, and *rest becomes SLICE_NONE. */
struct slice slice_cut(struct slice *rest, char sep);
/* The first occurrence of needle, or -1. */
ptrdiff_t slice_find(struct slice s, struct slice needle);
/* Decimal digits only (optional leading '-'), whole slice, no overflow. */
bool slice_to_i64(struct slice s, long long *out);
/* Well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates). */
bool slice_is_utf8(struct slice s);
/* C0, DEL or C1 (U+0080 to U+009F) in a text that is UTF-8. */
bool slice_has_control(struct slice s);

#endif
