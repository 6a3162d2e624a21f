/* SPDX-License-Identifier: Apache-2.0
 * Lanes: listed, shown, paused. */
#include "supervisor/admin_ask.h"
#include "supervisor/admin_commands.h"
#include "supervisor/admin_names.h"
#include "supervisor/admin_queue.h"
#include "supervisor/admin_run.h"
#include "supervisor/admin_walk.h"
#include "supervisor/sup.h"

/* Why it is paused, unless a person did that. */
static void put_failure(struct json_out *o, const struct lq_lane_info *l,
			const struct lq *q)
{
	const struct lq_pause *p = lq_pause_find(q, LQ_LANE, l->tenant, l->session);
	char text[128];
	if (p && queue_pause_why(p, text, sizeof text)) {
		json_kv_cstr(o, "pausedWhy", text);
		put_uuid(o, "failedRun", p->failed_run);
		json_kv_cstr(o, "failedCode", p->failed_code);
	}
}

static void put_lane(struct json_out *o, const struct lq_lane_info *l, const struct lq *q)
{
	static const struct uuid none;
	json_kv_i64(o, "tenant", l->tenant);
	put_uuid(o, "session", l->session);
	put_uuid(o, "agent", l->agent);
	json_kv_i64(o, "slot", l->slot);
	put_ordinal(o, "worker", l->worker);
	put_uuid(o, "active", l->active ? lq_run_id(l->active) : none);
	put_uuid(o, "asking", l->asking ? lq_run_id(l->asking) : none);
	json_kv_i64(o, "waiting", l->waiting);
	json_kv_i64(o, "delayed", l->delayed);
	json_kv_i64(o, "folded", l->folded);
	json_kv_bool(o, "paused", l->paused);
	put_failure(o, l, q);
	put_uuid(o, "head", l->head ? lq_run_id(l->head) : none);
}

/* ---- lane.list */

struct lane_walk {
	struct ask *a;
	struct json_out *o;
	struct walk walk;
	unsigned left;
	int64_t total;
	bool filter;
};

static bool matches(const struct ask *a, const struct lq_lane_info *l)
{
	struct slice only = a->args[ARG_ONLY].text;
	if (a->names.has_tenant && l->tenant != a->names.tenant)
		return false;
	if (a->names.has_agent && !uuid_eq(l->agent, a->names.agent))
		return false;
	if (slice_is(only, "busy"))
		return l->active != NULL;
	if (slice_is(only, "waiting"))
		return l->waiting > 0;
	if (slice_is(only, "paused"))
		return l->paused;
	return true;
}

static bool on_lane(void *ctx, const struct lq_lane_info *l)
{
	struct lane_walk *w = ctx;
	bool match = matches(w->a, l);
	w->total += match;
	if (match && w->left) {
		json_obj(w->o);
		put_lane(w->o, l, w->a->sup->lq);
		json_obj_end(w->o);
		w->left--;
		return w->left || w->filter;
	}
	return walk_step(&w->walk);
}

static void list_lanes(struct ask *a)
{
	struct lane_walk w = {.a = a, .left = ask_limit(a), .o = ask_reply(a)};
	w.filter = a->names.has_tenant || a->args[ARG_ONLY].given;
	json_key(w.o, "lanes");
	json_arr(w.o);
	lq_each_lane(a->sup->lq, on_lane, &w);
	json_arr_end(w.o);
	if (!w.filter)
		json_kv_i64(w.o, "total", lq_stats(a->sup->lq).lanes);
	else if (!w.walk.cut)
		json_kv_i64(w.o, "total", w.total);
	if (w.walk.cut)
		json_kv_bool(w.o, "more", true);
	ask_end(a);
}

void admin_lane_list(struct ask *a)
{
	names_find(a, names_given(a), list_lanes);
}

/* ---- lane.show */

struct run_walk {
	struct json_out *o;
	uint32_t position;
	unsigned left;
};

static bool on_run(void *ctx, struct lq_run *r)
{
	struct run_walk *w = ctx;
	json_obj(w->o);
	put_run_in_lane(w->o, r, w->position++);
	json_obj_end(w->o);
	return --w->left > 0;
}

static void show_lane(struct ask *a)
{
	const struct names *n = &a->names;
	struct lq *q = a->sup->lq;
	struct lq_lane_info l;
	struct run_walk w = {.left = ask_limit(a), .o = ask_reply(a)};
	if (!lq_lane(q, n->tenant, n->session,
		     &l)) /* it has no runs, which is no error */
		l = (struct lq_lane_info){
			.tenant = n->tenant,
			.session = n->session,
			.agent = n->agent,
			.slot = n->slot,
			.paused = lq_is_paused(q, LQ_LANE, n->tenant, n->session),
			.worker = LQ_NO_WORKER};
	put_lane(w.o, &l, q);
	json_kv_str(w.o, "sessionKey", strbuf_slice(&n->key));
	json_key(w.o, "runs");
	json_arr(w.o);
	lq_each_run(q, n->tenant, n->session, on_run, &w);
	json_arr_end(w.o);
	ask_end(a);
}

void admin_lane_show(struct ask *a)
{
	names_find(a, NAMES_SESSION, show_lane);
}

/* ---- lane.pause, lane.resume */

static void set_pause(struct ask *a, int on)
{
	struct lq_pause what = {
		.scope = LQ_LANE, .tenant = a->names.tenant, .id = a->names.session};
	queue_set_pause(a, &what, on);
}

static void do_pause(struct ask *a)
{
	set_pause(a, 1);
}

static void do_resume(struct ask *a)
{
	set_pause(a, 0);
}

void admin_lane_pause(struct ask *a)
{
	names_find(a, NAMES_SESSION, do_pause);
}

void admin_lane_resume(struct ask *a)
{
	names_find(a, NAMES_SESSION, do_resume);
}
