/* SPDX-License-Identifier: Apache-2.0
 * The way of such a command: connect, find the tenant, one statement, print, tell the
 * node. */
#include "cli/catalogue.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/admin.h"
#include "cli/ask.h"
#include "cli/report.h"
#include "common/attr.h"
#include "common/json.h"

#define JSON_MOST ((size_t)64 << 20)

int catalogue_open(struct catalogue *c, const struct args *a)
{
	long long there;
	*c = (struct catalogue){.args = a};
	config_load(&c->config);
	if (owner_open(&c->owner, c->config.state_dir) ||
	    owner_number(&c->owner,
			 "SELECT (to_regclass('tb.audit_log') IS NOT NULL)::int",
			 "looking for the schema", &there))
		return EXIT_FAILED;
	if (there)
		return 0;
	report("the database has no schema yet: run 'terabitsctl migrate' first");
	return EXIT_FAILED;
}

void catalogue_close(struct catalogue *c)
{
	owner_close(&c->owner);
}

/* ---- the tenant */

static int take_tenant(struct catalogue *c, const struct pg_result *r, const char *asked)
{
	if (pg_rows(r) == 0) {
		report("there is no tenant '%s'; 'terabitsctl tenant list' shows them",
		       asked);
		return EXIT_ABSENT;
	}
	c->tenant = pg_get_i64(r, 0, 0);
	snprintf(c->slug, sizeof c->slug, "%.*s", SLICE_ARG(pg_get_text(r, 0, 1)));
	if (!slice_is(pg_get_text(r, 0, 2), "deleting"))
		return 0;
	report("tenant '%s' is being deleted", c->slug);
	return EXIT_FAILED;
}

int catalogue_tenant(struct catalogue *c)
{
	struct pg_params p;
	struct pg_result *r;
	const char *asked = args_text(c->args, PARAM_tenant, "");
	pg_params_init(&p);
	pg_text(&p, slice_str(asked));
	int rv = owner_query(&c->owner,
			     "SELECT tenant_id, slug, status FROM tb.tenants WHERE "
			     "tenant_id > 0 AND (slug = $1 OR tenant_id::text = $1) "
			     "ORDER BY slug = $1 DESC LIMIT 1",
			     &p, &r, "looking for the tenant");
	pg_params_fini(&p);
	if (rv)
		return EXIT_FAILED;
	int status = take_tenant(c, r, asked);
	pg_result_free(r);
	return status;
}

/* ---- statements */

void catalogue_put_actor(struct pg_params *p)
{
	char who[40];
	snprintf(who, sizeof who, "uid:%u", (unsigned)getuid());
	pg_uuid(p, uuid7_new());
	pg_text(p, slice_str(who));
}

int catalogue_query(struct catalogue *c, const char *sql, const struct pg_params *p,
		    struct strbuf *json, const char *what)
{
	struct pg_result *r;
	if (owner_query(&c->owner, sql, p, &r, what))
		return -1;
	int rows = pg_rows(r);
	if (rows)
		strbuf_add_slice(json, pg_get_text(r, 0, 0));
	pg_result_free(r);
	return rows > 0;
}

void catalogue_print(const struct catalogue *c, const struct strbuf *json)
{
	AUTO(auto_json_free)
	struct json_doc *d = json_parse(strbuf_slice(json), JSON_MOST, NULL, 0);
	ask_print(c->args, strbuf_slice(json), json_root(d));
}

int catalogue_list(struct catalogue *c, const char *sql, const struct pg_params *p,
		   const char *what)
{
	AUTO(strbuf_fini) struct strbuf json = STRBUF_INIT;
	if (catalogue_query(c, sql, p, &json, what) <= 0)
		return EXIT_FAILED;
	catalogue_print(c, &json);
	return EXIT_FINE;
}

int catalogue_list_by_tenant(const struct args *a, const char *sql, const char *what)
{
	static struct catalogue c;
	struct pg_params p;
	int status = catalogue_open(&c, a);
	if (!status && args_has(a, O(tenant)))
		status = catalogue_tenant(&c);
	if (!status) {
		pg_params_init(&p);
		pg_i64(&p, c.tenant);
		status = catalogue_list(&c, sql, &p, what);
		pg_params_fini(&p);
	}
	catalogue_close(&c);
	return status;
}

/* ---- the node */

void catalogue_invalidate(const struct catalogue *c, const char *kind,
			  const struct uuid *id)
{
	AUTO(strbuf_fini) struct strbuf request = STRBUF_INIT, line = STRBUF_INIT;
	char text[UUID_TEXT_LEN + 1];
	int status;
	if (!admin_is_there(c->config.state_dir))
		return;
	struct json_out o = admin_begin(&request, "invalidate");
	json_kv_i64(&o, "tenant", c->tenant);
	json_kv_cstr(&o, "kind", kind);
	if (id) {
		uuid_format(*id, text);
		json_kv_cstr(&o, "id", text);
	}
	admin_end(&o);
	json_free(admin_ask(c->config.state_dir, strbuf_slice(&request), &line, &status));
	if (status)
		report("the change is in the database, but the running node was not "
		       "told: "
		       "until it looks again it may go by what it knew; restart it to be "
		       "sure");
}
