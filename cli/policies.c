/* SPDX-License-Identifier: Apache-2.0
 * terabitsctl policy: the layers of the tool policy as the database's owner, and what
 * comes of them. A layer is read, changed where an option says so, checked and replaced
 * by the version that was read. */
#include <stdio.h>
#include <string.h>

#include "cli/catalogue.h"
#include "cli/report.h"
#include "common/attr.h"
#include "common/json.h"
#include "proto/tools/policy_doc.h"

#define CHANGES (O(profile) | O(allow) | O(deny) | O(ask) | O(max_calls))

struct place {
	struct catalogue c;
	enum policy_layer layer;
	struct uuid agent; /* nil: the tenant's ceiling */
	char agent_name[64];
	struct strbuf key; /* of a session */
	struct pg_result *rows;
	struct slice docs[3]; /* ceiling, agent, session: borrow from rows */
	struct slice tools;
	int64_t version;
};

/* ---- which layer */

static int find_only_tenant(struct catalogue *c)
{
	struct pg_result *r;
	if (owner_query(&c->owner,
			"SELECT tenant_id, slug FROM tb.tenants WHERE tenant_id > 0 AND "
			"status <> 'deleting' LIMIT 2",
			NULL, &r, "looking for the tenant"))
		return EXIT_FAILED;
	int rows = pg_rows(r);
	if (rows == 1) {
		c->tenant = pg_get_i64(r, 0, 0);
		snprintf(c->slug, sizeof c->slug, "%.*s",
			 SLICE_ARG(pg_get_text(r, 0, 1)));
	} else {
		report(rows ? "there are several tenants: say which by --tenant"
			    : "there is no tenant");
	}
	pg_result_free(r);
	return rows == 1 ? EXIT_FINE : rows ? EXIT_USAGE : EXIT_ABSENT;
}

static int take_agent(struct place *p, const struct pg_result *r, const char *asked)
{
	if (pg_rows(r) == 0) {
		report("there is no agent '%s'; 'terabitsctl agent list' shows them",
		       asked);
		return EXIT_ABSENT;
	}
	if (pg_rows(r) > 1) {
		report("several tenants have an agent '%s': say which by --tenant",
		       asked);
		return EXIT_USAGE;
	}
	p->c.tenant = pg_get_i64(r, 0, 0);
	snprintf(p->c.slug, sizeof p->c.slug, "%.*s", SLICE_ARG(pg_get_text(r, 0, 1)));
	p->agent = pg_get_uuid(r, 0, 2);
	snprintf(p->agent_name, sizeof p->agent_name, "%.*s",
		 SLICE_ARG(pg_get_text(r, 0, 3)));
	return EXIT_FINE;
}

static int find_agent(struct place *p)
{
	struct pg_params q;
	struct pg_result *r;
	const char *asked = p->c.args->text[PARAM_agent];
	pg_params_init(&q);
	pg_text(&q, slice_str(asked));
	pg_i64(&q, p->c.tenant);
	int rv = owner_query(&p->c.owner,
			     "SELECT t.tenant_id, t.slug, a.agent_id, a.name FROM "
			     "tb.agents a JOIN tb.tenants t USING (tenant_id) WHERE "
			     "a.deleted_at IS NULL AND (a.name = $1 OR a.agent_id::text "
			     "= lower($1)) AND ($2 = 0 OR a.tenant_id = $2) LIMIT 2",
			     &q, &r, "looking for the agent");
	pg_params_fini(&q);
	if (rv)
		return EXIT_FAILED;
	int status = take_agent(p, r, asked);
	pg_result_free(r);
	return status;
}

static int find_session(struct place *p)
{
	struct pg_params q;
	struct pg_result *r;
	const char *asked = p->c.args->text[PARAM_session];
	pg_params_init(&q);
	pg_i64(&q, p->c.tenant);
	pg_uuid(&q, p->agent);
	pg_text(&q, slice_str(asked));
	int rv = owner_query(&p->c.owner,
			     "SELECT session_key FROM tb.agent_sessions WHERE tenant_id "
			     "= $1 AND agent_id = $2 AND status <> 'deleted' AND "
			     "(session_key = $3 OR session_id::text = lower($3)) ORDER "
			     "BY session_key = $3 DESC LIMIT 1",
			     &q, &r, "looking for the session");
	pg_params_fini(&q);
	if (rv)
		return EXIT_FAILED;
	bool found = pg_rows(r) > 0;
	if (found)
		strbuf_add_slice(&p->key, pg_get_text(r, 0, 0));
	else
		report("agent '%s' has no session '%s'", p->agent_name, asked);
	pg_result_free(r);
	return found ? EXIT_FINE : EXIT_ABSENT;
}

static struct slice key_of(const struct place *p)
{
	return p->key.n ? strbuf_slice(&p->key) : SLICE_NONE;
}

static int read_ceiling(struct place *p)
{
	struct pg_params q;
	pg_params_init(&q);
	pg_i64(&q, p->c.tenant);
	int rv = owner_query(&p->c.owner,
			     "SELECT jsonb_build_object('allowed', allowed, 'denied', "
			     "denied, 'maxToolCallsPerTurn', max_calls_per_turn), "
			     "version FROM tb.tool_ceilings WHERE tenant_id = $1",
			     &q, &p->rows, "reading the ceiling");
	pg_params_fini(&q);
	if (rv)
		return EXIT_FAILED;
	if (!pg_rows(p->rows))
		return EXIT_FINE;
	p->docs[0] = pg_get_text(p->rows, 0, 0);
	p->version = pg_get_i64(p->rows, 0, 1);
	return EXIT_FINE;
}

static int read_layers(struct place *p)
{
	struct pg_params q;
	pg_params_init(&q);
	pg_i64(&q, p->c.tenant);
	pg_uuid(&q, p->agent);
	pg_text(&q, key_of(p));
	int rv = owner_query(&p->c.owner,
			     "SELECT ceiling, agent, session, tools, agent_version, "
			     "session_version FROM tb.policy_layers($1, $2, $3)",
			     &q, &p->rows, "reading the policy");
	pg_params_fini(&q);
	if (rv)
		return EXIT_FAILED;
	if (!pg_rows(p->rows)) {
		report("agent '%s' was deleted meanwhile", p->agent_name);
		return EXIT_ABSENT;
	}
	for (int i = 0; i < 3; i++)
		p->docs[i] = pg_get_text(p->rows, 0, i);
	p->tools = pg_get_text(p->rows, 0, 3);
	if (p->layer == POLICY_SESSION)
		p->version = pg_get_i64(p->rows, 0, 5);
	else
		p->version = pg_get_i64(p->rows, 0, 4);
	return EXIT_FINE;
}

/* Finds and reads the layer that the arguments name. An exit status; close_place in any
 * case. */
static int open_place(struct place *p, const struct args *a, bool of_agent)
{
	*p = (struct place){.layer = POLICY_CEILING, .key = STRBUF_INIT};
	int status = catalogue_open(&p->c, a);
	if (!status && args_has(a, O(tenant)))
		status = catalogue_tenant(&p->c);
	else if (!status && !of_agent)
		status = find_only_tenant(&p->c);
	if (status || !of_agent)
		return status ? status : read_ceiling(p);
	p->layer = args_has(a, O(session)) ? POLICY_SESSION : POLICY_AGENT;
	status = find_agent(p);
	if (!status && p->layer == POLICY_SESSION)
		status = find_session(p);
	return status ? status : read_layers(p);
}

static void close_place(struct place *p)
{
	pg_result_free(p->rows);
	strbuf_fini(&p->key);
	catalogue_close(&p->c);
}

static struct slice doc_of(const struct place *p)
{
	return p->docs[p->layer == POLICY_CEILING ? 0 : p->layer == POLICY_AGENT ? 1 : 2];
}

/* ---- printing */

static void put_names(struct json_out *o, const struct place *p)
{
	json_kv_cstr(o, "tenant", p->c.slug);
	if (p->layer != POLICY_CEILING)
		json_kv_cstr(o, "agent", p->agent_name);
	if (p->key.n)
		json_kv_str(o, "sessionKey", strbuf_slice(&p->key));
}

/* Without a row: what that means. */
static void put_document(struct json_out *o, const struct place *p, struct slice doc)
{
	AUTO(strbuf_fini) struct strbuf absent = STRBUF_INIT;
	char err[80];
	if (!doc.p)
		policy_compose(p->layer, SLICE("{}"), &absent, err, sizeof err);
	json_kv_raw(o, "policy", doc.p ? doc : strbuf_slice(&absent));
}

static void print_layer(const struct place *p, struct slice doc, int64_t version)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	json_obj(&o);
	put_names(&o, p);
	put_document(&o, p, doc);
	json_kv_i64(&o, "version", version);
	json_obj_end(&o);
	catalogue_print(&p->c, &b);
}

int policy_get_command(const struct args *a)
{
	static struct place p;
	int status = open_place(&p, a, true);
	if (!status)
		print_layer(&p, doc_of(&p), p.version);
	close_place(&p);
	return status;
}

/* ---- changing */

static void put_words(struct json_out *o, const char *text)
{
	struct slice rest = slice_trim(slice_str(text));
	json_arr(o);
	while (rest.p && (rest.n || slice_trim(slice_str(text)).n))
		json_put_str(o, slice_trim(slice_cut(&rest, ',')));
	json_arr_end(o);
}

/* An empty --allow takes the list away: an agent's profile counts again, another layer
 * takes nothing away by it. */
static bool is_dropped(const struct args *a, enum param_id id)
{
	return id == PARAM_allow && !slice_trim(slice_str(a->text[id])).n;
}

/* What is there with the options over it. */
static void compose(struct strbuf *out, const struct place *p)
{
	static const struct {
		enum param_id id;
		const char *key;
	} members[] = {{PARAM_profile, "profile"},
		       {PARAM_allow, "allowed"},
		       {PARAM_deny, "denied"},
		       {PARAM_ask, "ask"},
		       {PARAM_max_calls, "maxToolCallsPerTurn"}};
	const struct args *a = p->c.args;
	struct json_out o = json_out(out);
	struct slice doc = doc_of(p);
	AUTO(auto_json_free)
	struct json_doc *d =
		json_parse(doc.p ? doc : SLICE("{}"), (size_t)1 << 20, NULL, 0);
	json_obj(&o);
	for (size_t i = 0; i < ARRAY_LEN(members); i++) {
		enum param_id id = members[i].id;
		json_t old = json_get(json_root(d), members[i].key);
		bool given = a->given >> id & 1;
		if (given ? is_dropped(a, id) : !old)
			continue;
		json_key(&o, members[i].key);
		if (!given)
			json_put_value(&o, old);
		else if (id == PARAM_profile)
			json_put_cstr(&o, a->text[id]);
		else if (id == PARAM_max_calls)
			json_put_i64(&o, a->number[id]);
		else
			put_words(&o, a->text[id]);
	}
	json_obj_end(&o);
}

/* doc SLICE_NONE: takes the layer away. The outcome; NULL: reported. */
static const char *put(struct place *p, struct slice doc, int64_t *version)
{
	static char outcome[16];
	struct pg_params q;
	struct pg_result *r;
	pg_params_init(&q);
	catalogue_put_actor(&q);
	pg_i64(&q, p->c.tenant);
	if (p->layer == POLICY_CEILING)
		pg_null(&q, PG_UUID);
	else
		pg_uuid(&q, p->agent);
	pg_text(&q, key_of(p));
	if (doc.p)
		pg_jsonb(&q, doc);
	else
		pg_null(&q, PG_JSONB);
	pg_i32(&q, (int32_t)p->version);
	int rv = owner_query(&p->c.owner,
			     "SELECT outcome, version FROM tb.policy_put($3, $4, $5, $6, "
			     "$7, $1, $2)",
			     &q, &r, "the policy cannot be changed");
	pg_params_fini(&q);
	if (rv)
		return NULL;
	snprintf(outcome, sizeof outcome, "%.*s", SLICE_ARG(pg_get_text(r, 0, 0)));
	*version = pg_is_null(r, 0, 1) ? 0 : pg_get_i64(r, 0, 1);
	pg_result_free(r);
	return outcome;
}

static int replace(struct place *p, struct slice doc)
{
	int64_t version = 0;
	const char *outcome = put(p, doc, &version);
	if (!outcome)
		return EXIT_FAILED;
	if (!strcmp(outcome, "done")) {
		print_layer(p, doc, version);
		return EXIT_FINE;
	}
	if (!strcmp(outcome, "stale"))
		report("somebody changed this policy at the same moment; nothing was "
		       "done: try again");
	else
		report("it was deleted meanwhile");
	return EXIT_FAILED;
}

static int change(struct place *p)
{
	AUTO(strbuf_fini) struct strbuf given = STRBUF_INIT, doc = STRBUF_INIT;
	char err[320];
	compose(&given, p);
	if (!policy_compose(p->layer, strbuf_slice(&given), &doc, err, sizeof err)) {
		report("policy %s: %s", p->c.args->command->verb, err);
		return EXIT_USAGE;
	}
	return replace(p, strbuf_slice(&doc));
}

int policy_set_command(const struct args *a)
{
	static struct place p;
	if (!(a->given & CHANGES)) {
		report("policy set: say what to change by --profile, --allow, --deny, "
		       "--ask or --max-calls");
		return EXIT_USAGE;
	}
	int status = open_place(&p, a, true);
	if (!status)
		status = change(&p);
	close_place(&p);
	return status;
}

int policy_clear_command(const struct args *a)
{
	static struct place p;
	int status = open_place(&p, a, true);
	if (!status)
		status = replace(&p, SLICE_NONE);
	close_place(&p);
	return status;
}

int policy_ceiling_command(const struct args *a)
{
	static struct place p;
	int status = open_place(&p, a, false);
	if (!status && a->given & CHANGES)
		status = change(&p);
	else if (!status)
		print_layer(&p, doc_of(&p), p.version);
	close_place(&p);
	return status;
}

/* ---- why */

static void print_verdicts(const struct place *p, uint64_t tools)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	struct policy *policy = policy_of(
		&(struct policy_layers){p->docs[0], p->docs[1], p->tools, p->docs[2]});
	json_obj(&o);
	put_names(&o, p);
	policy_explain(&o, policy, tools);
	json_obj_end(&o);
	policy_free(policy);
	catalogue_print(&p->c, &b);
}

int policy_explain_command(const struct args *a)
{
	static struct place p;
	uint64_t tools = POLICY_EVERY_TOOL;
	const char *tool = args_text(a, PARAM_tool, NULL);
	if (tool && !policy_tools_of(slice_str(tool), &tools)) {
		report("there is no tool or group '%s'; 'terabitsctl policy explain "
		       "%s' shows the tools there are",
		       tool, a->text[PARAM_agent]);
		return EXIT_ABSENT;
	}
	int status = open_place(&p, a, true);
	if (!status)
		print_verdicts(&p, tools);
	close_place(&p);
	return status;
}
