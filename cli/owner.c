/* SPDX-License-Identifier: Apache-2.0
 * Connecting as owner. */
#include "cli/owner.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/report.h"
#include "cli/state.h"
#include "common/alloc.h"

#define OLDEST_SERVER 150000
#define ERR_SIZE 2048

static const char *from_environment(void)
{
	const char *url = getenv("TERABITS_DATABASE_URL");
	return url && *url ? url : NULL;
}

static int find_conninfo(struct owner *o)
{
	const char *url = from_environment();
	o->conninfo = url ? xstrdup(url) : state_read(o->state, "secrets/owner");
	if (!o->conninfo)
		report("no database is known: %s/secrets/owner is missing. Run ./run "
		       "once, "
		       "which makes a private one, or set TERABITS_DATABASE_URL",
		       o->state);
	return o->conninfo ? 0 : -1;
}

/* libpq quotes a malformed string in its complaint, password and all. */
static int check_conninfo(const struct owner *o)
{
	char *parsed =
		pg_conninfo_set(o->conninfo, "application_name", "terabitsctl", NULL, 0);
	int is_good = parsed != NULL;
	if (!is_good)
		report("%s%s is no connection string: it must be like "
		       "postgresql://user:password@host:port/database or "
		       "host=... port=... dbname=... user=... password=...",
		       from_environment() ? "TERABITS_DATABASE_URL" : o->state,
		       from_environment() ? "" : "/secrets/owner");
	state_forget(&parsed);
	return is_good ? 0 : -1;
}

static int check_server(struct owner *o)
{
	long long version;
	if (owner_number(o, "SELECT current_setting('server_version_num')::int",
			 "the server's version", &version))
		return -1;
	if (version < OLDEST_SERVER) {
		report("PostgreSQL 15 or newer is needed; this server is version %lld",
		       version / 10000);
		return -1;
	}
	return owner_exec(o,
			  "SET statement_timeout = 0; SET idle_session_timeout = 0;"
			  "SET idle_in_transaction_session_timeout = 0;"
			  "SET application_name = 'terabitsctl'",
			  "setting up the connection");
}

int owner_open(struct owner *o, const char *state)
{
	char err[ERR_SIZE] = "";
	*o = (struct owner){.state = state};
	if (find_conninfo(o) || check_conninfo(o))
		return -1;
	o->pg = pg_sync_open(o->conninfo, err, sizeof err);
	if (!o->pg) {
		report("the database cannot be reached by %s: %s",
		       from_environment() ? "TERABITS_DATABASE_URL"
					  : "secrets/owner of the state directory",
		       err);
		return -1;
	}
	return check_server(o);
}

void owner_close(struct owner *o)
{
	pg_sync_close(o->pg);
	o->pg = NULL;
	state_forget(&o->conninfo);
}

int owner_exec(struct owner *o, const char *sql, const char *what)
{
	char err[ERR_SIZE] = "";
	if (pg_sync_exec(o->pg, sql, err, sizeof err) == ERR_OK)
		return 0;
	report("%s: %s", what, *err ? err : "the connection to the database was lost");
	return -1;
}

int owner_query(struct owner *o, const char *sql, const struct pg_params *params,
		struct pg_result **out, const char *what)
{
	char err[ERR_SIZE] = "";
	if (pg_sync_query(o->pg, sql, params, out, err, sizeof err) == ERR_OK)
		return 0;
	report("%s: %s", what, *err ? err : "the connection to the database was lost");
	return -1;
}

int owner_number(struct owner *o, const char *sql, const char *what, long long *out)
{
	struct pg_result *r;
	if (owner_query(o, sql, NULL, &r, what))
		return -1;
	*out = pg_rows(r) ? pg_get_i64(r, 0, 0) : 0;
	pg_result_free(r);
	return 0;
}

int owner_lock(struct owner *o)
{
	long long got;
	if (owner_number(o, "SELECT pg_try_advisory_lock(7717, 2)::int", "the lock",
			 &got))
		return -1;
	if (got)
		return 0;
	report("another 'terabitsctl migrate' is at work on this database; waiting for "
	       "it");
	return owner_query(o, "SELECT pg_advisory_lock(7717, 2)::text", NULL, NULL,
			   "the lock");
}
