/* SPDX-License-Identifier: Apache-2.0
 * Runs: listed, shown, cancelled, retried. */
#include "supervisor/admin_run.h"

#include <string.h>

#include "common/clock.h"
#include "supervisor/admin_ask.h"
#include "supervisor/admin_commands.h"
#include "supervisor/admin_names.h"
#include "supervisor/admin_queue.h"
#include "supervisor/admin_walk.h"
#include "supervisor/control.h"
#include "supervisor/live.h"
#include "supervisor/sup.h"

/* ---- one run */

void put_run_in_lane(struct json_out *o, const struct lq_run *r, uint32_t position)
{
	int64_t now_us = clock_real_us(), due_us = lq_run_due_us(r);
	put_uuid(o, "run", lq_run_id(r));
	json_kv_cstr(o, "state", lq_state_word(lq_run_state(r)));
	json_kv_cstr(o, "mode", mode_word(lq_run_mode(r)));
	json_kv_i64(o, "priority", lq_run_priority(r));
	json_kv_i64(o, "position", position);
	json_kv_i64(o, "ageMs", (now_us - lq_run_order_us(r)) / 1000);
	if (due_us)
		json_kv_i64(o, "dueInMs", due_us > now_us ? (due_us - now_us) / 1000 : 0);
	json_kv_i64(o, "crashes", lq_run_crashes(r));
	put_ordinal(o, "worker", lq_run_worker(r));
}

void put_run(struct json_out *o, const struct lq_run *r, uint32_t position)
{
	put_run_in_lane(o, r, position);
	json_kv_i64(o, "tenant", lq_run_tenant(r));
	put_uuid(o, "session", lq_run_session(r));
	put_uuid(o, "agent", lq_run_agent(r));
}

/* ---- run.list */

struct run_walk {
	struct ask *a;
	struct json_out *o;
	struct walk walk;
	unsigned left;
	uint32_t position;
	int64_t total;
	const char *state; /* NULL: any */
	bool goes_on;
};

/* Whether all that matches must be counted, as the queue keeps no such count. */
static bool has_filter(const struct run_walk *w)
{
	return w->state || w->a->names.has_tenant;
}

/* False: no further. */
static bool list_run(struct run_walk *w, const struct lq_run *r, uint32_t position)
{
	bool match = !w->state || !strcmp(lq_state_word(lq_run_state(r)), w->state);
	w->total += match;
	if (match && w->left) {
		json_obj(w->o);
		put_run(w->o, r, position);
		json_obj_end(w->o);
		w->left--;
		return w->left || has_filter(w);
	}
	return walk_step(&w->walk);
}

static bool on_run(void *ctx, struct lq_run *r)
{
	struct run_walk *w = ctx;
	w->goes_on = list_run(w, r, w->position++);
	return w->goes_on;
}

static bool on_lane(void *ctx, const struct lq_lane_info *l)
{
	struct run_walk *w = ctx;
	if (w->a->names.has_tenant && l->tenant != w->a->names.tenant)
		return walk_step(&w->walk);
	w->position = 0;
	w->goes_on = true;
	lq_each_run(w->a->sup->lq, l->tenant, l->session, on_run, w);
	return w->goes_on;
}

/* NULL: no state is called so. */
static const char *state_word(struct slice text)
{
	for (int i = LQ_S_ENQUEUEING; i <= LQ_S_ASKING; i++)
		if (slice_is(text, lq_state_word((enum lq_state)i)))
			return lq_state_word((enum lq_state)i);
	return NULL;
}

/* Whether only running runs are called so. */
static bool is_running_word(const char *word)
{
	for (int i = LQ_S_ENQUEUEING; i <= LQ_S_ASKING; i++)
		if (i != LQ_S_RUNNING && !strcmp(word, lq_state_word((enum lq_state)i)))
			return false;
	return !strcmp(word, lq_state_word(LQ_S_RUNNING));
}

/* What runs has a live record: found at once, however many lanes wait. */
static void walk_running(struct run_walk *w)
{
	const struct sup *s = w->a->sup;
	const struct names *n = &w->a->names;
	bool goes_on = true;
	void *live;
	for (size_t it = 0; goes_on && map_next(s->lives, &it, NULL, &live);) {
		struct lq_run *r = lq_find(s->lq, ((const struct live *)live)->run);
		if (r && (!n->has_tenant || lq_run_tenant(r) == n->tenant))
			goes_on = list_run(w, r, 0);
		else
			goes_on = walk_step(&w->walk);
	}
}

static void list_runs(struct ask *a)
{
	struct run_walk w = {.a = a, .left = ask_limit(a)};
	if (a->args[ARG_STATE].given)
		w.state = state_word(a->args[ARG_STATE].text);
	w.o = ask_reply(a);
	json_key(w.o, "runs");
	json_arr(w.o);
	if (w.state && is_running_word(w.state))
		walk_running(&w);
	else
		lq_each_lane(a->sup->lq, on_lane, &w);
	json_arr_end(w.o);
	if (!has_filter(&w))
		json_kv_i64(w.o, "total", lq_stats(a->sup->lq).runs);
	else if (!w.walk.cut)
		json_kv_i64(w.o, "total", w.total);
	if (w.walk.cut)
		json_kv_bool(w.o, "more", true);
	ask_end(a);
}

void admin_run_list(struct ask *a)
{
	const struct arg *state = &a->args[ARG_STATE];
	if (state->given && !state_word(state->text)) {
		struct strbuf words = STRBUF_INIT;
		for (int i = LQ_S_DELAYED; i <= LQ_S_ASKING; i++)
			strbuf_printf(&words, "%s%s", i > LQ_S_DELAYED ? ", " : "",
				      lq_state_word((enum lq_state)i));
		ask_fail(a, ERR_BAD_REQUEST, "state: one of %s is needed", words.p);
		strbuf_fini(&words);
		return;
	}
	names_find(a, names_given(a), list_runs);
}

/* ---- run.show */

static void show_run(struct ask *a)
{
	const struct lq_run *r = names_run(a);
	if (!r) {
		archive_show(a);
		return;
	}
	put_run(ask_reply(a), r, lq_run_position(r));
	ask_end(a);
}

void admin_run_show(struct ask *a)
{
	names_find_run(a, show_run);
}

/* ---- run.cancel */

static void on_cancelled(void *arg, const struct control_answer *answer)
{
	struct ask *a = arg;
	if (!ask_is_over(a) && answer->err) {
		queue_fail(a, answer);
	} else if (!ask_is_over(a)) {
		json_kv_cstr(ask_reply(a), "status",
			     answer->result ? result_word(answer->result) : "cancelling");
		ask_end(a);
	}
	ask_release(a);
}

static void audit_run(struct ask *a)
{
	ask_audit(a, a->names.tenant, "run:%.*s", SLICE_ARG(a->args[ARG_RUN].text));
}

static void cancel_run(struct ask *a)
{
	audit_run(a);
	ask_hold(a);
	control_cancel(a->sup, a->names.tenant, a->args[ARG_RUN].uuid, a->by,
		       on_cancelled, a);
}

void admin_run_cancel(struct ask *a)
{
	names_find_run(a, cancel_run);
}

/* ---- run.retry */

static void on_retried(void *arg, const struct control_answer *answer)
{
	struct ask *a = arg;
	if (!ask_is_over(a) && answer->err) {
		queue_fail(a, answer);
	} else if (!ask_is_over(a)) {
		struct json_out *o = ask_reply(a);
		put_uuid(o, "run", answer->run);
		if (!answer->changed)
			json_kv_bool(o, "repeated", true);
		ask_end(a);
	}
	ask_release(a);
}

static void retry_run(struct ask *a)
{
	audit_run(a);
	ask_hold(a);
	control_redrive(a->sup, a->names.tenant, a->args[ARG_RUN].uuid,
			a->args[ARG_IDEMPOTENCY].given ? a->args[ARG_IDEMPOTENCY].text
						       : SLICE_NONE,
			a->by, on_retried, a);
}

void admin_run_retry(struct ask *a)
{
	names_find_run(a, retry_run);
}
