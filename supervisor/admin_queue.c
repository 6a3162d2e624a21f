/* SPDX-License-Identifier: Apache-2.0
 * The queue as a whole: its counts, and what of it is paused. */
#include "supervisor/admin_queue.h"

#include <stdio.h>

#include "supervisor/admin_ask.h"
#include "supervisor/admin_commands.h"
#include "supervisor/admin_names.h"
#include "supervisor/admin_walk.h"
#include "supervisor/control.h"
#include "supervisor/journal.h"
#include "supervisor/sup.h"

/* ---- stats */

struct listing {
	struct json_out *o;
	unsigned left;
	bool more; /* than were asked for */
};

/* Whether one more is wanted. */
static bool has_room(struct listing *l)
{
	l->more = !l->left;
	l->left -= l->left > 0;
	return !l->more;
}

static bool put_tenant(void *ctx, const struct lq_tenant_info *t)
{
	struct listing *l = ctx;
	if (!has_room(l))
		return false;
	json_obj(l->o);
	json_kv_i64(l->o, "tenant", t->tenant);
	json_kv_i64(l->o, "running", t->running);
	json_kv_i64(l->o, "waiting", t->waiting);
	json_kv_i64(l->o, "maxRunning", t->max_running);
	json_kv_i64(l->o, "maxQueued", t->max_queued);
	json_kv_i64(l->o, "weight", t->weight);
	json_obj_end(l->o);
	return true;
}

static bool put_pause(void *ctx, const struct lq_pause *p)
{
	struct listing *l = ctx;
	if (!has_room(l))
		return false;
	json_obj(l->o);
	json_kv_cstr(l->o, "scope", lq_scope_word(p->scope));
	if (p->scope != LQ_NODE)
		json_kv_i64(l->o, "tenant", p->tenant);
	if (p->scope >= LQ_AGENT)
		put_uuid(l->o, "id", p->id);
	if (!uuid_is_nil(p->failed_run))
		put_uuid(l->o, "failedRun", p->failed_run);
	json_obj_end(l->o);
	return true;
}

/* ---- of one tenant: nothing of the others can be told from it */

struct share {
	struct json_out *o;
	int64_t tenant;
	unsigned left;
	struct lq_tenant_info own;
	uint32_t lanes, waiting, delayed, folded;
	struct walk walk;
};

static bool is_own_tenant(void *ctx, const struct lq_tenant_info *t)
{
	struct share *x = ctx;
	if (t->tenant != x->tenant)
		return walk_step(&x->walk);
	x->own = *t;
	return false;
}

static bool add_lane(void *ctx, const struct lq_lane_info *l)
{
	struct share *x = ctx;
	if (l->tenant == x->tenant) {
		x->lanes++;
		x->waiting += l->waiting;
		x->delayed += l->delayed;
		x->folded += l->folded;
	}
	return walk_step(&x->walk);
}

static bool put_own_pause(void *ctx, const struct lq_pause *p)
{
	struct share *x = ctx;
	struct listing l = {x->o, 1, false};
	if (p->scope == LQ_NODE || p->tenant != x->tenant)
		return walk_step(&x->walk);
	put_pause(&l, p);
	return --x->left > 0;
}

static void stats_of_tenant(struct ask *a)
{
	const struct lq *q = a->sup->lq;
	struct share x = {
		.o = ask_reply(a), .tenant = a->names.tenant, .left = ask_limit(a)};
	lq_each_tenant(q, is_own_tenant, &x);
	lq_each_lane(q, add_lane, &x);
	json_kv_i64(x.o, "tenant", x.tenant);
	json_kv_i64(x.o, "lanes", x.lanes);
	json_kv_i64(x.o, "running", x.own.running);
	json_kv_i64(x.o, "waiting", x.waiting);
	json_kv_i64(x.o, "delayed", x.delayed);
	json_kv_i64(x.o, "folded", x.folded);
	if (x.own.tenant) {
		json_kv_i64(x.o, "maxRunning", x.own.max_running);
		json_kv_i64(x.o, "maxQueued", x.own.max_queued);
		json_kv_i64(x.o, "weight", x.own.weight);
	}
	json_kv_bool(x.o, "paused", lq_stats(q).paused);
	json_key(x.o, "pauses");
	json_arr(x.o);
	lq_each_pause(q, put_own_pause, &x);
	json_arr_end(x.o);
	if (x.walk.cut) /* its time was over before all was seen */
		json_kv_bool(x.o, "more", true);
	ask_end(a);
}

/* ---- of the node */

static void stats_of_node(struct ask *a)
{
	struct sup *s = a->sup;
	struct lq_stats q = lq_stats(s->lq);
	struct json_out *o = ask_reply(a);
	struct listing tenants = {o, ask_limit(a), false},
		       pauses = {o, ask_limit(a), false};
	json_kv_i64(o, "lanes", q.lanes);
	json_kv_i64(o, "runs", q.runs);
	json_kv_i64(o, "waiting", q.waiting);
	json_kv_i64(o, "running", q.running);
	json_kv_i64(o, "delayed", q.delayed);
	json_kv_i64(o, "retrying", q.retrying);
	json_kv_i64(o, "asking", q.asking);
	json_kv_i64(o, "folded", q.folded);
	json_kv_i64(o, "claiming", q.claiming);
	json_kv_i64(o, "tenantCount", q.tenants);
	json_kv_bool(o, "paused", q.paused);
	json_kv_bool(o, "held", q.held);
	json_key(o, "tenants");
	json_arr(o);
	lq_each_tenant(s->lq, put_tenant, &tenants);
	json_arr_end(o);
	json_key(o, "pauses");
	json_arr(o);
	lq_each_pause(s->lq, put_pause, &pauses);
	json_arr_end(o);
	json_kv_i64(o, "pauseCount", q.pauses);
	if (tenants.more)
		json_kv_bool(o, "tenantsMore", true);
	if (pauses.more)
		json_kv_bool(o, "pausesMore", true);
	json_key(o, "journal");
	json_obj(o);
	json_kv_bool(o, "up", journal_is_up(s->journal));
	json_kv_i64(o, "pending", journal_pending(s->journal));
	json_kv_i64(o, "parkedLanes", journal_parked_lanes(s->journal));
	json_kv_i64(o, "lastBatchMs", pace_last_batch_us(&s->pace) / 1000);
	json_obj_end(o);
	ask_end(a);
}

void admin_queue_stats(struct ask *a)
{
	if (a->args[ARG_TENANT].given)
		names_find(a, NAMES_TENANT, stats_of_tenant);
	else
		stats_of_node(a);
}

/* ---- pauses */

bool queue_pause_why(const struct lq_pause *p, char *out, size_t size)
{
	char run[UUID_TEXT_LEN + 1];
	uuid_format(p->failed_run, run);
	snprintf(out, size, "paused: run %s failed (%s)", run, p->failed_code);
	return !uuid_is_nil(p->failed_run);
}

void queue_fail(struct ask *a, const struct control_answer *answer)
{
	ask_fail_with(a, answer->err, answer->message, answer->result ? "result" : NULL,
		      result_word(answer->result));
}

static void on_paused(void *arg, const struct control_answer *answer)
{
	struct ask *a = arg;
	if (!ask_is_over(a) && answer->err) {
		queue_fail(a, answer);
	} else if (!ask_is_over(a)) {
		json_kv_bool(ask_reply(a), "changed", answer->changed);
		ask_end(a);
	}
	ask_release(a);
}

static void audit_pause(struct ask *a, const struct lq_pause *what)
{
	char id[UUID_TEXT_LEN + 1];
	uuid_format(what->id, id);
	if (what->scope == LQ_NODE)
		ask_audit(a, 0, "node");
	else if (what->scope == LQ_TENANT)
		ask_audit(a, what->tenant, "tenant:%lld", (long long)what->tenant);
	else
		ask_audit(a, what->tenant, "%s:%s",
			  what->scope == LQ_AGENT ? "agent" : "session", id);
}

void queue_set_pause(struct ask *a, const struct lq_pause *what, int on)
{
	audit_pause(a, what);
	ask_hold(a);
	control_pause(a->sup, what, on, a->by, on_paused, a);
}

static enum lq_scope scope_of(const struct ask *a)
{
	for (int i = LQ_NODE; i <= LQ_AGENT; i++)
		if (slice_is(a->args[ARG_SCOPE].text, lq_scope_word((enum lq_scope)i)))
			return (enum lq_scope)i;
	return LQ_NODE;
}

static void pause_named(struct ask *a, int on)
{
	struct lq_pause what = {.scope = scope_of(a)};
	if (what.scope != LQ_NODE)
		what.tenant = a->names.tenant;
	if (what.scope == LQ_AGENT)
		what.id = a->names.agent;
	queue_set_pause(a, &what, on);
}

static void do_pause(struct ask *a)
{
	pause_named(a, 1);
}

static void do_resume(struct ask *a)
{
	pause_named(a, 0);
}

/* A scope takes exactly the names that it needs: a name too many is a misunderstanding
 * about how much will stop. */
static void check_scope(struct ask *a, void (*then)(struct ask *a))
{
	enum lq_scope scope = scope_of(a);
	bool tenant = a->args[ARG_TENANT].given, agent = a->args[ARG_AGENT].given;
	if (scope == LQ_NODE && (tenant || agent))
		ask_fail(a, ERR_BAD_REQUEST, "%s: scope node takes none",
			 tenant ? "tenant" : "agent");
	else if (scope == LQ_TENANT && agent)
		ask_fail(a, ERR_BAD_REQUEST, "agent: scope tenant takes none");
	else if (scope == LQ_TENANT && !tenant)
		ask_fail(a, ERR_BAD_REQUEST, "tenant: needed with scope tenant");
	else if (scope == LQ_AGENT && !agent)
		ask_fail(a, ERR_BAD_REQUEST, "agent: needed with scope agent");
	else if (scope == LQ_NODE)
		then(a);
	else
		names_find(a,
			   NAMES_CHECK | (scope == LQ_AGENT ? NAMES_AGENT : NAMES_TENANT),
			   then);
}

void admin_queue_pause(struct ask *a)
{
	check_scope(a, do_pause);
}

void admin_queue_resume(struct ask *a)
{
	check_scope(a, do_resume);
}
