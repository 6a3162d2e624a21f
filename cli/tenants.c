/* SPDX-License-Identifier: Apache-2.0
 * terabitsctl tenant: create, list, set, suspend, resume, delete, purge. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "cli/catalogue.h"
#include "cli/onboard.h"
#include "cli/report.h"
#include "common/attr.h"
#include "common/json.h"

/* ---- create */

/* As the table's check; and one of digits alone would be taken for a number. */
int tenant_check_slug(const char *slug)
{
	int letters = 0;
	for (const char *p = slug; *p; p++) {
		int is_letter = *p >= 'a' && *p <= 'z';
		int is_digit = *p >= '0' && *p <= '9';
		letters += is_letter;
		if (!is_letter && !is_digit && (*p != '-' || p == slug))
			letters = -64;
	}
	if (letters > 0)
		return 0;
	report("SLUG must be lower-case letters, digits and dashes, begin "
	       "with no dash and have a letter, not '%s'",
	       slug);
	return EXIT_USAGE;
}

static void put_number(struct pg_params *p, const struct args *a, enum param_id id,
		       long otherwise)
{
	pg_i32(p, (int32_t)args_number(a, id, otherwise));
}

static int create(struct catalogue *c, const char *slug, struct strbuf *json)
{
	struct pg_params p;
	pg_params_init(&p);
	catalogue_put_actor(&p);
	pg_text(&p, slice_str(slug));
	put_number(&p, c->args, PARAM_weight, 100);
	put_number(&p, c->args, PARAM_max_running, 50);
	put_number(&p, c->args, PARAM_max_queued, 10000);
	int found = catalogue_query(
		c,
		"WITH made AS (INSERT INTO tb.tenants (tenant_id, slug, weight, "
		"max_running, max_queued) SELECT max(tenant_id) + 1, $3, $4, $5, $6 "
		"FROM tb.tenants ON CONFLICT (slug) DO NOTHING RETURNING "
		"*), " CATALOGUE_AUDIT(
			"tenant_id", "'tenant.create'", "slug",
			"jsonb_build_object('weight', weight, 'maxRunning', "
			"max_running, 'maxQueued', max_queued)") "SELECT "
								 "json_build_object('id',"
								 " tenant_id, 'slug', "
								 "slug, 'weight', "
								 "weight, 'maxRunning', "
								 "max_running, "
								 "'maxQueued', "
								 "max_queued)::text "
								 "FROM made",
		&p, json, "the tenant cannot be made");
	pg_params_fini(&p);
	if (!found)
		report("there is a tenant '%s' already", slug);
	return found > 0 ? EXIT_FINE : EXIT_FAILED;
}

static int64_t number_of(const struct strbuf *json)
{
	int64_t id = 0;
	AUTO(auto_json_free)
	struct json_doc *d = json_parse(strbuf_slice(json), json->n, NULL, 0);
	json_i64(json_get(json_root(d), "id"), &id);
	return id;
}

/* Numbers are given one after the other: two at once would take the same. */
int tenant_row_new(struct catalogue *c, const char *slug, struct strbuf *json)
{
	if (owner_exec(&c->owner,
		       "BEGIN; LOCK TABLE tb.tenants IN SHARE ROW EXCLUSIVE MODE",
		       "the tenants cannot be locked"))
		return EXIT_FAILED;
	int status = create(c, slug, json);
	if (status)
		return status;
	c->tenant = number_of(json);
	snprintf(c->slug, sizeof c->slug, "%s", slug);
	return EXIT_FINE;
}

int tenant_create_command(const struct args *a)
{
	static struct catalogue c;
	AUTO(strbuf_fini) struct strbuf json = STRBUF_INIT;
	const char *slug = a->text[PARAM_slug];
	int status = tenant_check_slug(slug);
	if (status)
		return status;
	status = catalogue_open(&c, a);
	if (!status)
		status = tenant_row_new(&c, slug, &json);
	if (!status && owner_exec(&c.owner, "COMMIT", "the tenant was not made"))
		status = EXIT_FAILED;
	if (!status)
		catalogue_print(&c, &json);
	catalogue_close(&c);
	return status;
}

/* ---- list */

int tenant_list_command(const struct args *a)
{
	static struct catalogue c;
	int status = catalogue_open(&c, a);
	if (!status)
		status = catalogue_list(
			&c,
			"SELECT json_build_object('tenants', "
			"coalesce(json_agg(json_build_object('id', tenant_id, 'slug', "
			"slug, 'status', status, 'weight', weight, 'maxRunning', "
			"max_running, 'maxQueued', max_queued, "
			"'createdAt', " CATALOGUE_TIME(
				"created_at") ") ORDER BY tenant_id), '[]'))::text FROM "
					      "tb.tenants WHERE "
					      "tenant_id > 0",
			NULL, "reading the tenants");
	catalogue_close(&c);
	return status;
}

/* ---- suspend, resume */

static int set_status(struct catalogue *c, const char *status, const char *action,
		      struct strbuf *json)
{
	struct pg_params p;
	pg_params_init(&p);
	catalogue_put_actor(&p);
	pg_i64(&p, c->tenant);
	pg_text(&p, slice_str(status));
	pg_text(&p, slice_str(action));
	int found = catalogue_query(
		c,
		"WITH old AS (SELECT tenant_id, slug, status FROM tb.tenants WHERE "
		"tenant_id = $3 FOR UPDATE), "
		"made AS (UPDATE tb.tenants t SET status = $4 FROM old WHERE "
		"t.tenant_id = old.tenant_id AND old.status <> $4 RETURNING "
		"t.*), " CATALOGUE_AUDIT(
			"tenant_id", "$5", "slug",
			"'{}'::jsonb") "SELECT json_build_object('id', tenant_id, "
				       "'slug', slug, 'status', $4, "
				       "'changed', status <> $4)::text FROM old",
		&p, json, "the tenant cannot be changed");
	pg_params_fini(&p);
	return found > 0 ? EXIT_FINE : EXIT_FAILED;
}

static int change(const struct args *a, const char *to, const char *action)
{
	static struct catalogue c;
	AUTO(strbuf_fini) struct strbuf json = STRBUF_INIT;
	int status = catalogue_open(&c, a);
	if (!status)
		status = catalogue_tenant(&c);
	if (!status)
		status = set_status(&c, to, action, &json);
	if (!status) {
		catalogue_print(&c, &json);
		catalogue_invalidate(&c, "tenant", NULL);
	}
	catalogue_close(&c);
	return status;
}

int tenant_suspend_command(const struct args *a)
{
	return change(a, "suspended", "tenant.suspend");
}

int tenant_resume_command(const struct args *a)
{
	return change(a, "active", "tenant.resume");
}

/* ---- set */

static void put_given(struct pg_params *p, const struct args *a, enum param_id id)
{
	if (args_has(a, (param_set)1 << id))
		pg_i64(p, a->number[id]);
	else
		pg_null(p, PG_INT8);
}

/* What is not given stays; 0 takes a limit away. */
static int set(struct catalogue *c, struct strbuf *json)
{
	struct pg_params p;
	pg_params_init(&p);
	catalogue_put_actor(&p);
	pg_i64(&p, c->tenant);
	put_given(&p, c->args, PARAM_weight);
	put_given(&p, c->args, PARAM_max_running);
	put_given(&p, c->args, PARAM_max_queued);
	put_given(&p, c->args, PARAM_requests);
	put_given(&p, c->args, PARAM_model_tokens);
	int found = catalogue_query(
		c,
		"WITH made AS (UPDATE tb.tenants t SET version = t.version + 1, weight = "
		"coalesce($4, t.weight), max_running = coalesce($5, t.max_running), "
		"max_queued = coalesce($6, t.max_queued), requests_per_minute = "
		"nullif(coalesce($7, t.requests_per_minute), 0), tokens_per_minute = "
		"nullif(coalesce($8, t.tokens_per_minute), 0) WHERE t.tenant_id = $3 "
		"RETURNING t.*), " CATALOGUE_AUDIT(
			"tenant_id", "'tenant.change'", "slug",
			"jsonb_strip_nulls(jsonb_build_object('weight', weight, "
			"'maxRunning', max_running, 'maxQueued', max_queued, "
			"'requestsPerMinute', requests_per_minute, 'tokensPerMinute', "
			"tokens_per_minute))") "SELECT json_build_object('id', "
					       "tenant_id, 'slug', slug)::text FROM made",
		&p, json, "the tenant cannot be changed");
	pg_params_fini(&p);
	return found > 0 ? EXIT_FINE : EXIT_FAILED;
}

int tenant_set_command(const struct args *a)
{
	static struct catalogue c;
	AUTO(strbuf_fini) struct strbuf json = STRBUF_INIT;
	int status = catalogue_open(&c, a);
	if (!status)
		status = catalogue_tenant(&c);
	if (!status)
		status = set(&c, &json);
	if (!status) {
		catalogue_print(&c, &json);
		catalogue_invalidate(&c, "tenant", NULL);
	}
	catalogue_close(&c);
	return status;
}

/* ---- delete, purge */

int tenant_delete_command(const struct args *a)
{
	return change(a, "deleting", "tenant.delete");
}

/* Of one that is being deleted, which catalogue_tenant does not find. */
static int purge(struct catalogue *c, struct strbuf *json)
{
	struct pg_params p;
	pg_params_init(&p);
	catalogue_put_actor(&p);
	pg_text(&p, slice_str(c->args->text[PARAM_tenant]));
	int found = catalogue_query(
		c,
		"WITH made AS MATERIALIZED (SELECT t.tenant_id, t.slug, "
		"tb.tenant_purge(t.tenant_id) AS rows FROM tb.tenants t WHERE "
		"t.tenant_id > 0 AND t.status = 'deleting' AND (t.slug = $3 OR "
		"t.tenant_id::text = $3)), " CATALOGUE_AUDIT(
			"0", "'tenant.purge'", "slug",
			"jsonb_build_object('id', tenant_id, 'rows', "
			"rows)") "SELECT json_build_object('slug', slug, 'rows', "
				 "rows)::text FROM made",
		&p, json, "the tenant's rows cannot be deleted");
	pg_params_fini(&p);
	if (found)
		return found > 0 ? EXIT_FINE : EXIT_FAILED;
	report("there is no tenant '%s' that was deleted: 'terabitsctl tenant delete' "
	       "does "
	       "that first",
	       c->args->text[PARAM_tenant]);
	return EXIT_ABSENT;
}

int tenant_purge_command(const struct args *a)
{
	static struct catalogue c;
	AUTO(strbuf_fini) struct strbuf json = STRBUF_INIT;
	int status = catalogue_open(&c, a);
	if (!status)
		status = purge(&c, &json);
	if (!status)
		catalogue_print(&c, &json);
	catalogue_close(&c);
	return status;
}
