/* SPDX-License-Identifier: Apache-2.0
 * A pattern is a row of tokens; matching keeps the set of tokens that may come next, so
 * no pattern makes it go back. */
#include "sandbox/files/files_glob.h"

#include <stdlib.h>

#include "common/alloc.h"

#define ALTERNATIVES_MOST 64

enum {
	ONE,    /* this character */
	ANY,    /* any but '/'; then MORE */
	CLASS,  /* one of a set, never '/'; then MORE */
	MORE,   /* the later bytes of a character */
	STAR,   /* any number of any but '/' */
	DEEP,   /* any number of any */
	DIRS,   /* nothing, or any number of any up to a '/': the next token is INSIDE */
	INSIDE, /* within such directories */
};

/* The end of the class that begins behind `[` at i; 0: it is none. */
static size_t class_end(struct slice p, size_t i)
{
	size_t j = i + 1;
	if (j < p.n && (p.p[j] == '!' || p.p[j] == '^'))
		j++;
	if (j < p.n && p.p[j] == ']')
		j++;
	while (j < p.n && p.p[j] != ']')
		j++;
	return j < p.n ? j : 0;
}

static void add(struct files_glob *g, struct files_glob_token t)
{
	g->tokens[g->n++] = t;
}

/* Returns how much of the pattern it took. */
static size_t add_stars(struct files_glob *g, struct slice p, size_t i)
{
	size_t n = 1;
	while (i + n < p.n && p.p[i + n] == '*')
		n++;
	bool own = (i == 0 || p.p[i - 1] == '/') && n > 1;
	if (own && i + n < p.n && p.p[i + n] == '/') {
		add(g, (struct files_glob_token){.kind = DIRS});
		add(g, (struct files_glob_token){.kind = INSIDE});
		return n + 1;
	}
	add(g, (struct files_glob_token){.kind = own ? DEEP : STAR});
	return n;
}

static size_t add_class(struct files_glob *g, struct slice p, size_t i)
{
	size_t end = class_end(p, i), from = i + 1;
	if (!end) {
		add(g, (struct files_glob_token){.kind = ONE, .c = '['});
		return 1;
	}
	bool negated = p.p[from] == '!' || p.p[from] == '^';
	add(g, (struct files_glob_token){.kind = CLASS,
					 .negated = negated,
					 .from = (uint16_t)(from + negated),
					 .to = (uint16_t)end});
	add(g, (struct files_glob_token){.kind = MORE});
	return end + 1 - i;
}

bool files_glob_compile(struct files_glob *g, struct slice pattern)
{
	g->n = 0;
	if (pattern.n > FILES_GLOB_MOST)
		return false;
	if (pattern.n)
		memcpy(g->text, pattern.p, pattern.n);
	g->text[pattern.n] = 0;
	for (size_t i = 0; i < pattern.n;) {
		char c = pattern.p[i];
		if (c == '*') {
			i += add_stars(g, pattern, i);
		} else if (c == '?') {
			add(g, (struct files_glob_token){.kind = ANY});
			add(g, (struct files_glob_token){.kind = MORE});
			i++;
		} else if (c == '[') {
			i += add_class(g, pattern, i);
		} else {
			i += c == '\\' && i + 1 < pattern.n;
			add(g, (struct files_glob_token){.kind = ONE, .c = pattern.p[i]});
			i++;
		}
	}
	return true;
}

static bool in_class(const struct files_glob *g, const struct files_glob_token *t, char c)
{
	bool found = false;
	unsigned char u = (unsigned char)c;
	for (size_t i = t->from; i < t->to; i++) {
		bool range = i + 2 < t->to && g->text[i + 1] == '-';
		unsigned char low = (unsigned char)g->text[i],
			      high = (unsigned char)g->text[range ? i + 2 : i];
		found |= u >= low && u <= high;
		i += range ? 2 : 0;
	}
	return found != t->negated;
}

/* Whether token i may be the next, and those that follow it when it takes nothing. */
static void reach(const struct files_glob *g, bool *set, size_t i)
{
	for (;;) {
		set[i] = true;
		if (i == g->n)
			return;
		if (g->tokens[i].kind == DIRS) {
			set[i + 1] = true;
			i += 2;
		} else if (g->tokens[i].kind == STAR || g->tokens[i].kind == DEEP ||
			   g->tokens[i].kind == MORE) {
			i++;
		} else {
			return;
		}
	}
}

/* Not the first byte of a character. */
static bool is_later(char c)
{
	return ((unsigned char)c & 0xC0) == 0x80;
}

static void advance(const struct files_glob *g, bool *next, size_t i, char c)
{
	const struct files_glob_token *t = &g->tokens[i];
	switch (t->kind) {
	case ONE:
		if (t->c == c)
			reach(g, next, i + 1);
		return;
	case ANY:
		if (c != '/' && !is_later(c))
			reach(g, next, i + 1);
		return;
	case CLASS:
		if (c != '/' && !is_later(c) && in_class(g, t, c))
			reach(g, next, i + 1);
		return;
	case STAR:
		if (c != '/')
			reach(g, next, i);
		return;
	case MORE:
		if (is_later(c))
			reach(g, next, i);
		return;
	case DEEP:
		reach(g, next, i);
		return;
	case INSIDE:
		next[i] = true;
		if (c == '/')
			reach(g, next, i + 1);
		return;
	default: /* DIRS: its INSIDE acts */
		return;
	}
}

bool files_glob_matches(const struct files_glob *g, struct slice path)
{
	bool sets[2][FILES_GLOB_TOKENS + 1] = {{false}}, *now = sets[0], *next = sets[1];
	reach(g, now, 0);
	for (size_t i = 0; i < path.n; i++) {
		memset(next, 0, g->n + 1);
		for (size_t k = 0; k < g->n; k++)
			if (now[k])
				advance(g, next, k, path.p[i]);
		bool *old = now;
		now = next;
		next = old;
	}
	return now[g->n];
}

/* ---- alternatives */

static bool add_pattern(struct files_globs *g, struct slice pattern,
			struct files_why *why)
{
	if (g->n == ALTERNATIVES_MOST)
		return files_refuse(why, "the glob has more than %d alternatives",
				    ALTERNATIVES_MOST);
	if (!files_glob_compile(&g->list[g->n], pattern))
		return files_refuse(why, "the glob is longer than %d bytes",
				    FILES_GLOB_MOST);
	g->n++;
	return true;
}

/* The brace that closes the one at i; 0: none does, or there is no comma. */
static size_t brace_end(struct slice p, size_t i)
{
	unsigned depth = 0;
	bool comma = false;
	for (size_t j = i; j < p.n; j++) {
		comma |= p.p[j] == ',' && depth == 1;
		depth += p.p[j] == '{';
		if (p.p[j] == '}' && --depth == 0)
			return comma ? j : 0;
	}
	return 0;
}

static bool expand(struct files_globs *g, struct slice p, struct files_why *why)
{
	size_t open = 0, end = 0;
	while (open < p.n && !(p.p[open] == '{' && (end = brace_end(p, open))))
		open++;
	if (open == p.n)
		return add_pattern(g, p, why);
	unsigned depth = 0;
	size_t from = open + 1;
	for (size_t j = from; j <= end; j++) {
		char text[FILES_GLOB_MOST + 1];
		bool last = j == end, comma = p.p[j] == ',' && depth == 0;
		depth += p.p[j] == '{';
		depth -= p.p[j] == '}' && !last;
		if (!last && !comma)
			continue;
		size_t n = open + (j - from) + (p.n - end - 1);
		memcpy(text, p.p, open);
		memcpy(text + open, p.p + from, j - from);
		memcpy(text + open + (j - from), p.p + end + 1, p.n - end - 1);
		if (!expand(g, slice_of(text, n), why))
			return false;
		from = j + 1;
	}
	return true;
}

bool files_globs_init(struct files_globs *g, struct slice pattern, struct files_why *why)
{
	*g = (struct files_globs){.by_path = slice_find(pattern, SLICE("/")) >= 0};
	if (pattern.n > FILES_GLOB_MOST)
		return files_refuse(why, "the glob is longer than %d bytes",
				    FILES_GLOB_MOST);
	g->list = xcalloc(ALTERNATIVES_MOST, sizeof *g->list);
	while (slice_has_prefix(pattern, SLICE("./")))
		pattern = slice_of(pattern.p + 2, pattern.n - 2);
	return expand(g, pattern, why);
}

void files_globs_fini(struct files_globs *g)
{
	free(g->list);
	*g = (struct files_globs){0};
}

bool files_globs_match(const struct files_globs *g, struct slice path, struct slice name)
{
	for (size_t i = 0; i < g->n; i++)
		if (files_glob_matches(&g->list[i], g->by_path ? path : name))
			return true;
	return false;
}
