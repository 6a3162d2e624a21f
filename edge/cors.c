/* SPDX-License-Identifier: Apache-2.0
 * CORS fields. Tokens travel in a field that scripts set, never in cookies, so an origin
 * that is allowed gets what any client with that token gets. */
#include "edge/cors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"

#define ORIGINS_MOST 64
#define ASKED_MOST 1024 /* bytes of the fields that a page asks to send */

struct cors {
	char *text;
	struct slice origins[ORIGINS_MOST];
	unsigned count;
	bool everybody;
};

/* scheme://host[:port], without a path. */
static bool is_origin(struct slice s)
{
	ptrdiff_t at = slice_find(s, SLICE("://"));
	if (at <= 0 || (size_t)at + 3 >= s.n)
		return false;
	struct slice rest = slice_of(s.p + at + 3, s.n - (size_t)at - 3);
	for (size_t i = 0; i < rest.n; i++)
		if (strchr("/?#@\\\"<>", rest.p[i]) || rest.p[i] <= 0x20)
			return false;
	return true;
}

struct cors *cors_new(const char *origins, char *why, size_t why_size)
{
	struct cors *c = xcalloc(1, sizeof *c);
	const char *fault = NULL;
	*why = 0;
	c->text = xstrdup(origins);
	for (char *p = c->text; *p && !fault;) {
		size_t n = strcspn(p, ", \t\n");
		struct slice s = slice_of(p, n);
		if (n && slice_is(s, "*"))
			c->everybody = true;
		else if (n && c->count == ORIGINS_MOST)
			fault = "there are more than 64 origins";
		else if (n && !is_origin(s))
			fault = "this is no origin such as https://app.example";
		else if (n)
			c->origins[c->count++] = s;
		if (fault)
			snprintf(why, why_size, "'%.*s': %s", SLICE_ARG(s), fault);
		p += n + (p[n] != 0);
	}
	if (!fault && (c->count || c->everybody))
		return c;
	cors_free(c);
	return NULL;
}

void cors_free(struct cors *c)
{
	if (c)
		free(c->text);
	free(c);
}

static bool is_named(const struct cors *c, struct slice origin)
{
	for (unsigned i = 0; i < c->count; i++)
		if (slice_ieq(c->origins[i], origin))
			return true;
	return false;
}

bool cors_names(const struct cors *c, struct slice origin)
{
	return c && (c->everybody || is_named(c, origin));
}

bool cors_names_host(const struct cors *c, struct slice host)
{
	for (unsigned i = 0; c && i < c->count; i++) {
		struct slice s = c->origins[i];
		ptrdiff_t at = slice_find(s, SLICE("://"));
		if (at >= 0 &&
		    slice_ieq(slice_of(s.p + at + 3, s.n - (size_t)at - 3), host))
			return true;
	}
	return c && c->everybody;
}

static void add(struct strbuf *out, const char *name, struct slice value)
{
	strbuf_add_str(out, name);
	strbuf_add(out, ": ", 2);
	strbuf_add_slice(out, value);
	strbuf_add(out, "\r\n", 2);
}

void cors_answer(const struct cors *c, const struct http_head *h, struct strbuf *out)
{
	if (!c)
		return;
	struct slice origin = http_field(h, "origin");
	if (c->everybody && !c->count) {
		if (origin.p)
			add(out, "access-control-allow-origin", SLICE("*"));
	} else {
		/* Whatever comes: a cache must not hand one origin's answer to another.
		 */
		add(out, "vary", SLICE("origin"));
		if (origin.p && is_named(c, origin)) {
			add(out, "access-control-allow-origin", origin);
			add(out, "access-control-allow-credentials", SLICE("true"));
		} else if (origin.p && c->everybody) {
			add(out, "access-control-allow-origin", SLICE("*"));
		} else {
			return;
		}
	}
	if (origin.p)
		add(out, "access-control-expose-headers",
		    SLICE("x-request-id, x-run-id, x-session-id, etag, location, "
			  "retry-after, link, x-ratelimit-limit-requests, "
			  "x-ratelimit-remaining-requests, x-ratelimit-reset-requests, "
			  "x-ratelimit-limit-tokens, x-ratelimit-remaining-tokens, "
			  "x-ratelimit-reset-tokens, mcp-session-id"));
}

/* Names of fields, and what stands between them. */
static bool is_list(struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		char ch = s.p[i];
		bool fine = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') ||
			    (ch >= '0' && ch <= '9') || strchr("-_, ", ch);
		if (!ch || !fine)
			return false;
	}
	return s.n > 0 && s.n <= ASKED_MOST;
}

void cors_preflight(const struct cors *c, const struct http_head *h, const char *allow,
		    struct strbuf *out)
{
	struct slice origin = http_field(h, "origin");
	struct slice asked = http_field(h, "access-control-request-headers");
	if (!c || !origin.p || !http_field(h, "access-control-request-method").p ||
	    (!c->everybody && !is_named(c, origin)))
		return;
	add(out, "access-control-allow-methods", slice_str(allow));
	if (is_list(asked))
		add(out, "access-control-allow-headers", asked);
	add(out, "access-control-max-age", SLICE("7200"));
	add(out, "vary",
	    SLICE("access-control-request-method, access-control-request-headers"));
}
