/* SPDX-License-Identifier: Apache-2.0
 * Workers: listed, scaled, drained, born anew, and whose slots they own. */
#include "common/loop.h"
#include "supervisor/admin_ask.h"
#include "supervisor/admin_commands.h"
#include "supervisor/admin_names.h"
#include "supervisor/admin_walk.h"
#include "supervisor/children.h"
#include "supervisor/live.h"
#include "supervisor/sup.h"
#include "supervisor/workers.h"

/* ---- worker.list */

static void count_pins(const struct sup *s, unsigned pins[LQ_MAX_WORKERS])
{
	for (unsigned slot = 0; slot < LIMIT_SLOTS; slot++) {
		int worker = workers_pinned(s, slot);
		if (worker >= 0 && worker < LQ_MAX_WORKERS)
			pins[worker]++;
	}
}

static const char *const states[] = {"down", "starting", "ready", "draining"};

static void put_worker(struct json_out *o, const struct child *c, unsigned pins)
{
	const struct sup *s = c->sup;
	json_obj(o);
	json_kv_i64(o, "ordinal", c->ordinal);
	json_kv_cstr(o, "state", states[c->state]);
	json_kv_i64(o, "pid", c->pid);
	json_kv_i64(o, "launcherPid", c->launcher_pid);
	json_kv_i64(o, "runs", lq_worker_running(s->lq, c->ordinal));
	json_kv_i64(o, "slots", workers_slots(s, c->ordinal));
	json_kv_i64(o, "rssKib", c->rss_kib);
	json_kv_i64(o, "deaths", c->deaths);
	json_kv_i64(o, "worstTurnUs", c->worst_us);
	json_kv_i64(o, "uptimeMs",
		    c->pid > 0 ? (loop_now_us(s->loop) - c->born_us) / 1000 : 0);
	json_kv_i64(o, "pinned", pins);
	json_obj_end(o);
}

/* ---- of one tenant: where its own runs are */

static bool count_own(const struct sup *s, int64_t tenant, unsigned runs[LQ_MAX_WORKERS])
{
	struct walk walk = {0};
	void *value;
	for (size_t it = 0; map_next(s->lives, &it, NULL, &value);) {
		const struct live *l = value;
		struct lq_run *r = l->tenant == tenant ? lq_find(s->lq, l->run) : NULL;
		int worker = r ? lq_run_worker(r) : -1;
		if (worker >= 0 && worker < LQ_MAX_WORKERS)
			runs[worker]++;
		if (!walk_step(&walk))
			return false;
	}
	return true;
}

static void workers_of_tenant(struct ask *a)
{
	unsigned runs[LQ_MAX_WORKERS] = {0};
	bool whole = count_own(a->sup, a->names.tenant, runs);
	struct json_out *o = ask_reply(a);
	json_kv_i64(o, "tenant", a->names.tenant);
	json_key(o, "workers");
	json_arr(o);
	list_each (n, &a->sup->children) {
		const struct child *c = list_entry(n, struct child, node);
		if (c->role != ROLE_WORKER)
			continue;
		json_obj(o);
		json_kv_i64(o, "ordinal", c->ordinal);
		json_kv_cstr(o, "state", states[c->state]);
		json_kv_i64(o, "runs", runs[c->ordinal]);
		json_obj_end(o);
	}
	json_arr_end(o);
	if (!whole)
		json_kv_bool(o, "more", true);
	ask_end(a);
}

/* ---- of the node */

static void list_workers(struct ask *a)
{
	unsigned pins[LQ_MAX_WORKERS] = {0};
	struct json_out *o = ask_reply(a);
	count_pins(a->sup, pins);
	json_key(o, "workers");
	json_arr(o);
	list_each (n, &a->sup->children) {
		const struct child *c = list_entry(n, struct child, node);
		if (c->role == ROLE_WORKER)
			put_worker(o, c, pins[c->ordinal]);
	}
	json_arr_end(o);
	json_kv_i64(o, "target", workers_target(a->sup));
	ask_end(a);
}

void admin_worker_list(struct ask *a)
{
	if (a->args[ARG_TENANT].given)
		names_find(a, NAMES_TENANT, workers_of_tenant);
	else
		list_workers(a);
}

/* ---- worker.scale, drain, restart */

static void fail_worker(struct ask *a, enum err e)
{
	long long n = a->args[ARG_WORKER].number;
	if (e == ERR_NOT_FOUND)
		ask_fail(a, e, "there is no worker %lld", n);
	else if (e == ERR_CONFLICT)
		ask_fail(a, e,
			 "worker %lld is the last one: the node would serve nothing; "
			 "'drain' ends a node",
			 n);
	else
		ask_fail(a, e, "worker %lld: %s", n, err_text(e));
}

void admin_worker_scale(struct ask *a)
{
	int n = (int)a->args[ARG_N].number, from = workers_target(a->sup);
	ask_audit(a, 0, "workers:%d", n);
	enum err e = workers_scale(a->sup, n);
	if (e) {
		ask_fail(a, e, "n: %s", err_text(e));
		return;
	}
	struct json_out *o = ask_reply(a);
	json_kv_i64(o, "from", from);
	json_kv_i64(o, "to", n);
	ask_end(a);
}

void admin_worker_drain(struct ask *a)
{
	int worker = (int)a->args[ARG_WORKER].number;
	ask_audit(a, 0, "worker:%d", worker);
	enum err e = workers_drain(a->sup, worker);
	if (e) {
		fail_worker(a, e);
		return;
	}
	json_kv_i64(ask_reply(a), "worker", worker);
	ask_end(a);
}

void admin_worker_restart(struct ask *a)
{
	const struct arg *one = &a->args[ARG_WORKER];
	bool all = a->args[ARG_ALL].flag;
	if (all == one->given) {
		ask_fail(a, ERR_BAD_REQUEST,
			 "worker: either a worker's number or "
			 "\"all\":true is needed");
		return;
	}
	if (all)
		ask_audit(a, 0, "workers:all");
	else
		ask_audit(a, 0, "worker:%d", (int)one->number);
	enum err e = workers_restart(a->sup, all ? -1 : (int)one->number);
	if (e) {
		fail_worker(a, e);
		return;
	}
	struct json_out *o = ask_reply(a);
	if (all)
		json_kv_bool(o, "all", true);
	else
		json_kv_i64(o, "worker", one->number);
	ask_end(a);
}

/* ---- worker.pin */

static void pin_slot(struct ask *a, unsigned slot)
{
	int worker = a->args[ARG_WORKER].given ? (int)a->args[ARG_WORKER].number : -1;
	ask_audit(a, 0, "slot:%u", slot);
	enum err e = workers_pin(a->sup, slot, worker);
	if (e) {
		fail_worker(a, e);
		return;
	}
	struct json_out *o = ask_reply(a);
	json_kv_i64(o, "slot", slot);
	put_ordinal(o, "worker", worker);
	ask_end(a);
}

static void pin_session(struct ask *a)
{
	pin_slot(a, a->names.slot);
}

void admin_worker_pin(struct ask *a)
{
	const struct arg *worker = &a->args[ARG_WORKER], *slot = &a->args[ARG_SLOT];
	if (!worker->given && !worker->is_null)
		ask_fail(a, ERR_BAD_REQUEST,
			 "worker: a worker's number is needed, or "
			 "null to unpin");
	else if (slot->given == a->args[ARG_SESSION].given)
		ask_fail(a, ERR_BAD_REQUEST,
			 "slot: either a slot or a session is needed");
	else if (slot->given)
		pin_slot(a, (unsigned)slot->number);
	else
		names_find(a, NAMES_SESSION, pin_session);
}
