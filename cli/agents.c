/* SPDX-License-Identifier: Apache-2.0
 * terabitsctl agent: create (or a new revision), list. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/agent_config.h"
#include "cli/catalogue.h"
#include "cli/onboard.h"
#include "cli/report.h"
#include "common/attr.h"
#include "common/json.h"
#include "proto/model/agent_config.h"

/* ---- create */

static void put_params(struct pg_params *p, const struct catalogue *c, const char *name,
		       const struct strbuf *config)
{
	const struct args *a = c->args;
	catalogue_put_actor(p);
	pg_i64(p, c->tenant);
	pg_text(p, slice_str(name));
	pg_uuid(p, uuid7_new());
	pg_jsonb(p, strbuf_slice(config));
	if (args_has(a, O(max_running)))
		pg_i32(p, (int32_t)a->number[PARAM_max_running]);
	else
		pg_null(p, PG_INT4);
	pg_bool(p, args_has(a, O(replace)));
	pg_text(p, slice_str(c->slug));
	pg_text(p, slice_str(args_text(a, PARAM_profile, "coding")));
}

/* $3 tenant, $4 name, $5 a new agent's id, $6 config, $7 max_running, $8 replace, $9
 * slug, $10 profile of a new one's tool policy. A new agent without $7 has the column's
 * default.
 */
static const char create_sql[] =
	"WITH old AS (SELECT agent_id FROM tb.agents WHERE tenant_id = $3 AND name = $4 "
	"  AND deleted_at IS NULL FOR UPDATE), "
	"fresh AS (INSERT INTO tb.agents (tenant_id, agent_id, name, revision, "
	"  max_running) SELECT $3, $5, $4, 1, coalesce($7, 1000) WHERE NOT EXISTS "
	"  (SELECT FROM old) RETURNING agent_id, revision), "
	"next AS (UPDATE tb.agents a SET revision = a.revision + 1, max_running = "
	"  coalesce($7, a.max_running) FROM old WHERE $8 AND a.tenant_id = $3 AND "
	"  a.agent_id = old.agent_id RETURNING a.agent_id, a.revision), "
	"made AS (SELECT * FROM fresh UNION ALL SELECT * FROM next), "
	"wrote AS (INSERT INTO tb.agent_revisions (tenant_id, agent_id, revision, "
	"  config, created_by) SELECT $3, m.agent_id, m.revision, coalesce((SELECT "
	"  r.config FROM tb.agent_revisions r WHERE r.tenant_id = $3 AND r.agent_id = "
	"  m.agent_id AND r.revision = m.revision - 1), '{}') || $6, $2 FROM made m "
	"  RETURNING config), "
	"policy AS (INSERT INTO tb.agent_tool_policies (tenant_id, agent_id, profile) "
	"  SELECT $3, agent_id, $10 FROM fresh), " CATALOGUE_AUDIT(
		"$3",
		"CASE revision WHEN 1 THEN 'agent.create' ELSE 'agent.replace' "
		"END",
		"$4",
		"jsonb_build_object('revision', revision)") "SELECT "
							    "json_build_object('id', "
							    "agent_id, 'name', $4, "
							    "'tenant', $9, 'revision', "
							    "revision, 'config', (SELECT "
							    "config FROM wrote))::text "
							    "FROM made";

static struct uuid id_of(const struct strbuf *json)
{
	struct uuid id = {{0}};
	AUTO(auto_json_free)
	struct json_doc *d = json_parse(strbuf_slice(json), json->n, NULL, 0);
	uuid_parse(json_str(json_get(json_root(d), "id")), &id);
	return id;
}

int agent_row_new(struct catalogue *c, const char *name, const struct strbuf *config,
		  struct strbuf *json)
{
	struct pg_params p;
	pg_params_init(&p);
	put_params(&p, c, name, config);
	int found = catalogue_query(c, create_sql, &p, json, "the agent cannot be made");
	pg_params_fini(&p);
	if (found < 0)
		return EXIT_FAILED;
	if (found)
		return EXIT_FINE;
	report("tenant '%s' has an agent '%s' already: add --replace to give it a new "
	       "revision",
	       c->slug, name);
	return EXIT_FAILED;
}

static int create(struct catalogue *c, const struct strbuf *config)
{
	AUTO(strbuf_fini) struct strbuf json = STRBUF_INIT;
	int status = agent_row_new(c, c->args->text[PARAM_name], config, &json);
	if (status)
		return status;
	struct uuid id = id_of(&json);
	catalogue_print(c, &json);
	catalogue_invalidate(c, "agent", &id);
	return EXIT_FINE;
}

int agent_create_command(const struct args *a)
{
	static struct catalogue c;
	AUTO(strbuf_fini) struct strbuf config = STRBUF_INIT;
	int status = agent_compose(&config, a);
	if (!status && args_has(a, O(profile) | O(replace))) {
		report("agent create: --profile is for a new agent; 'policy set' changes "
		       "the policy of one that is there");
		status = EXIT_USAGE;
	}
	const char *problem = agent_name_problem(slice_str(a->text[PARAM_name]));
	if (!status && problem && !args_has(a, O(replace))) {
		report("agent create: the name %s", problem);
		status = EXIT_USAGE;
	}
	if (status)
		return status;
	status = catalogue_open(&c, a);
	if (!status)
		status = catalogue_tenant(&c);
	if (!status)
		status = create(&c, &config);
	catalogue_close(&c);
	return status;
}

/* ---- list */

static const char list_sql[] =
	"SELECT json_build_object('agents', "
	"coalesce(json_agg(json_build_object('id', a.agent_id, 'tenant', "
	"t.slug, 'name', a.name, 'revision', a.revision, 'maxRunning', "
	"a.max_running, 'model', r.config->'model', 'queueMode', "
	"r.config->'queueMode', 'config', r.config) ORDER BY t.slug, "
	"a.name), '[]'))::text FROM tb.agents a JOIN tb.tenants t USING "
	"(tenant_id) JOIN tb.agent_revisions r USING (tenant_id, agent_id, "
	"revision) WHERE a.deleted_at IS NULL AND ($1 = 0 OR a.tenant_id = "
	"$1)";

int agent_list_command(const struct args *a)
{
	return catalogue_list_by_tenant(a, list_sql, "reading the agents");
}
