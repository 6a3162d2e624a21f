/* SPDX-License-Identifier: Apache-2.0
 * Dead runs: listed and shown. */
#include "supervisor/admin_dead.h"

#include "supervisor/admin_ask.h"
#include "supervisor/admin_commands.h"
#include "supervisor/admin_db.h"
#include "supervisor/admin_names.h"
#include "supervisor/sql.h"

/* The columns of SQL_ADMIN_DEAD and SQL_ADMIN_DEAD_LIST. */
enum { TENANT, RUN, AGENT, SESSION, REASON, ERROR, DIED_AT, REDRIVEN_AS, INPUT };

static void put_dead(struct json_out *o, const struct pg_result *r, int row)
{
	struct slice error = pg_get_text(r, row, ERROR);
	put_uuid(o, "run", pg_get_uuid(r, row, RUN));
	json_kv_i64(o, "tenant", pg_get_i64(r, row, TENANT));
	put_uuid(o, "agent", pg_get_uuid(r, row, AGENT));
	put_uuid(o, "session", pg_get_uuid(r, row, SESSION));
	json_kv_str(o, "reason", pg_get_text(r, row, REASON));
	if (error.p)
		json_kv_str(o, "error", error);
	else
		json_kv_cstr(o, "error", NULL);
	put_time(o, "diedAt", pg_get_time(r, row, DIED_AT));
	put_uuid(o, "redrivenAs", pg_get_uuid(r, row, REDRIVEN_AS));
}

void dead_read(struct ask *a, const struct dead_filter *f,
	       void (*fn)(struct ask *a, const struct pg_result *r))
{
	struct pg_params *p = admin_db_query(a, SQL_ADMIN_DEAD_LIST);
	if (a->names.has_tenant)
		pg_i64(p, a->names.tenant);
	else
		pg_null(p, PG_INT8);
	pg_text(p, f->reason);
	pg_bool(p, f->open_only);
	pg_i64(p, f->limit);
	admin_db_send(a, fn);
}

struct uuid dead_run(const struct pg_result *r, int row)
{
	return pg_get_uuid(r, row, RUN);
}

int64_t dead_tenant(const struct pg_result *r, int row)
{
	return pg_get_i64(r, row, TENANT);
}

/* ---- dead.list */

static void on_list(struct ask *a, const struct pg_result *r)
{
	struct json_out *o = ask_reply(a);
	json_key(o, "dead");
	json_arr(o);
	for (int i = 0; i < pg_rows(r); i++) {
		json_obj(o);
		put_dead(o, r, i);
		json_obj_end(o);
	}
	json_arr_end(o);
	ask_end(a);
}

static void list_dead(struct ask *a)
{
	dead_read(a, &(struct dead_filter){.limit = ask_limit(a)}, on_list);
}

void admin_dead_list(struct ask *a)
{
	names_find(a, names_given(a), list_dead);
}

/* ---- dead.show */

static void on_show(struct ask *a, const struct pg_result *r)
{
	if (!pg_rows(r)) {
		ask_fail(a, ERR_NOT_FOUND, "tenant %lld has no dead run %.*s",
			 (long long)a->names.tenant, SLICE_ARG(a->args[ARG_RUN].text));
		return;
	}
	struct slice input = pg_get_text(r, 0, INPUT);
	struct json_out *o = ask_reply(a);
	put_dead(o, r, 0);
	if (input.p)
		json_kv_raw(o, "input", input);
	else
		json_kv_cstr(o, "input", NULL);
	ask_end(a);
}

static void show_dead(struct ask *a)
{
	admin_db_read_run(a, SQL_ADMIN_DEAD, on_show);
}

void admin_dead_show(struct ask *a)
{
	names_find_run(a, show_dead);
}
