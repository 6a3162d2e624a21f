/* SPDX-License-Identifier: Apache-2.0
 * The lease, its heartbeat, housekeeping on the same connection, and the first load of
 * the queue. */
#include "supervisor/lease.h"

#include <stdlib.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/clock.h"
#include "common/crypto.h"
#include "common/die.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/pg/row.h"
#include "supervisor/control.h"
#include "supervisor/journal.h"
#include "supervisor/sql.h"
#include "supervisor/sup.h"

#define HEARTBEAT_US 3000000
#define TRUST_US 13000000
#define HOUSEKEEPING_BEATS 1200 /* an hour */
#define NET_BEATS 10            /* half a minute */
#define HELD_TRIES 20 /* a killed predecessor's backend may need a moment to notice */
#define HELD_PAUSE_US 100000

static struct {
	struct loop_timer *beat;
	int64_t trusted_us; /* CLOCK_BOOTTIME from before the last answered beat was sent
			     */
	int64_t sent_us;
	int beats, tries;
	int short_counts; /* in a row: the database holds more runs than memory */
	int loaded_rows;
	int64_t load_began_us;
	bool waiting, loaded;
} lease;

static void ask_lock(struct sup *s);
static void load_page(struct sup *s, int64_t tenant, struct uuid run);

static void lose(struct sup *s, const char *why)
{
	if (!s->lease_held)
		return;
	s->lease_held = false;
	log_error("lease-lost", "message=\"%s\"", why);
	sup_step(s, &(struct lq_event){.kind = LQ_HOLD});
	sup_tell_edges(s, NULL);
}

/* What the lease allows starts, unless the node drains. */
static void release(struct sup *s)
{
	if (s->lease_held && s->state <= SUP_SERVING)
		sup_step(s, &(struct lq_event){.kind = LQ_RELEASE});
}

static void win(struct sup *s)
{
	lease.trusted_us = lease.sent_us;
	s->lease_held = true;
	if (s->state == SUP_SERVING)
		log_info("lease-regained", "%s", "");
	loop_timer_start(lease.beat, HEARTBEAT_US);
	release(s);
	sup_tell_edges(s, NULL);
	loop_again(s->loop);
}

/* ---- the heartbeat */

/* The database said `db_us` somewhere between the sending and now. */
static void learn_clock(struct sup *s, int64_t db_us)
{
	s->db_offset_us = db_us - (lease.sent_us + clock_boot_us()) / 2;
}

static void on_beat(void *arg, const struct pg_answer *a)
{
	struct sup *s = arg;
	lease.waiting = false;
	if (a->err) {
		lose(s, a->message);
		return;
	}
	if (!s->lease_held) { /* it answers again: is the lock still ours? */
		ask_lock(s);
		return;
	}
	lease.trusted_us = lease.sent_us;
	learn_clock(s, pg_get_i64(a->results[0], 0, 0));
	loop_timer_start(lease.beat, HEARTBEAT_US);
}

static void on_housekept(void *arg, const struct pg_answer *a)
{
	(void)arg;
	if (a->err == ERR_DATABASE)
		log_warn("housekeeping-failed", "message=\"%s\"", a->message);
}

static void keep_house(struct sup *s)
{
	struct pg_request *r = pg_begin(s->lease);
	struct pg_params *p = pg_add(r, SQL_EVENTS_ROLL);
	pg_i32(p, 2);
	pg_i32(p, 3);
	pg_submit(r, PG_ANY, 10000, on_housekept, s);
	r = pg_begin(s->lease);
	pg_add(r, SQL_KEYS_EXPIRE);
	pg_submit(r, PG_ANY, 10000, on_housekept, s);
}

/* ---- the net: what the database holds and memory does not is loaded */

static void on_live_count(void *arg, const struct pg_answer *a)
{
	struct sup *s = arg;
	if (a->err)
		return;
	bool short_of = pg_get_i64(a->results[0], 0, 0) > lq_stats(s->lq).runs &&
			journal_pending(s->journal) == 0;
	lease.short_counts = short_of ? lease.short_counts + 1 : 0;
	if (lease.short_counts < 2) /* one may be a commit between the two looks */
		return;
	lease.short_counts = 0;
	lease.loaded_rows = 0;
	log_warn("queue-incomplete", "database=%lld memory=%u",
		 (long long)pg_get_i64(a->results[0], 0, 0), lq_stats(s->lq).runs);
	/* No lane starts before its older rows are known. */
	sup_step(s, &(struct lq_event){.kind = LQ_HOLD});
	load_page(s, INT64_MIN, (struct uuid){{0}});
}

static void cast_net(struct sup *s)
{
	struct pg_request *r = pg_begin(s->lease);
	pg_add(r, SQL_LIVE_COUNT);
	pg_submit(r, PG_ANY, 10000, on_live_count, s);
}

static void on_beat_timer(void *arg)
{
	struct sup *s = arg;
	if (lease.waiting) {
		if (clock_boot_us() - lease.trusted_us > TRUST_US)
			lose(s, "no heartbeat was answered for 13 s");
		loop_timer_start(lease.beat, HEARTBEAT_US / 3);
		return;
	}
	struct pg_request *r = pg_begin(s->lease);
	pg_add(r, SQL_HEARTBEAT);
	lease.waiting = true;
	lease.sent_us = clock_boot_us();
	pg_submit(r, PG_ANY, 0, on_beat, s);
	loop_timer_start(lease.beat, HEARTBEAT_US);
	if (++lease.beats % HOUSEKEEPING_BEATS == 0)
		keep_house(s);
	if (lease.beats % NET_BEATS == 0 && s->lease_held)
		cast_net(s);
}

/* ---- the load */

static struct lq_item item_at(const struct pg_result *r, int row)
{
	return (struct lq_item){
		.tenant = pg_get_i64(r, row, 0),
		.run = pg_get_uuid(r, row, 1),
		.session = pg_get_uuid(r, row, 2),
		.slot = (uint32_t)pg_get_i64(r, row, 3),
		.priority = (int)pg_get_i64(r, row, 4),
		.order_us = pg_get_i64(r, row, 5),
		/* a cancelled one has nothing to wait for */
		.run_at_us = pg_get_bool(r, row, 19) ? 0 : pg_get_time(r, row, 6),
		.lane_pos = pg_get_i64(r, row, 7),
		.ran = pg_get_bool(r, row, 8),
		.tenant_max_running = (uint32_t)pg_get_i64(r, row, 9),
		.tenant_max_queued = (uint32_t)pg_get_i64(r, row, 10),
		.tenant_weight = (uint32_t)pg_get_i64(r, row, 11),
		.agent = pg_get_uuid(r, row, 12),
		.mode = (enum run_mode)mode_from_word(pg_get_text(r, row, 13)),
		.deadline_us = pg_get_time(r, row, 14),
		.retrying = slice_is(pg_get_text(r, row, 15), "retry_wait"),
		.folded = pg_get_bool(r, row, 16),
		.crashes = (uint32_t)pg_get_i64(r, row, 17),
		.agent_max_running = (uint32_t)pg_get_i64(r, row, 18)};
}

/* A row that memory has already is left alone: after the first load this is the net for
 * what slipped. */
static void load_row(struct sup *s, const struct pg_result *r, int row)
{
	struct lq_item it = item_at(r, row);
	if (it.order_us > s->last_order_us)
		s->last_order_us = it.order_us;
	if (lq_find(s->lq, it.run))
		return;
	if (!it.mode)
		it.mode = MODE_FOLLOWUP;
	sup_step(s, &(struct lq_event){
			    .kind = LQ_LOADED, .item = &it, .now_us = sup_db_now_us(s)});
	lease.loaded_rows++;
}

static void on_page(void *arg, const struct pg_answer *a)
{
	struct sup *s = arg;
	if (a->err == ERR_CANCELLED)
		return;
	if (a->err && lease.loaded) { /* the net comes again */
		release(s);
		return;
	}
	if (a->err)
		fatal("the queue could not be loaded: %s", a->message);
	const struct pg_result *r = a->results[0];
	int rows = pg_rows(r);
	for (int i = 0; i < rows; i++)
		load_row(s, r, i);
	if (rows == 5000) {
		load_page(s, pg_get_i64(r, rows - 1, 0), pg_get_uuid(r, rows - 1, 1));
		return;
	}
	if (lease.loaded) {
		log_info("queue-completed", "runs=%d", lease.loaded_rows);
		release(s);
		return;
	}
	lease.loaded = true;
	if (lease.loaded_rows)
		log_info("queue-loaded", "runs=%d ms=%lld", lease.loaded_rows,
			 (long long)(clock_mono_us() - lease.load_began_us) / 1000);
	win(s);
	sup_serve(s);
}

static void load_page(struct sup *s, int64_t tenant, struct uuid run)
{
	struct pg_request *r = pg_begin(s->lease);
	struct pg_params *p = pg_add(r, SQL_LOAD);
	pg_i64(p, tenant);
	pg_uuid(p, run);
	pg_submit(r, PG_ANY, 0, on_page, s);
}

static void load_queue(struct sup *s)
{
	lease.load_began_us = clock_mono_us();
	load_page(s, INT64_MIN, (struct uuid){{0}});
}

static void on_node_started(void *arg, const struct pg_answer *a)
{
	struct sup *s = arg;
	if (a->err == ERR_CANCELLED)
		return;
	if (a->err)
		fatal("this node could not be registered: %s", a->message);
	control_load_pauses(s, load_queue);
}

static void start_node(struct sup *s)
{
	char host[256] = "?";
	gethostname(host, sizeof host - 1);
	struct pg_request *r = pg_begin(s->lease);
	struct pg_params *p = pg_add(r, SQL_NODE_START);
	pg_uuid(p, s->node);
	pg_text(p, slice_str(host));
	pg_text(p, SLICE(TB_VERSION));
	pg_submit(r, PG_ANY, 0, on_node_started, s);
	keep_house(s);
}

/* ---- the lock */

static void on_retry(void *arg)
{
	ask_lock(arg);
}

static void lock_is_held(struct sup *s, struct slice holder)
{
	static struct loop_timer *retry;
	if (lease.loaded) /* it was ours: whoever has it now runs our lanes */
		fatal("another node took this database over (%.*s); this one ends",
		      SLICE_ARG(holder));
	if (++lease.tries > HELD_TRIES)
		fatal("another terabitsd serves this database (%.*s): stop it first, or "
		      "use another database",
		      SLICE_ARG(holder));
	if (!retry)
		retry = loop_timer_new(s->loop, on_retry, s);
	loop_timer_start(retry, HELD_PAUSE_US);
}

static void judge_database(const struct pg_result *r)
{
	if (pg_get_i64(r, 0, 1) < 150000)
		fatal("PostgreSQL 15 or newer is needed");
	if (pg_get_bool(r, 0, 2) || pg_get_bool(r, 0, 3))
		fatal("the database role of the supervisor is superuser, owner or has "
		      "BYPASSRLS: use tb_supervisor, as "
		      "'terabitsctl migrate' sets it up");
	int64_t version = pg_get_i64(r, 0, 4);
	if (version != SCHEMA_VERSION)
		fatal("the database has schema version %lld, this build needs %d: run "
		      "'terabitsctl migrate'%s",
		      (long long)version, SCHEMA_VERSION,
		      version > SCHEMA_VERSION ? " of the newer build" : "");
}

static void on_lock(void *arg, const struct pg_answer *a)
{
	struct sup *s = arg;
	if (a->err == ERR_CANCELLED)
		return;
	if (a->err) {
		if (!lease.loaded && a->fate == PG_ROLLED_BACK)
			fatal("the database is not set up (%s): run 'terabitsctl "
			      "migrate' first",
			      a->message);
		/* A lost connection: on_state asks again. A refusal: the next beat does.
		 */
		loop_timer_start(lease.beat, HEARTBEAT_US / 3);
		return;
	}
	judge_database(a->results[0]);
	learn_clock(s, pg_get_i64(a->results[0], 0, 6));
	if (!pg_get_bool(a->results[0], 0, 0))
		lock_is_held(s, pg_get_text(a->results[0], 0, 5));
	else if (lease.loaded)
		win(s);
	else
		start_node(s);
}

static void ask_lock(struct sup *s)
{
	struct pg_request *r = pg_begin(s->lease);
	pg_add(r, SQL_LOCK);
	lease.sent_us = clock_boot_us();
	pg_submit(r, PG_ANY, 5000, on_lock, s);
}

static void on_state(void *arg, bool up, const char *message)
{
	struct sup *s = arg;
	if (up) {
		lease.waiting = false;
		ask_lock(s);
		return;
	}
	if (!lease.loaded)
		fatal("Postgres cannot be reached: %s. Start it, or set "
		      "TERABITS_DATABASE_URL and run 'terabitsctl migrate'",
		      message);
	loop_timer_stop(lease.beat);
	lose(s, message);
}

void lease_start(struct sup *s)
{
	AUTO(auto_free) char *conninfo = sup_conninfo(s, "tb_supervisor");
	struct pg_pool_config config = {.conninfo = conninfo,
					.connections = 1,
					.stmts = supervisor_sql,
					.stmt_count = SQL__COUNT,
					.application_name = "terabits lease",
					.on_state = on_state,
					.arg = s};
	lease.beat = loop_timer_new(s->loop, on_beat_timer, s);
	s->lease = pg_pool_new(s->loop, &config);
}
