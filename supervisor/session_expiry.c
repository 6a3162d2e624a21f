/* SPDX-License-Identifier: Apache-2.0
 * Page by page: closed, emptied of files, deleted. */
#include "supervisor/session_expiry.h"

#include "common/log.h"
#include "common/pg/pool.h"
#include "common/pg/row.h"
#include "supervisor/sql.h"
#include "supervisor/sup.h"
#include "supervisor/workspaces.h"

#define PAGE 20
#define QUEUE_MS 10000

enum col { TENANT, AGENT, SESSION };

static struct {
	bool busy;
	int64_t gone, before; /* in all; when the first page was asked for */
	int64_t tenant;       /* the page is behind these */
	struct uuid session;
	struct workspace_place last; /* of the page */
} pass;

static void ask_page(struct sup *s);
static void start(struct sup *s);

static void end(void)
{
	if (pass.gone)
		log_info("sessions-expired", "count=%lld", (long long)pass.gone);
	pass.busy = false;
}

static bool failed(const struct pg_answer *a)
{
	if (!a->err)
		return false;
	if (a->err == ERR_DATABASE)
		log_warn("housekeeping-failed", "what=sessions message=\"%s\"",
			 a->message);
	end();
	return true;
}

/* What somebody holds of the page is left; what has another piece goes first. */
static void on_purged(void *arg, const struct pg_answer *a)
{
	struct sup *s = arg;
	if (failed(a))
		return;
	pass.gone += pg_get_i64(a->results[0], 0, 0);
	if (!pg_get_i64(a->results[0], 0, 1)) {
		pass.tenant = pass.last.tenant;
		pass.session = pass.last.session;
	}
	ask_page(s);
}

/* Whether the rows may go: a transfer that holds the files ends first. */
static bool remove_files(struct sup *s, const struct workspace_place *p)
{
	enum err e = workspaces_remove(s, p);
	if (e && e != ERR_NOT_FOUND && e != ERR_CONFLICT)
		log_warn("workspace-not-removed", "error=%s", err_code(e));
	return e != ERR_CONFLICT;
}

static void purge(struct sup *s, const struct workspace_place *places, int n)
{
	struct pg_request *r = pg_begin(s->lease);
	struct pg_params *p = pg_add(r, SQL_SESSIONS_PURGE);
	pg_array(p, PG_INT8);
	for (int i = 0; i < n; i++)
		pg_i64(p, places[i].tenant);
	pg_array_end(p);
	pg_array(p, PG_UUID);
	for (int i = 0; i < n; i++)
		pg_uuid(p, places[i].session);
	pg_array_end(p);
	pg_submit(r, PG_ANY, QUEUE_MS, on_purged, s);
}

static void on_page(void *arg, const struct pg_answer *a)
{
	struct sup *s = arg;
	struct workspace_place places[PAGE];
	int n = 0;
	if (failed(a))
		return;
	const struct pg_result *rows = a->results[0];
	int count = pg_rows(rows);
	for (int i = 0; i < count && i < PAGE; i++) {
		pass.last = (struct workspace_place){
			.tenant = pg_get_i64(rows, i, TENANT),
			.agent = pg_get_uuid(rows, i, AGENT),
			.session = pg_get_uuid(rows, i, SESSION)};
		if (remove_files(s, &pass.last))
			places[n++] = pass.last;
	}
	if (count)
		purge(s, places, n);
	else if (pass.gone > pass.before) /* what was closed meanwhile is anywhere */
		start(s);
	else
		end();
}

static void ask_page(struct sup *s)
{
	struct pg_request *r = pg_begin(s->lease);
	struct pg_params *p = pg_add(r, SQL_SESSIONS_EXPIRE);
	pg_i32(p, (int)s->config.stateless_days);
	pg_i32(p, PAGE);
	pg_i64(p, pass.tenant);
	pg_uuid(p, pass.session);
	pg_submit(r, PG_ANY, QUEUE_MS, on_page, s);
}

static void start(struct sup *s)
{
	pass.before = pass.gone;
	pass.tenant = 0;
	memset(&pass.session, 0, sizeof pass.session);
	ask_page(s);
}

void session_expiry_run(struct sup *s)
{
	if (pass.busy)
		return;
	pass.busy = true;
	pass.gone = 0;
	start(s);
}
