/* SPDX-License-Identifier: Apache-2.0
 * POST /v1/providers/{provider}/keys/{key}/test: whether the provider takes the key, as a
 * worker finds out. */
#include <string.h>

#include "common/json.h"
#include "edge/inquiry.h"
#include "edge/key_store.h"
#include "edge/reply.h"
#include "proto/keys/key_text.h"

#define BODY_MOST (4u << 10)

enum stage { TEST_START, TEST_READ, TEST_SENT };

struct testing {
	struct inquiring q;
	struct uuid key;
	struct slice model; /* n 0: none */
	struct slice rows;
};

static bool take_model(struct call *c, struct testing *t, json_t v)
{
	struct slice s = json_str(v);
	if (!s.n || s.n > LIMIT_MODEL || slice_has_control(s))
		return reply_wrong(c->request, "model",
				   "model must be a model's name, of at most 250 bytes");
	t->model = arena_slice(c->request->arena, s);
	return true;
}

/* No body is one without members. */
static bool read_body(struct call *c, struct testing *t)
{
	char why[160];
	struct arena *a = c->request->arena;
	struct slice key, body = slice_trim(strbuf_slice(&c->request->body));
	if (!body.n)
		return true;
	AUTO(auto_json_free)
	struct json_doc *d = json_parse_unique(body, BODY_MOST, why, sizeof why);
	if (!d)
		return reply_wrong(
			c->request, NULL,
			arena_printf(a, "the body must be a JSON object: %s", why));
	if (json_kind(json_root(d)) != JSON_OBJECT)
		return reply_wrong(c->request, NULL, "the body must be a JSON object");
	struct json_iter it = json_iter(json_root(d));
	for (json_t v; (v = json_next(&it, &key));) {
		const char *name = arena_strndup(a, key.p, key.n < 63 ? key.n : 63);
		if (!slice_is(key, "model"))
			return reply_wrong(
				c->request, name,
				arena_printf(a, "there is no member \"%s\" here", name));
		if (!take_model(c, t, v))
			return false;
	}
	return true;
}

static void not_found(struct call *c)
{
	reply_err(c->request, ERR_NOT_FOUND, NULL,
		  "this provider has no such key of this tenant", 0);
}

static void begin(struct call *c)
{
	struct testing *t = arena_zalloc(c->request->arena, sizeof *t);
	struct slice provider = c->match.params[0];
	c->state = t;
	if (!key_provider_is_known(provider) ||
	    !uuid_parse(c->match.params[1], &t->key)) {
		not_found(c);
		return;
	}
	if (!read_body(c, t))
		return;
	c->stage = TEST_READ;
	key_store_read(c, provider, t->key, &t->rows);
}

static void send_test(struct call *c, struct testing *t)
{
	struct wire_inquire m = {
		.kind = INQUIRY_KEY, .object = t->key, .model = t->model};
	AUTO(auto_json_free)
	struct json_doc *d = json_parse(t->rows, t->rows.n, NULL, 0);
	if (!json_len(json_root(d))) {
		not_found(c);
		return;
	}
	c->stage = TEST_SENT;
	inquiry_ask(c, &m);
}

void key_test(struct call *c)
{
	if (c->asking)
		return;
	if (c->stage == TEST_START)
		begin(c);
	else if (c->stage == TEST_SENT)
		inquiry_reply(c);
	else if (c->asked)
		reply_err(c->request, c->asked, NULL, NULL, 0);
	else
		send_test(c, c->state);
}
