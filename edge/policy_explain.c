/* SPDX-License-Identifier: Apache-2.0
 * GET /v1/agents/{agent}/policy/explain[?tool=..][&session=..]: what of each tool, and
 * which word of which layer decided. Of the agent's current revision. */
#include "common/json.h"
#include "edge/policy.h"
#include "edge/policy_store.h"
#include "edge/query.h"
#include "edge/reply.h"
#include "proto/tools/policy_words.h"

enum stage { EXPLAIN_START, EXPLAIN_AGENT, EXPLAIN_ASKED };

struct explaining {
	struct agent_row agent;
	struct slice tool, key; /* of the query; SLICE_NONE: not given */
	uint64_t tools;
	struct policy_rows rows;
};

static bool take_tool(struct call *c, struct slice v)
{
	struct explaining *x = c->state;
	x->tool = v;
	return true;
}

static bool take_session(struct call *c, struct slice v)
{
	struct explaining *x = c->state;
	x->key = v;
	return true;
}

static const struct query_param params[] = {{"tool", take_tool},
					    {"session", take_session}};

static bool read_query(struct call *c, struct explaining *x)
{
	x->tools = POLICY_EVERY_TOOL;
	if (!query_read(c, params, ARRAY_LEN(params)))
		return false;
	return !x->tool.p || policy_word(x->tool, &x->tools) ||
	       reply_wrong(c->request, "tool",
			   "there is no such tool or group: GET /v1/tools lists the "
			   "tools");
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
		if (!lookup_agent_of_path(c, &x->agent))
			return;
		c->stage = EXPLAIN_ASKED;
		policy_store_read(c, x->agent.id, x->key, &x->rows);
	} else if (policy_was_found(c, &x->rows, x->key.p)) {
		reply_verdicts(c, x);
	}
}
