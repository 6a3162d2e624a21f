/* SPDX-License-Identifier: Apache-2.0
 * The tenant's keys of model providers: GET, POST and PUT /v1/providers/{provider}/keys,
 * GET, PATCH and DELETE .../{key}. The secret comes in, is sealed here for workers alone
 * and never goes out again: of it, answers show the last four characters. */
#include <stdio.h>

#include "common/json.h"
#include "edge/key_store.h"
#include "edge/link.h"
#include "edge/reply.h"
#include "proto/keys/key_text.h"

#define TEXT_MOST (1u << 20)

enum stage { KEY_START, KEY_READ, KEY_SENT };

struct keying {
	struct slice provider;
	bool is_new;
	struct slice rows; /* what was read, a JSON array */
	struct key_body body;
	struct key_row row;
	struct key_outcome out;
};

/* ---- what all begin with */

static void wipe_state(struct call *c)
{
	struct keying *k = c->state;
	if (k)
		key_body_wipe(&k->body);
}

static struct keying *begin(struct call *c)
{
	struct keying *k = arena_zalloc(c->request->arena, sizeof *k);
	c->state = k;
	k->provider = c->match.params[0];
	if (key_provider_is_known(k->provider))
		return k;
	reply_err(c->request, ERR_NOT_FOUND, NULL,
		  arena_printf(c->request->arena,
			       "there is no such model provider; there are %s",
			       key_providers()),
		  0);
	return NULL;
}

static bool not_found(struct call *c)
{
	reply_err(c->request, ERR_NOT_FOUND, NULL,
		  "this provider has no such key of this tenant", 0);
	return false;
}

static bool take_id(struct call *c, struct keying *k)
{
	return uuid_parse(c->match.params[1], &k->row.id) || not_found(c);
}

static bool take_body(struct call *c, struct keying *k, enum key_body_for what)
{
	if (!c->edge->can_seal) {
		reply_err(c->request, ERR_UNAVAILABLE, NULL,
			  "this node has no master key to seal keys with: see its log",
			  60);
		return false;
	}
	c->on_end = wipe_state;
	return key_body_read(c, what, &k->body);
}

/* ---- sealing */

static struct slice chosen(struct slice given, struct slice before)
{
	return given.p ? given : before;
}

static void seal(struct call *c, struct keying *k)
{
	const struct edge *e = c->edge;
	struct slice key = slice_of(k->body.key, k->body.key_n);
	struct seal_bound b = {c->caller.tenant, k->row.id, k->provider, k->row.base_url};
	key_hint(key, k->row.hint);
	seal_id(e->seal_key, k->row.master);
	k->row.sealed_n = seal_close(e->seal_key, &b, key, k->row.sealed);
	key_body_wipe(&k->body);
}

/* `before`: the row that gets another secret; absent: what is not given is not there. */
static void compose(struct call *c, struct keying *k, json_t before)
{
	struct arena *a = c->request->arena;
	const struct key_body *b = &k->body;
	k->row.provider = k->provider;
	if (!b->key_n)
		return;
	k->row.base_url = arena_slice(
		a, chosen(b->base_url, json_str(json_get(before, "baseUrl"))));
	k->row.version =
		arena_slice(a, chosen(b->version, json_str(json_get(before, "version"))));
	k->row.bearer = b->has_auth
				? b->bearer
				: slice_is(json_str(json_get(before, "auth")), "bearer");
	seal(c, k);
}

static void send_new(struct call *c, struct keying *k)
{
	k->is_new = true;
	k->row.id = uuid7_new();
	compose(c, k, NULL);
	c->stage = KEY_SENT;
	key_store_add(c, &k->row, &k->body, &k->out);
}

static void send_change(struct call *c, struct keying *k, json_t before)
{
	compose(c, k, before);
	c->stage = KEY_SENT;
	key_store_change(c, &k->row, &k->body, &k->out);
}

/* ---- answers */

static bool was_done(struct call *c, const struct keying *k)
{
	struct request *r = c->request;
	if (!c->asked && k->out.taken)
		reply_err(r, ERR_CONFLICT, "label",
			  "another key of this provider has that label", 0);
	else if (!c->asked && k->out.full)
		reply_err(r, ERR_CONFLICT, NULL,
			  "this tenant has 64 provider keys: delete one first", 0);
	else
		return change_is_done(c, &k->out.change, "the key");
	return false;
}

static void reply_key(struct call *c, int status, struct slice json, int64_t revision)
{
	char tag[32];
	snprintf(tag, sizeof tag, "\"%lld\"", (long long)revision);
	reply_head(c->request, status);
	reply_field(c->request, "etag", slice_str(tag));
	reply_body(c->request, "application/json", json);
}

/* Workers of this node read it anew before their next run. */
static void take_done(struct call *c, struct keying *k)
{
	if (!was_done(c, k))
		return;
	link_changed(c->edge, c->caller.tenant, SLICE("provider_key"), k->row.id);
	if (c->request->head.method == METHOD_DELETE)
		reply_key(c, 200, SLICE("{\"deleted\":true}\n"), k->out.change.version);
	else
		reply_key(c, k->is_new ? 201 : 200, k->out.json,
			  k->is_new ? 1 : k->out.change.version);
}

static bool was_read(struct call *c)
{
	if (c->asked)
		reply_err(c->request, c->asked, NULL, NULL, 0);
	return !c->asked;
}

/* ---- the calls */

void key_list(struct call *c)
{
	struct keying *k = c->state;
	if (c->asking)
		return;
	if (c->stage == KEY_START) {
		k = begin(c);
		c->stage = KEY_READ;
		if (k)
			key_store_read(c, k->provider, (struct uuid){{0}}, &k->rows);
	} else if (was_read(c)) {
		reply_head(c->request, 200);
		reply_body(c->request, "application/json",
			   slice_str(arena_printf(c->request->arena, "{\"keys\":%.*s}\n",
						  SLICE_ARG(k->rows))));
	}
}

void key_get(struct call *c)
{
	struct keying *k = c->state;
	int64_t revision = 0;
	if (c->asking)
		return;
	if (c->stage == KEY_START) {
		k = begin(c);
		c->stage = KEY_READ;
		if (k && take_id(c, k))
			key_store_read(c, k->provider, k->row.id, &k->rows);
		return;
	}
	AUTO(auto_json_free)
	struct json_doc *d = json_parse(k->rows, TEXT_MOST, NULL, 0);
	json_t row = json_at(json_root(d), 0);
	AUTO(strbuf_fini) struct strbuf text = STRBUF_INIT;
	if (!was_read(c))
		return;
	if (!row) {
		not_found(c);
		return;
	}
	json_print(&text, row);
	json_i64(json_get(row, "revision"), &revision);
	reply_key(c, 200, strbuf_slice(&text), revision);
}

void key_add(struct call *c)
{
	struct keying *k = c->state;
	if (c->asking)
		return;
	if (c->stage == KEY_SENT) {
		take_done(c, k);
		return;
	}
	k = begin(c);
	if (k && take_body(c, k, KEY_BODY_NEW))
		send_new(c, k);
}

static json_t labelled(json_t rows, struct slice label)
{
	struct json_iter it = json_iter(rows);
	for (json_t v; (v = json_next(&it, NULL));)
		if (slice_eq(json_str(json_get(v, "label")), label))
			return v;
	return NULL;
}

/* The key of that label: another secret for it, or a new one. */
static void set_labelled(struct call *c, struct keying *k)
{
	AUTO(auto_json_free)
	struct json_doc *d = json_parse(k->rows, TEXT_MOST, NULL, 0);
	json_t row = labelled(json_root(d), k->body.label);
	if (!row && k->out.change.expect >= 0) {
		change_refuse(c, "there is no key of that label any more");
		return;
	}
	if (!row) {
		send_new(c, k);
		return;
	}
	uuid_parse(json_str(json_get(row, "id")), &k->row.id);
	send_change(c, k, NULL);
}

void key_set(struct call *c)
{
	struct keying *k = c->state;
	if (c->asking)
		return;
	if (c->stage == KEY_START) {
		k = begin(c);
		if (!k || !take_body(c, k, KEY_BODY_NEW) ||
		    !change_read(c, &k->out.change))
			return;
		if (!k->body.label.n)
			k->body.label = SLICE("default");
		c->stage = KEY_READ;
		key_store_read(c, k->provider, (struct uuid){{0}}, &k->rows);
	} else if (c->stage == KEY_READ) {
		if (was_read(c))
			set_labelled(c, k);
	} else {
		take_done(c, k);
	}
}

static void change_row(struct call *c, struct keying *k)
{
	AUTO(auto_json_free)
	struct json_doc *d = json_parse(k->rows, TEXT_MOST, NULL, 0);
	json_t row = json_at(json_root(d), 0);
	if (row)
		send_change(c, k, row);
	else
		not_found(c);
}

void key_change(struct call *c)
{
	struct keying *k = c->state;
	if (c->asking)
		return;
	if (c->stage == KEY_START) {
		k = begin(c);
		if (!k || !take_id(c, k) || !take_body(c, k, KEY_BODY_CHANGE) ||
		    !change_read(c, &k->out.change))
			return;
		c->stage = KEY_READ;
		key_store_read(c, k->provider, k->row.id, &k->rows);
	} else if (c->stage == KEY_READ) {
		if (was_read(c))
			change_row(c, k);
	} else {
		take_done(c, k);
	}
}

void key_remove(struct call *c)
{
	struct keying *k = c->state;
	if (c->asking)
		return;
	if (c->stage == KEY_SENT) {
		take_done(c, k);
		return;
	}
	k = begin(c);
	if (!k || !take_id(c, k) || !change_read(c, &k->out.change))
		return;
	c->stage = KEY_SENT;
	key_store_remove(c, k->provider, k->row.id, &k->out);
}
