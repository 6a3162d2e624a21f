/* SPDX-License-Identifier: Apache-2.0
 * The node as a whole: its state, its children, its drain. */
#include <unistd.h>

#include "common/log.h"
#include "common/loop.h"
#include "supervisor/admin_ask.h"
#include "supervisor/admin_commands.h"
#include "supervisor/admin_rates.h"
#include "supervisor/children.h"
#include "supervisor/journal.h"
#include "supervisor/sup.h"

static void put_child(struct json_out *o, const struct child *c)
{
	static const char *const states[] = {"down", "starting", "ready", "draining"};
	json_obj(o);
	json_kv_cstr(o, "kind", c->role == ROLE_EDGE ? "edge" : "worker");
	json_kv_i64(o, "ordinal", c->ordinal);
	json_kv_cstr(o, "state", states[c->state]);
	json_kv_i64(o, "pid", c->pid);
	json_kv_i64(o, "launcherPid", c->launcher_pid);
	json_kv_i64(o, c->role == ROLE_EDGE ? "connections" : "runs", c->runs);
	json_kv_i64(o, "worstTurnUs", c->worst_us);
	json_kv_i64(o, "rssKib", c->rss_kib);
	json_kv_i64(o, "deaths", c->deaths);
	json_obj_end(o);
}

static void put_queue(struct json_out *o, const struct lq_stats *q)
{
	json_kv_i64(o, "lanes", q->lanes);
	json_kv_i64(o, "waiting", q->waiting);
	json_kv_i64(o, "running", q->running);
	json_kv_i64(o, "delayed", q->delayed);
	json_kv_i64(o, "retrying", q->retrying);
	json_kv_i64(o, "folded", q->folded);
	json_kv_i64(o, "claiming", q->claiming);
	json_kv_i64(o, "tenants", q->tenants);
	json_kv_i64(o, "queueBytes", (int64_t)q->bytes);
	json_kv_bool(o, "paused", q->paused);
	json_kv_bool(o, "held", q->held);
}

static void put_rates(struct json_out *o, const struct rates *r)
{
	json_key(o, "rates");
	json_obj(o);
	json_key(o, "acceptedPerS");
	json_put_double(o, rates_accepted(r));
	json_key(o, "endedPerS");
	json_put_double(o, rates_ended(r));
	json_obj_end(o);
}

void admin_status(struct ask *a)
{
	static const char *const states[] = {"starting", "serving", "draining",
					     "stopping"};
	struct sup *s = a->sup;
	struct lq_stats q = lq_stats(s->lq);
	struct json_out *o = ask_reply(a);
	put_uuid(o, "node", s->node);
	json_kv_cstr(o, "version", TB_VERSION);
	json_kv_i64(o, "pid", getpid());
	json_kv_cstr(o, "state", states[s->state]);
	json_kv_i64(o, "uptimeMs", (loop_now_us(s->loop) - s->started_us) / 1000);
	json_kv_cstr(o, "listen", s->config.listen);
	json_kv_cstr(o, "model", s->model);
	json_kv_bool(o, "database", journal_is_up(s->journal));
	put_queue(o, &q);
	json_kv_i64(o, "accepted", (int64_t)s->runs_accepted);
	json_kv_i64(o, "ended", (int64_t)s->runs_ended);
	put_rates(o, a->world->rates);
	json_key(o, "children");
	json_arr(o);
	list_each (n, &s->children)
		put_child(o, list_entry(n, struct child, node));
	json_arr_end(o);
	ask_end(a);
}

void admin_drain(struct ask *a)
{
	ask_audit(a, 0, "node");
	json_kv_bool(ask_reply(a), "ok", true);
	ask_hold(a);
	struct sup *s = a->sup;
	ask_end(a);
	sup_drain(s);
	ask_release(a);
}
