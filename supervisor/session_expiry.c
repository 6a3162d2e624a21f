/* SPDX-License-Identifier: Apache-2.0
 * All that are over are closed; then page by page emptied of files and deleted. */
#include "supervisor/session_expiry.h"

#include "common/log.h"
#include "common/pg/pool.h"
#include "common/pg/row.h"
#include "supervisor/sql.h"
#include "supervisor/sup.h"
#include "supervisor/workspaces.h"

#define PAGE 20
#define QUEUE_MS 10000

enum page_col { TENANT, AGENT, SESSION };
enum close_col { CLOSED, LAST_AT, LAST_ID };

static struct {
	bool busy;
	int64_t gone, before; /* in all; when the first page was asked for */
	struct workspace_place places[PAGE]; /* of the page, those that may go */
	int count, free;                     /* of the page, of places */
	struct workspace_place behind, last; /* the page is between them */
} pass;

static void ask_page(struct sup *s);
static void ask_pages(struct sup *s);

static void end(void)
{
	if (pass.gone)
		log_info("sessions-expired", "count=%lld", (long long)pass.gone);
	pass.busy = false;
}

static void complain(const struct pg_answer *a)
{
	if (a->err == ERR_DATABASE)
		log_warn("housekeeping-failed", "what=sessions message=\"%s\"",
			 a->message);
}

/* ---- closing: its failure keeps nobody from deleting what is closed */

static void close_some(struct sup *s, int64_t at_us, struct uuid id);

static void on_closed(void *arg, const struct pg_answer *a)
{
	struct sup *s = arg;
	complain(a);
	if (a->err || pg_is_null(a->results[0], 0, LAST_AT))
		ask_pages(s);
	else
		close_some(s, pg_get_time(a->results[0], 0, LAST_AT),
			   pg_get_uuid(a->results[0], 0, LAST_ID));
}

static void close_some(struct sup *s, int64_t at_us, struct uuid id)
{
	struct pg_request *r = pg_begin(s->lease);
	struct pg_params *p = pg_add(r, SQL_SESSIONS_CLOSE);
	pg_i32(p, (int)s->config.stateless_days);
	pg_time(p, at_us);
	pg_uuid(p, id);
	pg_submit(r, PG_ANY, QUEUE_MS, on_closed, s);
}

/* ---- deleting */

/* Whether the rows may go, as nothing else tells of the files: a transfer that holds them
 * ends first. */
static bool remove_files(struct sup *s, const struct workspace_place *p)
{
	enum err e = workspaces_remove(s, p);
	if (e && e != ERR_NOT_FOUND && e != ERR_CONFLICT)
		log_warn("workspace-not-removed", "error=%s", err_code(e));
	return !e || e == ERR_NOT_FOUND;
}

/* What somebody holds of the page is left; what has another piece goes first. A transfer
 * that had found a session before it was closed may have made its directory anew. */
static void on_purged(void *arg, const struct pg_answer *a)
{
	struct sup *s = arg;
	complain(a);
	if (a->err) {
		end();
		return;
	}
	pass.gone += pg_get_i64(a->results[0], 0, 0);
	for (int i = 0; i < pass.free; i++)
		remove_files(s, &pass.places[i]);
	if (!pg_get_i64(a->results[0], 0, 1))
		pass.behind = pass.last;
	ask_page(s);
}

static void purge(struct sup *s)
{
	struct pg_request *r = pg_begin(s->lease);
	struct pg_params *p = pg_add(r, SQL_SESSIONS_PURGE);
	pg_array(p, PG_INT8);
	for (int i = 0; i < pass.free; i++)
		pg_i64(p, pass.places[i].tenant);
	pg_array_end(p);
	pg_array(p, PG_UUID);
	for (int i = 0; i < pass.free; i++)
		pg_uuid(p, pass.places[i].session);
	pg_array_end(p);
	pg_submit(r, PG_ANY, QUEUE_MS, on_purged, s);
}

/* Those that may go come first. */
static void take_page(struct sup *s, const struct pg_result *rows)
{
	pass.count = pass.free = 0;
	for (int i = 0; i < pg_rows(rows) && i < PAGE; i++) {
		pass.last = (struct workspace_place){
			.tenant = pg_get_i64(rows, i, TENANT),
			.agent = pg_get_uuid(rows, i, AGENT),
			.session = pg_get_uuid(rows, i, SESSION)};
		pass.count++;
		if (remove_files(s, &pass.last))
			pass.places[pass.free++] = pass.last;
	}
}

static void on_page(void *arg, const struct pg_answer *a)
{
	struct sup *s = arg;
	complain(a);
	pass.count = 0;
	if (!a->err)
		take_page(s, a->results[0]);
	if (pass.count)
		purge(s);
	else if (!a->err && pass.gone > pass.before) /* who held some may be done */
		ask_pages(s);
	else
		end();
}

static void ask_page(struct sup *s)
{
	struct pg_request *r = pg_begin(s->lease);
	struct pg_params *p = pg_add(r, SQL_SESSIONS_CLOSED);
	pg_i64(p, pass.behind.tenant);
	pg_uuid(p, pass.behind.session);
	pg_i32(p, PAGE);
	pg_submit(r, PG_ANY, QUEUE_MS, on_page, s);
}

static void ask_pages(struct sup *s)
{
	pass.before = pass.gone;
	pass.behind = (struct workspace_place){0};
	ask_page(s);
}

void session_expiry_run(struct sup *s)
{
	if (pass.busy || !s->lease_held)
		return;
	pass.busy = true;
	pass.gone = 0;
	if (s->config.stateless_days)
		close_some(s, 0, (struct uuid){{0}});
	else
		ask_pages(s);
}
