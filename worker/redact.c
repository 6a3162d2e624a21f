/* SPDX-License-Identifier: Apache-2.0
 * Needles by the hash of their first eight bytes, and shapes by their first character. */
#include "worker/redact.h"

#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/attr.h"
#include "common/crypto.h"
#include "common/map.h"
#include "worker/keys.h"
#include "worker/llm/endpoints.h"
#include "worker/run.h"

#define BUCKETS 4096u

struct needle {
	char *text;
	size_t n;
	uint32_t next; /* its place + 1 in the bucket's chain; 0: the last */
};

struct redact {
	struct needle *needles;
	uint32_t count, cap;
	uint32_t first[BUCKETS];
};

static const struct {
	const char *prefix;
	size_t least;
} shapes[] = {
#define KEY_SHAPE(prefix, least) {prefix, least},
#include "worker/redact.tbl"
#undef KEY_SHAPE
};

static uint32_t bucket_of(const char *p)
{
	uint64_t head;
	memcpy(&head, p, sizeof head);
	return (uint32_t)((head * 0x9e3779b97f4a7c15u) >> 52);
}

/* ---- secrets in all their forms */

static void put(struct redact *x, struct slice text)
{
	if (text.n < REDACT_LEAST)
		return;
	uint32_t *first = &x->first[bucket_of(text.p)];
	for (uint32_t i = *first; i; i = x->needles[i - 1].next)
		if (slice_eq(slice_of(x->needles[i - 1].text, x->needles[i - 1].n), text))
			return;
	if (x->count == x->cap) {
		x->cap = x->cap ? 2 * x->cap : 32;
		x->needles = xrealloc(x->needles, x->cap * sizeof *x->needles);
	}
	x->needles[x->count++] =
		(struct needle){xstrndup(text.p, text.n), text.n, *first};
	*first = x->count;
}

static void put_and_wipe(struct redact *x, struct strbuf *b)
{
	put(x, strbuf_slice(b));
	if (b->n)
		crypto_wipe(b->p, b->n);
	strbuf_fini(b);
}

static void put_url_encoded(struct redact *x, struct slice s, const char *format)
{
	struct strbuf b = STRBUF_INIT;
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (isalnum(c) || strchr("-_.~", c))
			strbuf_add_char(&b, (char)c);
		else
			strbuf_printf(&b, format, c);
	}
	put_and_wipe(x, &b);
}

/* As it stands in the base64 of a longer text, behind `before` bytes of a group of three:
 * the characters that depend on it alone. */
static void put_base64(struct redact *x, struct slice s, size_t before, bool for_urls)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
	struct strbuf b = STRBUF_INIT;
	size_t from = (before * 8 + 5) / 6, end = (before + s.n) * 8 / 6;
	for (size_t i = from; i < end; i++) {
		unsigned v = 0;
		for (size_t bit = i * 6; bit < i * 6 + 6; bit++) {
			size_t at = bit / 8 - before;
			v = v << 1 | ((unsigned char)s.p[at] >> (7 - bit % 8) & 1);
		}
		strbuf_add_char(&b, v < 62    ? digits[v]
				    : v == 62 ? (for_urls ? '-' : '+')
					      : (for_urls ? '_' : '/'));
	}
	put_and_wipe(x, &b);
}

void redact_add(struct redact *x, struct slice s)
{
	if (s.n < REDACT_LEAST)
		return;
	put(x, s);
	put_url_encoded(x, s, "%%%02X");
	put_url_encoded(x, s, "%%%02x");
	for (size_t before = 0; before < 3; before++) {
		put_base64(x, s, before, false);
		put_base64(x, s, before, true);
	}
}

static void add_one(void *x, struct slice secret)
{
	redact_add(x, secret);
}

struct redact *redact_new(const struct worker *w)
{
	struct redact *x = xcalloc(1, sizeof *x);
	size_t it = 0;
	void *run;
	if (w->keys)
		keys_each_secret(w->keys, add_one, x);
	if (w->endpoints)
		endpoints_each_key(w->endpoints, add_one, x);
	while (w->runs && map_next(w->runs, &it, NULL, &run))
		redact_add(x, slice_str(((const struct run *)run)->cap));
	redact_add(x, w->password);
	return x;
}

void redact_free(struct redact *x)
{
	if (!x)
		return;
	for (uint32_t i = 0; i < x->count; i++) {
		crypto_wipe(x->needles[i].text, x->needles[i].n);
		free(x->needles[i].text);
	}
	free(x->needles);
	free(x);
}

/* ---- the pass */

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '-' || c == '.';
}

static size_t needle_at(const struct redact *x, struct slice rest)
{
	size_t longest = 0;
	if (rest.n < REDACT_LEAST)
		return 0;
	for (uint32_t i = x->first[bucket_of(rest.p)]; i;) {
		const struct needle *d = &x->needles[i - 1];
		if (d->n <= rest.n && d->n > longest && !memcmp(d->text, rest.p, d->n))
			longest = d->n;
		i = d->next;
	}
	return longest;
}

static size_t shape_at(struct slice rest)
{
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
		size_t n = strlen(shapes[i].prefix);
		if (*rest.p != *shapes[i].prefix ||
		    !slice_has_prefix(rest, slice_of(shapes[i].prefix, n)))
			continue;
		while (n < rest.n && is_word(rest.p[n]))
			n++;
		if (n >= shapes[i].least)
			return n;
	}
	return 0;
}

/* A word begins there; what an escape of JSON ends with belongs to none. */
static bool begins_word(struct slice s, size_t i)
{
	return !i || !is_word(s.p[i - 1]) || (i > 1 && s.p[i - 2] == '\\');
}

bool redact_text(const struct redact *x, struct strbuf *text)
{
	struct slice s = strbuf_slice(text);
	struct strbuf out = STRBUF_INIT;
	size_t kept = 0, n;
	for (size_t i = 0; i < s.n; i++) {
		struct slice rest = slice_of(s.p + i, s.n - i);
		n = needle_at(x, rest);
		if (!n && begins_word(s, i))
			n = shape_at(rest);
		if (!n)
			continue;
		strbuf_add(&out, s.p + kept, i - kept);
		strbuf_add_str(&out, REDACT_MASK);
		kept = i + n;
		i = kept - 1;
	}
	if (!kept)
		return false;
	strbuf_add(&out, s.p + kept, s.n - kept);
	strbuf_fini(text);
	*text = out;
	return true;
}
