/* SPDX-License-Identifier: Apache-2.0
 * GET /v1/agents/{agent}/policy/explain[?tool=..][&session=..]: what of each tool, and
 * which word of which layer decided. Of the agent's current revision. */
#include "common/json.h"
#include "edge/policy.h"
#include "edge/policy_store.h"
#include "edge/reply.h"

enum stage { EXPLAIN_START, EXPLAIN_AGENT, EXPLAIN_ASKED };

struct explaining {
	struct agent_row agent;
	struct slice tool, key; /* of the query; SLICE_NONE: not given */
	uint64_t tools;
	struct policy_rows rows;
};

static bool wrong(struct call *c, const char *param, const char *message)
{
	reply_err(c->request, ERR_BAD_REQUEST, param, message, 0);
	return false;
}

/* One name=value. A misspelt one must not explain something else. */
static bool take_pair(struct call *c, struct explaining *x, struct slice pair)
{
	struct arena *a = c->request->arena;
	struct slice name = slice_cut(&pair, '=');
	const char *shown = arena_strndup(a, name.p, name.n < 63 ? name.n : 63);
	char *text = arena_alloc(a, pair.n + 1);
	size_t n;
	struct slice *to = slice_is(name, "tool")      ? &x->tool
			   : slice_is(name, "session") ? &x->key
						       : NULL;
	if (!to)
		return wrong(c, shown,
			     arena_printf(a, "%s is no parameter of this path", shown));
	if (to->p)
		return wrong(c, shown,
			     arena_printf(a, "%s stands in the query twice", shown));
	if (!http_unescape(pair, text, &n))
		return wrong(c, shown,
			     arena_printf(a, "%s is badly percent-encoded", shown));
	*to = slice_of(text, n);
	return true;
}

static bool read_query(struct call *c, struct explaining *x)
{
	struct slice rest = c->request->head.query;
	x->tools = POLICY_EVERY_TOOL;
	while (rest.p) {
		struct slice pair = slice_cut(&rest, '&');
		if (pair.n > 0 && !take_pair(c, x, pair))
			return false;
	}
	if (x->tool.p && !policy_tools_of(x->tool, &x->tools))
		return wrong(c, "tool",
			     "there is no such tool or group: GET /v1/tools lists the "
			     "tools");
	return true;
}

static void reply_verdicts(struct call *c, const struct explaining *x)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	struct policy *p = policy_of(&x->rows.layers);
	json_obj(&o);
	json_kv_cstr(&o, "agent", x->agent.name);
	if (x->key.p)
		json_kv_str(&o, "sessionKey", x->key);
	policy_explain(&o, p, x->tools);
	json_obj_end(&o);
	strbuf_add_char(&b, '\n');
	policy_free(p);
	reply_head(c->request, 200);
	reply_body(c->request, "application/json", strbuf_slice(&b));
}

void agent_policy_explain(struct call *c)
{
	struct explaining *x = c->state;
	if (c->asking)
		return;
	if (c->stage == EXPLAIN_START) {
		c->state = x = arena_zalloc(c->request->arena, sizeof *x);
		if (!read_query(c, x))
			return;
		c->stage = EXPLAIN_AGENT;
	}
	if (c->stage == EXPLAIN_AGENT) {
		if (!policy_find_agent(c, &x->agent))
			return;
		c->stage = EXPLAIN_ASKED;
		policy_store_read(c, x->agent.id, x->key, &x->rows);
	} else if (policy_was_found(c, &x->rows, x->key.p)) {
		reply_verdicts(c, x);
	}
}
