/* SPDX-License-Identifier: Apache-2.0
 * Names and ids: the step that is next, until all that is wanted is known. */
#include "supervisor/admin_names.h"

#include "supervisor/admin_ask.h"
#include "supervisor/admin_db.h"
#include "supervisor/lq.h"
#include "supervisor/sql.h"
#include "supervisor/sup.h"

static void next(struct ask *a);

/* ---- tenant */

static void on_tenant(struct ask *a, const struct pg_result *r)
{
	const struct arg *given = &a->args[ARG_TENANT];
	int rows = pg_rows(r);
	if (rows == 1) {
		a->names.tenant = pg_get_i64(r, 0, 0);
		a->names.has_tenant = true;
		next(a);
	} else if (!given->given) {
		ask_fail(a, ERR_BAD_REQUEST,
			 rows ? "tenant: needed, there is more than one"
			      : "tenant: needed, there is no active one");
	} else if (given->is_number) {
		ask_fail(a, ERR_NOT_FOUND, "there is no tenant %lld",
			 (long long)given->number);
	} else {
		ask_fail(a, ERR_NOT_FOUND, "there is no tenant %.*s",
			 SLICE_ARG(given->text));
	}
}

static void find_tenant(struct ask *a)
{
	const struct arg *given = &a->args[ARG_TENANT];
	if (given->given && given->is_number && !(a->want & NAMES_CHECK)) {
		a->names.tenant = given->number;
		a->names.has_tenant = true;
		next(a);
		return;
	}
	struct pg_params *p = admin_db_query(a, SQL_ADMIN_TENANT);
	if (given->given && given->is_number)
		pg_i64(p, given->number);
	else
		pg_null(p, PG_INT8);
	pg_text(p, given->given ? given->text : SLICE_NONE);
	admin_db_send(a, on_tenant);
}

/* ---- agent */

static void on_agent(struct ask *a, const struct pg_result *r)
{
	if (!pg_rows(r)) {
		ask_fail(a, ERR_NOT_FOUND, "tenant %lld has no agent %.*s",
			 (long long)a->names.tenant, SLICE_ARG(a->args[ARG_AGENT].text));
		return;
	}
	a->names.agent = pg_get_uuid(r, 0, 0);
	a->names.has_agent = true;
	next(a);
}

static void find_agent(struct ask *a)
{
	const struct arg *given = &a->args[ARG_AGENT];
	struct uuid id = {{0}};
	bool is_id = uuid_parse(given->text, &id);
	if (!given->given) {
		ask_fail(a, ERR_BAD_REQUEST,
			 a->want & NAMES_SESSION
				 ? "agent: needed when session is a key and no uuid"
				 : "agent: its name or its uuid is needed");
		return;
	}
	if (is_id && !(a->want & NAMES_CHECK)) {
		a->names.agent = id;
		a->names.has_agent = true;
		next(a);
		return;
	}
	struct pg_params *p = admin_db_query(a, SQL_ADMIN_AGENT);
	pg_i64(p, a->names.tenant);
	if (is_id)
		pg_uuid(p, id);
	else
		pg_null(p, PG_UUID);
	pg_text(p, given->text);
	admin_db_send(a, on_agent);
}

/* ---- session */

static void on_session(struct ask *a, const struct pg_result *r)
{
	struct names *n = &a->names;
	struct uuid agent = pg_rows(r) ? pg_get_uuid(r, 0, 1) : (struct uuid){{0}};
	if (!pg_rows(r) || (n->has_agent && !uuid_eq(agent, n->agent))) {
		ask_fail(a, ERR_NOT_FOUND, "tenant %lld%s has no session %.*s",
			 (long long)n->tenant, n->has_agent ? "'s agent" : "",
			 SLICE_ARG(a->args[ARG_SESSION].text));
		return;
	}
	n->session = pg_get_uuid(r, 0, 0);
	n->agent = agent;
	n->slot = (uint32_t)pg_get_i64(r, 0, 3);
	strbuf_add_slice(&n->key, pg_get_text(r, 0, 2));
	n->has_agent = n->has_session = true;
	next(a);
}

static void find_session(struct ask *a)
{
	struct slice text = a->args[ARG_SESSION].text;
	struct uuid id;
	if (uuid_parse(text, &id)) {
		struct pg_params *p = admin_db_query(a, SQL_ADMIN_SESSION);
		pg_i64(p, a->names.tenant);
		pg_uuid(p, id);
		admin_db_send(a, on_session);
		return;
	}
	struct pg_params *p = admin_db_query(a, SQL_ADMIN_SESSION_KEY);
	pg_i64(p, a->names.tenant);
	pg_uuid(p, a->names.agent);
	pg_text(p, text);
	admin_db_send(a, on_session);
}

/* ---- all */

static void next(struct ask *a)
{
	if (a->want & NAMES_TENANT && !a->names.has_tenant)
		find_tenant(a);
	else if (a->want & NAMES_AGENT && !a->names.has_agent)
		find_agent(a);
	else if (a->want & NAMES_SESSION && !a->names.has_session)
		find_session(a);
	else
		a->then(a);
}

void names_find(struct ask *a, unsigned want, void (*then)(struct ask *a))
{
	struct uuid id;
	if (want & (NAMES_AGENT | NAMES_SESSION))
		want |= NAMES_TENANT;
	if (want & NAMES_SESSION &&
	    (a->args[ARG_AGENT].given || !uuid_parse(a->args[ARG_SESSION].text, &id)))
		want |= NAMES_AGENT;
	a->want = want;
	a->then = then;
	next(a);
}

unsigned names_given(const struct ask *a)
{
	return (a->args[ARG_TENANT].given ? NAMES_TENANT : 0u) |
	       (a->args[ARG_AGENT].given ? NAMES_TENANT | NAMES_AGENT : 0u);
}

/* ---- runs */

struct lq_run *names_run(const struct ask *a)
{
	struct lq_run *r = lq_find(a->sup->lq, a->args[ARG_RUN].uuid);
	return r && (!a->names.has_tenant || lq_run_tenant(r) == a->names.tenant) ? r
										  : NULL;
}

void names_find_run(struct ask *a, void (*then)(struct ask *a))
{
	struct lq_run *r = names_run(a);
	if (r && !a->args[ARG_TENANT].given) {
		a->names.tenant = lq_run_tenant(r);
		a->names.has_tenant = true;
	}
	names_find(a, NAMES_TENANT, then);
}
