/* SPDX-License-Identifier: Apache-2.0
 * GET /v1/models and /v1/models/{model}: the tenant's agents, and the default one. */
#include <string.h>

#include "common/json.h"
#include "edge/default_agent.h"
#include "edge/lookup.h"
#include "edge/openai/ask.h"
#include "edge/openai/store.h"
#include "edge/openai/target.h"
#include "edge/query.h"
#include "edge/reply.h"

struct listing {
	struct slice after;
	unsigned limit;
	struct model_page page;
	bool shows_default;
};

static void put_model(struct json_out *o, struct slice id, int64_t created_us)
{
	json_obj(o);
	json_kv_str(o, "id", id);
	json_kv_cstr(o, "object", "model");
	json_kv_i64(o, "created", created_us / 1000000);
	json_kv_cstr(o, "owned_by", "terabits");
	json_obj_end(o);
}

static void reply_json(struct call *c, struct strbuf *b)
{
	strbuf_add_char(b, '\n');
	reply_head(c->request, 200);
	reply_body(c->request, "application/json", strbuf_slice(b));
}

/* ---- the list */

static bool take_after(struct call *c, struct slice v)
{
	struct listing *l = c->state;
	l->after = v;
	return v.n <= LIMIT_NAME ||
	       reply_wrong(c->request, "after", "after must be the id of a model");
}

static bool take_limit(struct call *c, struct slice v)
{
	struct listing *l = c->state;
	long long n;
	if (!slice_to_i64(v, &n) || n < 1 || n > MODELS_PAGE)
		return reply_wrong(c->request, "limit",
				   "limit must be an integer from 1 to 200");
	l->limit = (unsigned)n;
	return true;
}

/* "default" stands first, where it means an agent of another name. */
static void put_list(struct json_out *o, const struct listing *l)
{
	const struct model_page *p = &l->page;
	unsigned count = p->count > l->limit ? l->limit : p->count;
	json_obj(o);
	json_kv_cstr(o, "object", "list");
	json_key(o, "data");
	json_arr(o);
	if (l->shows_default)
		put_model(o, SLICE("default"), p->rows[0].created_us);
	for (unsigned i = 0; i < count; i++)
		put_model(o, p->rows[i].name, p->rows[i].created_us);
	json_arr_end(o);
	json_kv_bool(o, "has_more", p->count > l->limit);
	if (count)
		json_kv_str(o, "last_id", p->rows[count - 1].name);
	json_obj_end(o);
}

/* False: it is being looked for, or the call is answered. */
static bool find_default(struct call *c, struct listing *l)
{
	struct agent_row row;
	switch (lookup_agent(c, default_agent(SLICE_NONE), &row)) {
	case CACHE_FOUND:
		l->shows_default = strcmp(row.name, "default") != 0;
		return true;
	case CACHE_ABSENT:
		return true;
	case CACHE_WAIT:
		return false;
	default:
		reply_err(c->request, c->wait.failed, NULL, NULL, 0);
		return false;
	}
}

void openai_models(struct call *c)
{
	static const struct query_param params[] = {{"after", take_after},
						    {"limit", take_limit}};
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	struct listing *l = c->state;
	if (!l) {
		c->state = l = arena_zalloc(c->request->arena, sizeof *l);
		l->limit = MODELS_PAGE;
		l->after = SLICE("");
		if (query_read(c, params, ARRAY_LEN(params)))
			store_list_models(c, l->after, l->limit, &l->page);
		return;
	}
	if (c->asking)
		return;
	if (c->asked) {
		reply_err(c->request, c->asked, NULL, NULL, 0);
		return;
	}
	if (!l->after.n && l->page.count && !find_default(c, l))
		return;
	put_list(&o, l);
	reply_json(c, &b);
}

/* ---- one */

struct one {
	struct target target;
	struct model_page page;
	bool found;
};

void openai_model(struct call *c)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	struct one *x = c->state;
	if (c->asking)
		return;
	if (!x) {
		c->state = x = arena_zalloc(c->request->arena, sizeof *x);
		x->target.name = c->match.params[0];
		x->target.word = ask_agent_of(x->target.name);
	}
	if (!x->found) {
		if (!target_find(c, &x->target))
			return;
		x->found = true;
		store_find_model(c, slice_str(x->target.agent.name), &x->page);
		return;
	}
	if (c->asked) {
		reply_err(c->request, c->asked, NULL, NULL, 0);
		return;
	}
	put_model(&o, x->target.name, x->page.count ? x->page.rows[0].created_us : 0);
	reply_json(c, &b);
}
