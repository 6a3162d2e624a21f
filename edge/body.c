/* SPDX-License-Identifier: Apache-2.0
 * Member by member. */
#include "edge/body.h"

#include "edge/culprit.h"
#include "edge/reply.h"
#include "edge/server.h"

/* A text that is none spoils the whole document; the member that holds it is named all
 * the same. */
static bool blame(struct call *c, struct slice body, const char *why)
{
	char member[64];
	struct arena *a = c->request->arena;
	const char *problem = culprit_find(body, member, sizeof member);
	if (!problem)
		return reply_wrong(c->request, NULL,
				   arena_printf(a, "the body is no valid JSON: %s", why));
	const char *name = arena_strdup(a, member);
	return reply_wrong(c->request, name,
			   arena_printf(a, "%s must be valid text: %s", name, problem));
}

static bool take(struct call *c, const struct body_member *members, size_t count,
		 struct slice key, json_t v)
{
	struct arena *a = c->request->arena;
	for (size_t i = 0; i < count; i++)
		if (slice_is(key, members[i].name))
			return members[i].take(c, v);
	AUTO(strbuf_fini) struct strbuf known = STRBUF_INIT;
	const char *name = arena_strndup(a, key.p, key.n < 63 ? key.n : 63);
	for (size_t i = 0; i < count; i++)
		strbuf_printf(&known, "%s%s", i ? ", " : "", members[i].name);
	return reply_wrong(
		c->request, name,
		count ? arena_printf(a, "there is no member \"%s\" here: it takes %.*s",
				     name, SLICE_ARG(strbuf_slice(&known)))
		      : arena_printf(a, "there is no member \"%s\" here: it takes none",
				     name));
}

struct json_doc *body_object(struct call *c)
{
	char why[160];
	struct slice body = slice_trim(strbuf_slice(&c->request->body));
	if (body.n == 0) {
		reply_wrong(c->request, NULL, "the body must be a JSON object");
		return NULL;
	}
	struct json_doc *doc =
		json_parse_unique(body, c->request->body_most, why, sizeof why);
	if (!doc) {
		blame(c, body, why);
		return NULL;
	}
	if (json_kind(json_root(doc)) == JSON_OBJECT)
		return doc;
	json_free(doc);
	reply_wrong(c->request, NULL, "the body must be a JSON object");
	return NULL;
}

bool body_read(struct call *c, const struct body_member *members, size_t count)
{
	struct slice key;
	if (slice_trim(strbuf_slice(&c->request->body)).n == 0)
		return true;
	AUTO(auto_json_free) struct json_doc *doc = body_object(c);
	if (!doc)
		return false;
	struct json_iter it = json_iter(json_root(doc));
	for (json_t v; (v = json_next(&it, &key));)
		if (!take(c, members, count, key, v))
			return false;
	return true;
}

bool body_members(struct call *c, const char *within, json_t object,
		  const struct body_member *members, size_t count)
{
	struct slice key;
	struct json_iter it = json_iter(object);
	if (json_kind(object) != JSON_OBJECT)
		return reply_wrong(
			c->request, within,
			arena_printf(c->request->arena, "%s must be an object", within));
	for (json_t v; (v = json_next(&it, &key));)
		if (!take(c, members, count, key, v))
			return false;
	return true;
}

bool body_text(struct call *c, const char *name, json_t v, size_t least, size_t most,
	       bool lines, struct slice *out)
{
	struct arena *a = c->request->arena;
	struct slice s = json_str(v);
	if (!s.p || s.n < least || s.n > most)
		return reply_wrong(c->request, name,
				   arena_printf(a,
						"%s must be a string of %zu to %zu bytes",
						name, least, most));
	if (!lines && slice_has_control(s))
		return reply_wrong(
			c->request, name,
			arena_printf(a, "%s must not hold control characters", name));
	*out = arena_slice(a, s);
	return true;
}

bool body_number(struct call *c, const char *name, json_t v, int64_t least, int64_t most,
		 int64_t *out)
{
	if (json_i64(v, out) && *out >= least && *out <= most)
		return true;
	return reply_wrong(c->request, name,
			   arena_printf(c->request->arena,
					"%s must be an integer from %lld to %lld", name,
					(long long)least, (long long)most));
}
