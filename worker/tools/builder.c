/* SPDX-License-Identifier: Apache-2.0
 * agent_create, agent_update, policy_set: what the door's own routes do, by the same
 * checks and the same functions of the database, in the name of a run. The database looks
 * once more whether its message said mode builder. */
#include "common/attr.h"
#include "common/pg/pool.h"
#include "proto/model/agent_config.h"
#include "proto/tools/policy_doc.h"
#include "worker/sql.h"
#include "worker/tools/keyed_write.h"

void tool_agent_create(struct tool_call *c);
void tool_agent_update(struct tool_call *c);
void tool_policy_set(struct tool_call *c);

#define SHOWN_MOST 12000 /* bytes of an agent that go to the model */

static void put_caller(struct pg_params *p, const struct tool_call *c)
{
	pg_text(p, slice_str(c->env->cap));
	pg_uuid(p, c->env->run);
	pg_i64(p, c->env->fence);
	pg_text(p, slice_str(c->idem_key));
}

static void put_number(struct pg_params *p, json_t v)
{
	int64_t n;
	if (json_i64(v, &n))
		pg_i32(p, (int)n);
	else
		pg_null(p, PG_INT4);
}

/* What was wrong has been told. */
static void refuse(struct tool_call *c)
{
	op_start(c->op, NULL, NULL, 0);
	op_finish(c->op, ERR_TOOL_ARGUMENTS);
}

/* ---- what came of it */

/* Also of what nobody may have done: another one's change, a name that is taken. */
static enum err refused(struct tool_call *c, struct slice outcome, int64_t version)
{
	if (slice_is(outcome, "taken"))
		tool_error(c, "another agent has that name");
	else if (slice_is(outcome, "stale"))
		tool_error(
			c,
			"it was changed meanwhile: version %lld stands now; look at it "
			"before you change it again",
			(long long)version);
	else
		tool_error(c, "there is no such agent");
	return ERR_TOOL_FAILED;
}

static enum err take_agent(struct tool_call *c, const struct pg_result *rows)
{
	struct slice outcome = pg_get_text(rows, 0, 0), json = pg_get_text(rows, 0, 3);
	if (!slice_is(outcome, "done"))
		return refused(c, outcome, pg_get_i64(rows, 0, 2));
	c->env->agent_changed(c->env->run_itself, pg_get_uuid(rows, 0, 1));
	struct json_out o = json_out(&c->output);
	json_obj(&o);
	json_kv_i64(&o, "revision", pg_get_i64(rows, 0, 2));
	if (json.n <= SHOWN_MOST)
		json_kv_raw(&o, "agent", json);
	json_obj_end(&o);
	return ERR_OK;
}

static enum err take_policy(struct tool_call *c, const struct pg_result *rows)
{
	struct slice outcome = pg_get_text(rows, 0, 0);
	if (!slice_is(outcome, "done"))
		return refused(c, outcome, pg_get_i64(rows, 0, 1));
	struct json_out o = json_out(&c->output);
	json_obj(&o);
	json_kv_i64(&o, "version", pg_get_i64(rows, 0, 1));
	json_obj_end(&o);
	return ERR_OK;
}

/* ---- agents */

static void put_create(struct pg_request *r, const struct tool_call *c,
		       struct slice config)
{
	struct pg_params *p = pg_add(r, SQL_BUILDER_AGENT);
	struct slice profile = json_str(json_get(c->args, "profile"));
	put_caller(p, c);
	pg_text(p, SLICE_NONE);
	pg_text(p, json_str(json_get(c->args, "name")));
	pg_jsonb(p, config);
	put_number(p, json_get(c->args, "maxRunning"));
	pg_text(p, profile.p ? profile : SLICE("coding"));
	pg_null(p, PG_INT4);
}

static void put_update(struct pg_request *r, const struct tool_call *c,
		       struct slice config)
{
	struct pg_params *p = pg_add(r, SQL_BUILDER_AGENT);
	put_caller(p, c);
	pg_text(p, json_str(json_get(c->args, "agent")));
	pg_text(p, json_str(json_get(c->args, "name")));
	pg_jsonb(p, config);
	put_number(p, json_get(c->args, "maxRunning"));
	pg_text(p, SLICE_NONE);
	put_number(p, json_get(c->args, "revision"));
}

static bool check_members(struct tool_call *c, json_t config)
{
	struct json_iter it = json_iter(config);
	struct slice key;
	while (json_next(&it, &key))
		if (!agent_config_knows(key)) {
			tool_error(c, "there is no member \"%.*s\" in config",
				   (int)(key.n < 63 ? key.n : 63), key.p);
			return false;
		}
	return true;
}

static bool check_agent(struct tool_call *c)
{
	json_t config = json_get(c->args, "config");
	struct slice name = json_str(json_get(c->args, "name"));
	const char *problem = name.p ? agent_name_problem(name) : NULL;
	struct agent_config read;
	struct settings_fault fault;
	if (problem)
		tool_error(c, "name %s", problem);
	if (problem || !check_members(c, config))
		return false;
	agent_config_init(&read);
	bool fine = agent_config_read(&read, config, true, &fault);
	agent_config_fini(&read);
	if (!fine)
		tool_error(c, "config: %s", fault.message);
	return fine;
}

static const struct keyed_write create = {put_create, take_agent,
					  "another transaction in the database holds the "
					  "agents; nothing was made, try again",
					  "the agent could not be made"};
static const struct keyed_write update = {
	put_update, take_agent,
	"another transaction in the database holds this agent; nothing was changed, try "
	"again",
	"the agent could not be changed"};

static void start(struct tool_call *c, const struct keyed_write *w)
{
	AUTO(strbuf_fini) struct strbuf config = STRBUF_INIT;
	if (!check_agent(c)) {
		refuse(c);
		return;
	}
	json_print(&config, json_get(c->args, "config"));
	keyed_write_start(c, w, arena_slice(c->arena, strbuf_slice(&config)));
}

void tool_agent_create(struct tool_call *c)
{
	start(c, &create);
}

void tool_agent_update(struct tool_call *c)
{
	start(c, &update);
}

/* ---- policies */

static void put_policy(struct pg_request *r, const struct tool_call *c,
		       struct slice document)
{
	struct pg_params *p = pg_add(r, SQL_BUILDER_POLICY);
	put_caller(p, c);
	pg_text(p, json_str(json_get(c->args, "agent")));
	pg_jsonb(p, document);
	put_number(p, json_get(c->args, "version"));
}

static const struct keyed_write policy = {
	put_policy, take_policy,
	"another transaction in the database holds this agent's policy; nothing was "
	"changed, try again",
	"the policy could not be changed"};

void tool_policy_set(struct tool_call *c)
{
	AUTO(strbuf_fini) struct strbuf said = STRBUF_INIT, kept = STRBUF_INIT;
	char why[320];
	json_print(&said, json_get(c->args, "policy"));
	if (policy_compose(POLICY_AGENT, strbuf_slice(&said), &kept, why, sizeof why)) {
		keyed_write_start(c, &policy, arena_slice(c->arena, strbuf_slice(&kept)));
		return;
	}
	tool_error(c, "policy: %s", why);
	refuse(c);
}
