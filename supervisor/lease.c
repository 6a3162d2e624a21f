/* SPDX-License-Identifier: Apache-2.0
 * The lease, its heartbeat, and what is done on the same connection. */
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
#include "supervisor/housekeeping.h"
#include "supervisor/load.h"
#include "supervisor/net.h"
#include "supervisor/session_expiry.h"
#include "supervisor/sql.h"
#include "supervisor/sup.h"

#define HEARTBEAT_US 3000000
#define TRUST_US 13000000
#define ROLL_BEATS 1200 /* an hour */
#define KEYS_BEATS 20   /* a minute */
#define NET_BEATS 10    /* half a minute */
#define HELD_TRIES 20   /* a killed predecessor's backend may need a moment to notice */
#define HELD_PAUSE_US 100000
#define OWN_PAUSE_US 1000000
#define LOCK_MS 2000 /* of what is asked beside the heartbeats, which wait behind it */

static struct {
	struct loop_timer *beat;
	int64_t trusted_us; /* CLOCK_BOOTTIME from before the last answered beat was sent
			     */
	int64_t sent_us;
	int beats, tries;
	struct loop_timer *retry; /* of a lock that is held */
	int64_t load_began_us;
	bool waiting, loaded, locked;
} lease;

static void ask_lock(struct sup *s);

static void lose(struct sup *s, const char *why)
{
	if (!s->lease_held)
		return;
	s->lease_held = false;
	log_error("lease-lost", "message=\"%s\"", why);
	sup_step(s, &(struct lq_event){.kind = LQ_HOLD});
	sup_tell_edges(s, NULL);
}

static void win(struct sup *s)
{
	lease.trusted_us = lease.sent_us;
	lease.tries = 0;
	s->lease_held = true;
	if (s->state == SUP_SERVING)
		log_info("lease-regained", "%s", "");
	loop_timer_start(lease.beat, HEARTBEAT_US);
	sup_release(s);
	sup_tell_edges(s, NULL);
	loop_again(s->loop);
}

/* ---- the heartbeat */

/* The database said `db_us` somewhere between the sending and now. */
static void learn_clock(struct sup *s, int64_t db_us)
{
	sup_set_clock(s, db_us - (lease.sent_us + clock_boot_us()) / 2);
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
	if (++lease.beats % ROLL_BEATS == 0)
		housekeeping_roll(s);
	if (lease.beats % KEYS_BEATS == 0) {
		housekeeping_keys(s);
		session_expiry_run(s);
	}
	if (lease.beats % NET_BEATS == 0 && s->lease_held)
		net_cast(s);
}

/* ---- the first load */

static void on_loaded(struct sup *s, int rows, const char *failed)
{
	if (failed)
		fatal("the queue could not be loaded: %s", failed);
	if (rows)
		log_info("queue-loaded", "runs=%d ms=%lld", rows,
			 (long long)(clock_mono_us() - lease.load_began_us) / 1000);
	lease.loaded = true;
	win(s);
	sup_serve(s);
	housekeeping_keys(s);
	session_expiry_run(s);
}

static void load_first(struct sup *s)
{
	lease.load_began_us = clock_mono_us();
	load_queue(s, on_loaded);
}

static void on_node_started(void *arg, const struct pg_answer *a)
{
	struct sup *s = arg;
	if (a->err == ERR_CANCELLED)
		return;
	if (a->err)
		fatal("this node could not be registered: %s", a->message);
	control_load_pauses(s, load_first);
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
	housekeeping_roll(s); /* today's events need their place before any run */
}

/* ---- the lock */

static void on_retry(void *arg)
{
	ask_lock(arg);
}

static void retry_lock(struct sup *s, int64_t us)
{
	if (!lease.retry)
		lease.retry = loop_timer_new(s->loop, on_retry, s);
	loop_timer_start(lease.retry, us);
}

/* The lock was ours before. Memory is of use as long as no other node started meanwhile;
 * then what still holds the lock is the end of a connection that was lost here and not
 * there. */
static void on_is_running(void *arg, const struct pg_answer *a)
{
	struct sup *s = arg;
	if (a->err == ERR_CANCELLED)
		return;
	if (!a->err && !pg_get_bool(a->results[0], 0, 0))
		fatal("another node took this database over; this one ends");
	if (!a->err && lease.locked) {
		win(s);
		return;
	}
	if (!a->err && !lease.tries++)
		log_warn("lease-held",
			 "message=\"the server process of the lost connection holds "
			 "the lease still: waiting for its end\"");
	retry_lock(s, OWN_PAUSE_US);
}

static void ask_is_running(struct sup *s)
{
	struct pg_request *r = pg_begin(s->lease);
	pg_uuid(pg_add(r, SQL_NODE_IS_RUNNING), s->node);
	pg_submit(r, PG_ANY, 5000, on_is_running, s);
}

static void lock_is_held(struct sup *s, struct slice holder)
{
	if (++lease.tries > HELD_TRIES)
		fatal("another terabitsd serves this database (%.*s): stop it first, or "
		      "use another database",
		      SLICE_ARG(holder));
	retry_lock(s, HELD_PAUSE_US);
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
	lease.locked = pg_get_bool(a->results[0], 0, 0);
	if (lease.loaded)
		ask_is_running(s);
	else if (!lease.locked)
		lock_is_held(s, pg_get_text(a->results[0], 0, 5));
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
					.lock_timeout_ms = LOCK_MS,
					.on_state = on_state,
					.arg = s};
	lease.beat = loop_timer_new(s->loop, on_beat_timer, s);
	s->lease = pg_pool_new(s->loop, &config);
}
