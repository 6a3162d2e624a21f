/* SPDX-License-Identifier: Apache-2.0
 * Run by run, not by counts: on a busy node commits and ends that are on their way move
 * both counts at any time. */
#include "supervisor/net.h"

#include <string.h>

#include "common/log.h"
#include "common/pg/row.h"
#include "supervisor/load.h"
#include "supervisor/runs.h"
#include "supervisor/sql.h"
#include "supervisor/sup.h"

#define PAGE_ROWS 5000   /* as SQL_LIVE_RUNS says */
#define UNKNOWN_MOST 256 /* that are remembered; one that stays unknown is enough */
#define QUEUE_MS 10000

struct unknown {
	struct uuid run[UNKNOWN_MOST];
	int n;
};

static struct {
	bool looking;
	struct unknown before, now; /* of the last look, and of this one */
	struct unknown asked,
		asks; /* likewise, of runs that wait for a person here alone */
} net;

static void ask_page(struct sup *s, int64_t tenant, struct uuid run);

static bool is_among(const struct unknown *u, struct uuid run)
{
	for (int i = 0; i < u->n; i++)
		if (uuid_eq(u->run[i], run))
			return true;
	return false;
}

static int still_unknown(void)
{
	int n = 0;
	for (int i = 0; i < net.now.n; i++)
		n += is_among(&net.before, net.now.run[i]);
	return n;
}

static void on_loaded(struct sup *s, int rows, const char *failed)
{
	if (failed) {
		log_warn("queue-incomplete", "message=\"%s\"", failed);
		return;
	}
	log_info("queue-completed", "runs=%d", rows);
	sup_release(s);
}

static void judge(struct sup *s)
{
	int slipped = still_unknown();
	net.before = net.now;
	if (!slipped)
		return;
	net.before.n = 0;
	log_warn("queue-incomplete", "unknown=%d known=%u", slipped,
		 lq_stats(s->lq).runs);
	load_queue(s, on_loaded);
}

static void look_at(struct sup *s, struct uuid run, bool waits)
{
	const struct lq_run *r = lq_find(s->lq, run);
	if (!r)
		net.now.run[net.now.n++] = run;
	else if (!waits && lq_run_state(r) == LQ_S_ASKING && net.asks.n < UNKNOWN_MOST)
		net.asks.run[net.asks.n++] = run;
}

/* An answer that this node's last life had sent can land after its rows were loaded. */
static void release_answered(struct sup *s)
{
	struct unknown asked = net.asked;
	net.asked = net.asks;
	for (int i = 0; i < net.asks.n; i++) {
		struct lq_run *r = lq_find(s->lq, net.asks.run[i]);
		if (r && is_among(&asked, net.asks.run[i]))
			runs_answered(s, r);
	}
}

static void on_page(void *arg, const struct pg_answer *a)
{
	struct sup *s = arg;
	if (a->err) {
		net.looking = false;
		if (a->err != ERR_CANCELLED)
			log_warn("queue-not-compared", "message=\"%s\"", a->message);
		return;
	}
	const struct pg_result *r = a->results[0];
	int rows = pg_rows(r);
	for (int i = 0; i < rows && net.now.n < UNKNOWN_MOST; i++)
		look_at(s, pg_get_uuid(r, i, 1), pg_get_bool(r, i, 2));
	if (rows == PAGE_ROWS && net.now.n < UNKNOWN_MOST) {
		ask_page(s, pg_get_i64(r, rows - 1, 0), pg_get_uuid(r, rows - 1, 1));
		return;
	}
	net.looking = false;
	release_answered(s);
	judge(s);
}

static void ask_page(struct sup *s, int64_t tenant, struct uuid run)
{
	struct pg_request *r = pg_begin(s->lease);
	struct pg_params *p = pg_add(r, SQL_LIVE_RUNS);
	pg_i64(p, tenant);
	pg_uuid(p, run);
	pg_submit(r, PG_ANY, QUEUE_MS, on_page, s);
}

void net_cast(struct sup *s)
{
	if (net.looking || s->loading)
		return;
	net.looking = true;
	net.now.n = net.asks.n = 0;
	ask_page(s, INT64_MIN, (struct uuid){{0}});
}
