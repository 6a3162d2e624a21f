/* SPDX-License-Identifier: Apache-2.0
 * {key, label, baseUrl, version, auth, priority, disabled}, member by member. */
#include "edge/key_body.h"

#include <string.h>

#include "common/crypto.h"
#include "common/json.h"
#include "edge/reply.h"
#include "proto/keys/key_text.h"

#define BODY_MAX (16u << 10)
#define PRIORITY_MOST 100

struct reading {
	struct call *c;
	struct key_body *out;
};

static bool wrong(const struct reading *x, const char *name, const char *clause)
{
	return reply_wrong(x->c->request, name,
			   arena_printf(x->c->request->arena, "%s %s", name, clause));
}

/* The parser's copy. */
static void wipe_text(struct slice s)
{
	void *p;
	memcpy(&p, &s.p, sizeof p);
	if (s.n)
		crypto_wipe(p, s.n);
}

static bool take_key(struct reading *x, json_t v)
{
	struct slice s = json_str(v);
	const char *clause = key_text_problem(s);
	if (!clause) {
		memcpy(x->out->key, s.p, s.n);
		x->out->key_n = s.n;
	}
	wipe_text(s);
	return !clause || wrong(x, "key", clause);
}

static const char *base_url_problem(struct slice url)
{
	return key_base_url_problem(url, true);
}

/* A text, or null for none. */
static bool take_text(struct reading *x, const char *name, json_t v, struct slice *out,
		      const char *(*problem)(struct slice))
{
	struct slice s = json_str(v);
	if (json_kind(v) == JSON_NULL) {
		*out = SLICE("");
		return true;
	}
	const char *clause = s.p ? problem(s) : "must be a string, or null";
	if (clause)
		return wrong(x, name, clause);
	*out = arena_slice(x->c->request->arena, s);
	return true;
}

static bool take_auth(struct reading *x, json_t v)
{
	struct slice s = json_str(v);
	x->out->has_auth = true;
	x->out->bearer = slice_is(s, "bearer");
	return x->out->bearer || slice_is(s, "key") ||
	       wrong(x, "auth", "must be \"key\" (the provider's own way) or \"bearer\"");
}

static bool take_priority(struct reading *x, json_t v)
{
	x->out->has_priority = true;
	return (json_i64(v, &x->out->priority) && x->out->priority >= -PRIORITY_MOST &&
		x->out->priority <= PRIORITY_MOST) ||
	       wrong(x, "priority", "must be an integer from -100 to 100");
}

static bool take_disabled(struct reading *x, json_t v)
{
	x->out->has_disabled = true;
	x->out->disabled = json_bool(v, false);
	return json_kind(v) == JSON_BOOL || wrong(x, "disabled", "must be true or false");
}

static bool take_member(struct reading *x, struct slice name, json_t v)
{
	struct key_body *b = x->out;
	if (slice_is(name, "key"))
		return take_key(x, v);
	if (slice_is(name, "label"))
		return take_text(x, "label", v, &b->label, key_label_problem);
	if (slice_is(name, "baseUrl"))
		return take_text(x, "baseUrl", v, &b->base_url, base_url_problem);
	if (slice_is(name, "version"))
		return take_text(x, "version", v, &b->version, key_version_problem);
	if (slice_is(name, "auth"))
		return take_auth(x, v);
	if (slice_is(name, "priority"))
		return take_priority(x, v);
	if (slice_is(name, "disabled"))
		return take_disabled(x, v);
	struct arena *a = x->c->request->arena;
	const char *shown = arena_strndup(a, name.p, name.n < 63 ? name.n : 63);
	return reply_wrong(x->c->request, shown,
			   arena_printf(a, "there is no member \"%s\" here", shown));
}

/* What only makes sense together. */
static bool is_whole(struct reading *x, enum key_body_for what)
{
	struct key_body *b = x->out;
	if (what == KEY_BODY_NEW && !b->key_n)
		return wrong(x, "key", "is missing");
	if (what == KEY_BODY_NEW && b->has_disabled)
		return wrong(x, "disabled", "goes with PATCH alone");
	if (b->key_n)
		return true;
	if (b->base_url.p || b->version.p || b->has_auth)
		return wrong(x,
			     b->base_url.p  ? "baseUrl"
			     : b->version.p ? "version"
					    : "auth",
			     "changes with key alone: the key is sealed for where it "
			     "goes, so give it again");
	return b->label.p || b->has_disabled || b->has_priority ||
	       reply_wrong(x->c->request, NULL,
			   "say what to change: key, label, priority or disabled");
}

static bool read_members(struct reading *x, json_t root)
{
	struct slice name;
	struct json_iter it = json_iter(root);
	if (json_kind(root) != JSON_OBJECT)
		return reply_wrong(x->c->request, NULL, "the body must be a JSON object");
	for (json_t v; (v = json_next(&it, &name));)
		if (!take_member(x, name, v))
			return false;
	return true;
}

bool key_body_read(struct call *c, enum key_body_for what, struct key_body *out)
{
	char why[160];
	struct reading x = {c, out};
	struct strbuf *body = &c->request->body;
	*out = (struct key_body){0};
	AUTO(auto_json_free)
	struct json_doc *doc = json_parse_unique(slice_trim(strbuf_slice(body)), BODY_MAX,
						 why, sizeof why);
	if (body->n)
		crypto_wipe(body->p, body->n);
	if (!doc)
		return reply_wrong(c->request, NULL,
				   arena_printf(c->request->arena,
						"the body must be a JSON object: %s",
						why));
	if (read_members(&x, json_root(doc)) && is_whole(&x, what))
		return true;
	key_body_wipe(out);
	return false;
}

void key_body_wipe(struct key_body *b)
{
	crypto_wipe(b->key, sizeof b->key);
	b->key_n = 0;
}
