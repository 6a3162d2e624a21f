/* SPDX-License-Identifier: Apache-2.0
 * Matching paths segment by segment. */
#include "edge/route.h"

#include <string.h>

#include "common/die.h"
#include "edge/call.h"

static const struct route_row rows[ROUTE__COUNT] = {
	[ROUTE_NONE] = {"NONE", "", 0, 0, NULL},
#define ROUTE(NAME, methods, pattern, scopes, handler)                                   \
	[ROUTE_##NAME] = {#NAME, pattern, methods, scopes, handler},
#include "edge/routes.tbl"
#undef ROUTE
};

const struct route_row *route_row(enum route r)
{
	check(r > ROUTE_NONE && r < ROUTE__COUNT);
	return &rows[r];
}

/* Raw parameters: decoded only for the row that is taken. */
static bool matches(const char *pattern, struct slice path,
		    struct slice params[ROUTE_PARAMS])
{
	struct slice want = slice_str(pattern);
	unsigned count = 0;
	while (want.p && path.p) {
		struct slice w = slice_cut(&want, '/');
		struct slice p = slice_cut(&path, '/');
		if (slice_is(w, ":")) {
			if (p.n == 0)
				return false;
			check(count < ROUTE_PARAMS);
			params[count++] = p;
		} else if (!slice_eq(w, p)) {
			return false;
		}
	}
	return !want.p && !path.p;
}

static void decode(struct route_match *m, struct slice params[ROUTE_PARAMS],
		   struct arena *a)
{
	for (unsigned i = 0; i < ROUTE_PARAMS && params[i].p; i++) {
		char *text = arena_alloc(a, params[i].n + 1);
		size_t n;
		check(http_unescape(params[i], text, &n));
		text[n] = 0;
		m->params[i] = slice_of(text, n);
	}
}

static void add_methods(char *allow, unsigned methods)
{
	static const struct {
		unsigned method;
		const char *word;
	} words[] = {{METHOD_GET, "GET"},        {METHOD_HEAD, "HEAD"},
		     {METHOD_POST, "POST"},      {METHOD_PUT, "PUT"},
		     {METHOD_PATCH, "PATCH"},    {METHOD_DELETE, "DELETE"},
		     {METHOD_OPTIONS, "OPTIONS"}};
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (!(methods & words[i].method))
			continue;
		if (*allow)
			strcat(allow, ", ");
		strcat(allow, words[i].word);
	}
}

/* What tells most rows from a path at a glance: how many segments they have, and the text
 * before their first parameter. */
struct outline {
	unsigned segments;
	size_t literal;
};

static unsigned segments_of(const char *p, size_t n)
{
	unsigned count = 0;
	for (size_t i = 0; i < n; i++)
		count += p[i] == '/';
	return count;
}

static const struct outline *outlines(void)
{
	static struct outline all[ROUTE__COUNT];
	for (int i = ROUTE_NONE + 1; !all[ROUTE__COUNT - 1].segments && i < ROUTE__COUNT;
	     i++) {
		const char *p = rows[i].pattern, *colon = strchr(p, ':');
		all[i].literal = colon ? (size_t)(colon - p) : strlen(p);
		all[i].segments = segments_of(p, strlen(p));
	}
	return all;
}

void route_find(unsigned method, struct slice path, struct arena *a,
		struct route_match *out)
{
	const struct outline *o = outlines();
	unsigned methods = 0, segments = segments_of(path.p, path.n);
	memset(out, 0, sizeof *out);
	if (method == METHOD_HEAD)
		method = METHOD_GET;
	for (int i = ROUTE_NONE + 1; i < ROUTE__COUNT; i++) {
		struct slice params[ROUTE_PARAMS] = {{0}};
		if (o[i].segments != segments || path.n < o[i].literal ||
		    memcmp(path.p, rows[i].pattern, o[i].literal) != 0 ||
		    !matches(rows[i].pattern, path, params))
			continue;
		methods |= rows[i].methods;
		if (!(rows[i].methods & method))
			continue;
		out->route = (enum route)i;
		decode(out, params, a);
		return;
	}
	if (methods & METHOD_GET)
		methods |= METHOD_HEAD;
	add_methods(out->allow, methods | (methods ? METHOD_OPTIONS : 0));
}

const char *route_scope_word(unsigned bit)
{
	static const char *const words[] = {"run", "read", "write", "admin", "platform"};
	return bit < ARRAY_LEN(words) ? words[bit] : NULL;
}
