/* SPDX-License-Identifier: Apache-2.0
 * The node as a whole: its state, its children, its drain. */
#include <unistd.h>

#include "common/log.h"
#include "common/loop.h"
#include "supervisor/admin_ask.h"
#include "supervisor/admin_commands.h"
#include "supervisor/admin_rates.h"
#include "supervisor/admin_run.h"
#include "supervisor/admin_walk.h"
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
	json_kv_i64(o, "asking", q->asking);
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

/* What the runs that wait, wait for. A lane's first one has a reason of its own; the
 * others wait for it. */
struct reasons {
	const struct lq *q;
	uint32_t of[LQ_WHY_TURN + 1];
	struct walk walk;
};

static bool count_lane(void *ctx, const struct lq_lane_info *l)
{
	struct reasons *r = ctx;
	if (l->waiting) {
		enum lq_why first =
			l->head ? lq_why(r->q, l->head).why : LQ_WHY_LANE_BUSY;
		r->of[first]++;
		r->of[LQ_WHY_LANE_BUSY] += l->waiting - 1;
	}
	return walk_step(&r->walk);
}

static void put_waits(struct json_out *o, const struct sup *s)
{
	uint32_t p50_ms, p99_ms;
	struct reasons r = {.q = s->lq};
	waits_quantiles(&s->waits, &p50_ms, &p99_ms);
	lq_each_lane(s->lq, count_lane, &r);
	json_key(o, "waits");
	json_obj(o);
	json_kv_i64(o, "p50Ms", p50_ms);
	json_kv_i64(o, "p99Ms", p99_ms);
	json_key(o, "reasons");
	json_obj(o);
	for (int why = 0; why <= LQ_WHY_TURN; why++)
		if (r.of[why])
			json_kv_i64(o, why_word((enum lq_why)why), r.of[why]);
	json_obj_end(o);
	if (r.walk.cut)
		json_kv_bool(o, "more", true);
	json_obj_end(o);
}

static void put_sandbox(struct json_out *o, const struct sandbox_level *l)
{
	char line[256], missing[1024];
	sandbox_describe(l, line, sizeof line);
	sandbox_missing(l, missing, sizeof missing);
	json_key(o, "sandbox");
	json_obj(o);
	json_kv_cstr(o, "level", sandbox_word(l));
	json_kv_cstr(o, "summary", line);
	json_kv_cstr(o, "missing", missing);
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
	if (s->sandbox_known)
		put_sandbox(o, &s->sandbox);
	put_queue(o, &q);
	json_kv_i64(o, "accepted", (int64_t)s->runs_accepted);
	json_kv_i64(o, "ended", (int64_t)s->runs_ended);
	put_rates(o, a->world->rates);
	put_waits(o, s);
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
