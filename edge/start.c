/* SPDX-License-Identifier: Apache-2.0
 * The order of a start: dial and connect at once; when the supervisor has answered and
 * the database role is known to be harmless, confine the process, open the door, say
 * READY. A database that is away delays READY by a few seconds at most: health checks
 * shall be answered then, too. The role is judged at every connection that comes up. */
#include "edge/start.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/crypto.h"
#include "common/die.h"
#include "common/log.h"
#include "common/map.h"
#include "common/pg/pool.h"
#include "edge/auth.h"
#include "edge/doors.h"
#include "edge/handles.h"
#include "edge/limits.h"
#include "edge/link.h"
#include "edge/lookup.h"
#include "edge/opener.h"
#include "edge/penalties.h"
#include "edge/server.h"
#include "edge/store.h"
#include "edge/token_uses.h"
#include "proto/boot.h"
#include "sandbox/client/jails.h"
#include "sandbox/sandbox.h"

#define DATABASE_CONNECTIONS 2
#define PATIENCE_US 3000000

/* ---- the database */

static void on_role(void *arg, const struct pg_answer *a)
{
	struct edge *e = arg;
	if (a->err)
		return;
	const struct pg_result *r = a->results[0];
	struct slice role = pg_get_text(r, 0, 0);
	if (pg_get_bool(r, 0, 1) || pg_get_bool(r, 0, 2) || pg_get_bool(r, 0, 3))
		fatal("the database role %.*s is a superuser, bypasses row-level "
		      "security or "
		      "owns the tables: run as tb_edge (terabitsctl migrate makes it)",
		      SLICE_ARG(role));
	e->role_ok = true;
	loop_wake(e->loop, &e->starting);
}

static void on_database(void *arg, bool up, const char *message)
{
	struct edge *e = arg;
	if (!up) {
		if (!e->away)
			log_warn("database-away", "message=\"%s\"",
				 message ? message : "");
		e->away = true;
		return;
	}
	e->away = false;
	log_info("database-up", "connections=%d", DATABASE_CONNECTIONS);
	struct pg_request *r = pg_begin(e->pool);
	pg_add(r, SQL_ROLE);
	pg_submit(r, PG_ANY, 0, on_role, e);
}

static void open_database(struct edge *e, const struct wire_boot *b)
{
	char *conninfo = xstrndup(b->conninfo.p, b->conninfo.n);
	int connections = b->database_connections ? (int)b->database_connections
						  : DATABASE_CONNECTIONS;
	e->pool = pg_pool_new(
		e->loop, &(struct pg_pool_config){.conninfo = conninfo,
						  .connections = connections,
						  .stmts = store_stmts(),
						  .stmt_count = SQL__COUNT,
						  .application_name = "terabits-edge",
						  .on_state = on_database,
						  .arg = e});
	crypto_wipe(conninfo, b->conninfo.n);
	free(conninfo);
}

/* ---- READY */

static void on_drained(void *arg)
{
	const struct edge *e = arg;
	log_info("edge-drained", "connections=%u", server_connections(e->server));
}

static void open_door(struct edge *e)
{
	char detail[256];
	sandbox_enter(SANDBOX_EDGE, detail, sizeof detail);
	struct server_config c = {.loop = e->loop,
				  .in_pieces = call_in_pieces,
				  .on_request = call_begin,
				  .on_drained = on_drained,
				  .arg = e};
	doors_fill(&c);
	e->server = server_new(&c);
	server_set_keys(e->server, doors_keys());
	link_ready(e, detail);
	log_info("edge-ready", "database=%s %s", e->role_ok ? "up" : "away", detail);
}

static void try_start(void *arg)
{
	struct edge *e = arg;
	if (!e->ready && e->linked && (e->role_ok || e->impatient))
		open_door(e);
}

static void on_patience(void *arg)
{
	struct edge *e = arg;
	e->impatient = true;
	loop_wake(e->loop, &e->starting);
}

void edge_start(struct edge *e, struct loop *l, const struct wire_boot *b)
{
	e->loop = l;
	e->calls = handles_new();
	e->subs = handles_new();
	e->waiting = map_new();
	e->waiting_most = b->max_streams_tenant;
	e->tokens = auth_cache_new(e);
	e->agents = lookup_agents_new(e);
	e->sessions = lookup_sessions_new(e);
	e->opener = opener_new(e);
	e->limits = limits_new(e);
	e->penalties = penalties_new();
	e->uses = token_uses_new(e);
	auth_watch(e);
	e->jails = jails_new(l, BOOT_PEER_FD);
	e->transfers = map_new();
	e->webhook_private = b->webhook_private;
	e->can_seal = b->seal_key.n == sizeof e->seal_key;
	if (e->can_seal)
		memcpy(e->seal_key, b->seal_key.p, sizeof e->seal_key);
	loop_task_init(&e->starting, try_start, e);
	e->patience = loop_timer_new(l, on_patience, e);
	loop_timer_start(e->patience, PATIENCE_US);
	open_database(e, b);
	link_open(e, b);
}
