/* SPDX-License-Identifier: Apache-2.0
 * The order of a start: libraries that open files or start threads, then link and
 * database; when both have answered and the role is known to be harmless, the filter is
 * loaded; then READY. No message of a run is read before. */
#include "worker/start.h"

#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/crypto.h"
#include "common/die.h"
#include "common/http/client.h"
#include "common/log.h"
#include "common/pg/pool.h"
#include "proto/boot.h"
#include "sandbox/sandbox.h"
#include "worker/agent.h"
#include "worker/asked.h"
#include "worker/cooldowns.h"
#include "worker/emit.h"
#include "sandbox/client/jails.h"
#include "worker/journal.h"
#include "worker/keys.h"
#include "worker/link.h"
#include "worker/llm/endpoints.h"
#include "worker/session.h"
#include "worker/sql.h"
#include "worker/worker.h"

#include "proto/wire.h"

#define SESSION_CACHE_BYTES (16u << 20)
#define HTTP_CONNECTIONS 512
#define LOCK_TIMEOUT_MS 250 /* of a batch: then it goes one by one */

/* ---- the database */

static void on_role(void *arg, const struct pg_answer *a)
{
	struct worker *w = arg;
	if (a->err)
		return;
	const struct pg_result *r = a->results[0];
	struct slice role = pg_get_text(r, 0, 0);
	if (pg_get_bool(r, 0, 1) || pg_get_bool(r, 0, 2) || pg_get_bool(r, 0, 3))
		fatal_usage("the database role %.*s is a superuser, bypasses row-level "
			    "security or owns the tables: run as tb_worker (terabitsctl "
			    "migrate makes it)",
			    SLICE_ARG(role));
	w->role_ok = true;
	loop_wake(w->loop, &w->starting);
}

static void on_database(void *arg, bool up, const char *message)
{
	struct worker *w = arg;
	if (!up) {
		if (!w->away)
			log_warn("database-away", "message=\"%s\"",
				 message ? message : "");
		w->away = true;
		return;
	}
	if (w->away)
		log_info("database-up", "%s", "");
	w->away = false;
	struct pg_request *r = pg_begin(w->pool);
	pg_add(r, SQL_ROLE);
	pg_submit(r, PG_ANY, 0, on_role, w);
}

static void open_database(struct worker *w, const struct wire_boot *b)
{
	char *conninfo = xstrndup(b->conninfo.p, b->conninfo.n);
	const char *password = strstr(conninfo, "password=");
	if (password) {
		password += strlen("password=");
		size_t n = strcspn(password, " '");
		w->password = slice_of(xstrndup(password, n), n);
	}
	w->pool = pg_pool_new(
		w->loop, &(struct pg_pool_config){.conninfo = conninfo,
						  .connections = CONNECTIONS,
						  .stmts = worker_sql,
						  .stmt_count = SQL__COUNT,
						  .application_name = "terabits-worker",
						  .lock_timeout_ms = LOCK_TIMEOUT_MS,
						  .on_state = on_database,
						  .arg = w});
	crypto_wipe(conninfo, b->conninfo.n);
	free(conninfo);
}

/* ---- READY */

static void try_start(void *arg)
{
	struct worker *w = arg;
	char detail[256];
	if (w->ready || !w->linked || !w->role_ok)
		return;
	sandbox_enter(SANDBOX_WORKER, detail, sizeof detail);
	link_ready(w, detail);
	log_info("worker-ready", "%s", detail);
}

/* Of the first master key where there is one, so that all workers have the same. */
static void make_mark_key(struct worker *w, struct slice masters)
{
	struct crypto_sha256_state s;
	uint8_t sum[32], dice[32];
	crypto_random(dice, sizeof dice);
	crypto_sha256_begin(&s);
	crypto_sha256_add(&s, SLICE("marks in questions"));
	crypto_sha256_add(&s, masters.n >= CRYPTO_BOX_KEY
				      ? slice_of(masters.p, CRYPTO_BOX_KEY)
				      : slice_of(dice, sizeof dice));
	crypto_sha256_end(&s, sum);
	memcpy(w->mark_key, sum, sizeof w->mark_key);
	crypto_wipe(sum, sizeof sum);
}

static struct slice kept(struct slice s)
{
	return slice_of(xstrndup(s.p ? s.p : "", s.n), s.n);
}

void worker_start(struct worker *w, struct loop *l, const struct wire_boot *b)
{
	w->loop = l;
	w->model = kept(b->model);
	w->endpoints = endpoints_new(b->endpoints);
	w->silence_us = b->silence_s * 1000000ll;
	w->approval_us = b->approval_s * 1000000ll;
	w->webhook_private = b->webhook_private;
	w->runs = map_new();
	list_init(&w->inquiries);
	w->agents = agents_new();
	w->cooldowns = cooldowns_new();
	w->keys = keys_new(b->master_keys);
	w->asked_told = xcalloc(1, sizeof *w->asked_told);
	make_mark_key(w, b->master_keys);
	w->sessions = sessions_new(SESSION_CACHE_BYTES);
	loop_task_init(&w->starting, try_start, w);
	w->http = http_client_new(l, HTTP_CONNECTIONS);
	http_client_guard(w->http);
	w->journal = journal_new(w);
	w->jails = jails_new(l, BOOT_PEER_FD);
	emit_init(w);
	open_database(w, b);
	link_open(w, b);
}
