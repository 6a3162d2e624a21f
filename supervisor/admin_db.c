/* SPDX-License-Identifier: Apache-2.0
 * The admin socket's connection. */
#include "supervisor/admin_db.h"

#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/crypto.h"
#include "common/log.h"
#include "supervisor/admin_ask.h"
#include "supervisor/journal.h"
#include "supervisor/sql.h"
#include "supervisor/sup.h"

/* Both end before the ask's own limit, so that the answer says why. */
#define QUEUE_MS 4000
#define STATEMENT_MS 4000
#define AUDIT_QUEUE_MS 60000

struct admin_db {
	struct sup *sup;
	char *conninfo; /* until the pool has it */
	struct pg_pool *pool;
};

/* A query under way. */
struct query {
	struct ask *ask;
	void (*fn)(struct ask *a, const struct pg_result *r);
};

struct admin_db *admin_db_new(struct sup *s)
{
	struct admin_db *db = xcalloc(1, sizeof *db);
	db->sup = s;
	/* Now, when a missing file may still end the process. */
	db->conninfo = sup_conninfo(s, "tb_supervisor");
	return db;
}

static void drop_conninfo(struct admin_db *db)
{
	if (!db->conninfo)
		return;
	crypto_wipe(db->conninfo, strlen(db->conninfo));
	free(db->conninfo);
	db->conninfo = NULL;
}

void admin_db_free(struct admin_db *db)
{
	if (db->pool)
		pg_pool_free(db->pool);
	drop_conninfo(db);
	free(db);
}

static struct pg_pool *pool_of(struct admin_db *db)
{
	if (db->pool)
		return db->pool;
	struct pg_pool_config config = {.conninfo = db->conninfo,
					.connections = 1,
					.stmts = supervisor_sql,
					.stmt_count = SQL__COUNT,
					.application_name = "terabits admin",
					.statement_timeout_ms = STATEMENT_MS};
	db->pool = pg_pool_new(db->sup->loop, &config);
	drop_conninfo(db);
	return db->pool;
}

/* ---- queries */

struct pg_params *admin_db_query(struct ask *a, int stmt)
{
	a->query = pg_begin(pool_of(a->world->db));
	return pg_add(a->query, stmt);
}

static void tell_failure(struct ask *a, const struct pg_answer *answer)
{
	if (answer->fate == PG_ROLLED_BACK && strcmp(answer->sqlstate, "57014")) {
		log_error("admin-query", "command=%s sqlstate=%s message=\"%s\"",
			  ask_command(a), answer->sqlstate, answer->message);
		ask_fail(a, ERR_INTERNAL, "the database refused the question: %s",
			 answer->message);
		return;
	}
	ask_fail(a, ERR_UNAVAILABLE, "the database is away or too slow: %s",
		 *answer->message ? answer->message : "no connection");
}

static void on_rows(void *arg, const struct pg_answer *answer)
{
	struct query *q = arg;
	struct ask *a = q->ask;
	if (!ask_is_over(a)) {
		if (answer->err)
			tell_failure(a, answer);
		else
			q->fn(a, answer->results[0]);
	}
	ask_release(a);
	free(q);
}

void admin_db_send(struct ask *a, void (*fn)(struct ask *a, const struct pg_result *r))
{
	struct pg_request *r = a->query;
	a->query = NULL;
	if (!journal_is_up(a->sup->journal)) {
		pg_discard(r);
		ask_fail(a, ERR_UNAVAILABLE, "the database is away");
		return;
	}
	struct query *q = xcalloc(1, sizeof *q);
	q->ask = a;
	q->fn = fn;
	ask_hold(a);
	pg_submit(r, PG_ANY, QUEUE_MS, on_rows, q);
}

void admin_db_read_run(struct ask *a, int stmt,
		       void (*fn)(struct ask *a, const struct pg_result *r))
{
	struct pg_params *p = admin_db_query(a, stmt);
	pg_i64(p, a->names.tenant);
	pg_uuid(p, a->args[ARG_RUN].uuid);
	admin_db_send(a, fn);
}

/* ---- audit */

static void on_audited(void *arg, const struct pg_answer *answer)
{
	(void)arg;
	if (answer->err)
		log_warn("audit-row-lost", "sqlstate=%s message=\"%s\"", answer->sqlstate,
			 answer->message);
}

void admin_db_audit(struct admin_db *db, const struct audit *row)
{
	struct strbuf detail = STRBUF_INIT;
	struct pg_request *r = pg_begin(pool_of(db));
	struct pg_params *p = pg_add(r, SQL_ADMIN_AUDIT);
	if (row->detail)
		json_print(&detail, row->detail);
	else
		strbuf_add_str(&detail, "{}");
	pg_i64(p, row->tenant);
	pg_text(p, slice_str(row->actor));
	pg_text(p, slice_str(row->action));
	pg_text(p, slice_str(row->object));
	pg_jsonb(p, strbuf_slice(&detail));
	pg_submit(r, PG_ANY, AUDIT_QUEUE_MS, on_audited, NULL);
	strbuf_fini(&detail);
}
