/* SPDX-License-Identifier: Apache-2.0
 * What a session's model is shown: GET /v1/sessions/{id}/context, how its window is
 * shared out; /snapshots, what compactions made of it, and /snapshots/{version}. */
#include "common/attr.h"
#include "common/json.h"
#include "edge/call.h"
#include "edge/query.h"
#include "edge/reply.h"
#include "edge/session_look.h"
#include "edge/store_context.h"

#define SNAPSHOTS_PAGE 200

enum stage { CONTEXT_START, CONTEXT_ASKED };

static void reply_json(struct call *c, struct strbuf *b)
{
	strbuf_add_char(b, '\n');
	reply_head(c->request, 200);
	reply_body(c->request, "application/json", strbuf_slice(b));
}

/* ---- the window */

static const char *const parts[] = {"system", "tools", "skills", "memory", "summary"};

static int64_t number(json_t note, const char *key)
{
	int64_t n = 0;
	json_i64(json_get(note, key), &n);
	return n > 0 ? n : 0;
}

static void put_part(struct json_out *o, const char *name, int64_t tokens, int64_t window)
{
	json_obj(o);
	json_kv_cstr(o, "part", name);
	json_kv_i64(o, "tokens", tokens);
	json_key(o, "share");
	json_put_double(o, window ? (double)(tokens * 10000 / window) / 10000 : 0);
	json_obj_end(o);
}

/* What its parts do not have of what is used is the messages': the provider counts the
 * whole, and says of no part how much it is. */
static void put_parts(struct json_out *o, json_t note, int64_t window)
{
	int64_t used = number(note, "used"), reserve = number(note, "reserve"), known = 0;
	json_key(o, "parts");
	json_arr(o);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		put_part(o, parts[i], number(note, parts[i]), window);
		known += number(note, parts[i]);
	}
	put_part(o, "messages", used > known ? used - known : 0, window);
	put_part(o, "reserve", reserve, window);
	put_part(o, "free", window > used + reserve ? window - used - reserve : 0,
		 window);
	json_arr_end(o);
}

static void put_context(struct json_out *o, json_t root)
{
	json_t note = json_get(root, "context");
	int64_t window = number(note, "window");
	json_obj(o);
	json_kv_str(o, "sessionId", json_str(json_get(root, "sessionId")));
	json_kv_bool(o, "known", note && window);
	if (note && window) {
		json_kv_str(o, "model", json_str(json_get(note, "model")));
		json_kv_i64(o, "window", window);
		json_kv_i64(o, "used", number(note, "used"));
		json_kv_i64(o, "pruned", number(note, "pruned"));
		json_kv_i64(o, "seq", number(root, "seq"));
		put_parts(o, note, window);
	}
	json_kv_i64(o, "fromSeq", number(root, "fromSeq"));
	json_kv_i64(o, "summarySeq", number(root, "summarySeq"));
	json_obj_end(o);
}

static void reply_context(struct call *c, struct slice text)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	AUTO(auto_json_free) struct json_doc *d = json_parse(text, text.n, NULL, 0);
	struct json_out o = json_out(&b);
	put_context(&o, json_root(d));
	reply_json(c, &b);
}

static void reply_as_it_is(struct call *c, struct slice text)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	strbuf_add_slice(&b, text);
	reply_json(c, &b);
}

/* ---- the calls */

struct look {
	struct session_look session; /* of a path that names it by its key */
	struct context_row row;
	int64_t before, limit; /* of a list */
};

static bool take_limit(struct call *c, struct slice v)
{
	struct look *l = c->state;
	return query_number(c, "limit", v, 1, SNAPSHOTS_PAGE, &l->limit);
}

static bool take_before(struct call *c, struct slice v)
{
	struct look *l = c->state;
	return query_number(c, "before", v, 1, INT32_MAX, &l->before);
}

static const struct query_param params[] = {{"limit", take_limit},
					    {"before", take_before}};

static bool is_found(struct call *c, struct uuid *id)
{
	struct look *l = c->state;
	if (!session_is_by_key(c))
		return uuid_parse(c->match.params[0], id);
	*id = l->session.info.id;
	return true;
}

static void ask(struct call *c, enum sql what, const char *absent)
{
	struct look *l = c->state;
	struct uuid id;
	int version = (int)l->before;
	if (!is_found(c, &id) ||
	    (what == SQL_SNAPSHOT && !session_version(c, &version))) {
		reply_err(c->request, ERR_NOT_FOUND, NULL, absent, 0);
		return;
	}
	c->stage = CONTEXT_ASKED;
	store_read_context(c, what, id, version, (int)l->limit, &l->row);
}

static void read_one(struct call *c, enum sql what, const char *absent,
		     void (*reply)(struct call *c, struct slice text))
{
	struct look *l = c->state;
	if (c->asking)
		return;
	if (!l) {
		c->state = l = arena_zalloc(c->request->arena, sizeof *l);
		l->before = INT32_MAX;
		l->limit = SNAPSHOTS_PAGE;
		if (what == SQL_SNAPSHOTS && !query_read(c, params, ARRAY_LEN(params)))
			return;
	}
	if (c->stage == CONTEXT_START) {
		if (!session_is_by_key(c) || session_look(c, &l->session, false))
			ask(c, what, absent);
	} else if (c->asked) {
		reply_err(c->request, c->asked, NULL, NULL, 0);
	} else if (l->row.body.n) {
		reply(c, l->row.body);
	} else {
		reply_err(c->request, ERR_NOT_FOUND, NULL, absent, 0);
	}
}

void session_context(struct call *c)
{
	read_one(c, SQL_CONTEXT, "there is no such session", reply_context);
}

void snapshot_list(struct call *c)
{
	read_one(c, SQL_SNAPSHOTS, "there is no such session", reply_as_it_is);
}

void snapshot_get(struct call *c)
{
	read_one(c, SQL_SNAPSHOT, "there is no such snapshot", reply_as_it_is);
}
