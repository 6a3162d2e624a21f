/* SPDX-License-Identifier: Apache-2.0
 * dead.redrive: new runs with the input of dead ones, a few at a time. */
#include <stdio.h>

#include "common/alloc.h"
#include "common/strbuf.h"
#include "supervisor/admin_ask.h"
#include "supervisor/admin_commands.h"
#include "supervisor/admin_db.h"
#include "supervisor/admin_dead.h"
#include "supervisor/admin_names.h"
#include "supervisor/admin_queue.h"
#include "supervisor/control.h"
#include "supervisor/sup.h"

#define AT_ONCE 16

/* One dead run and what came of it. */
struct redrive {
	struct ask *ask;
	int64_t tenant;
	struct uuid run, as;
	bool asked, answered;
	char why[160]; /* it was skipped; "" if not */
};

struct redriving {
	unsigned count, asked, answered;
	bool asking;
	struct redrive each[];
};

static struct redriving *redriving_new(struct ask *a, unsigned count)
{
	struct redriving *w =
		xcalloc(1, sizeof *w + (size_t)count * sizeof(struct redrive));
	w->count = count;
	a->work = w;
	for (unsigned i = 0; i < count; i++)
		w->each[i].ask = a;
	return w;
}

/* ---- the answer */

static void put_redriven(struct json_out *o, const struct redriving *w)
{
	json_key(o, "redriven");
	json_arr(o);
	for (unsigned i = 0; i < w->count; i++) {
		const struct redrive *r = &w->each[i];
		if (!r->answered || *r->why)
			continue;
		json_obj(o);
		put_uuid(o, "run", r->run);
		put_uuid(o, "as", r->as);
		json_obj_end(o);
	}
	json_arr_end(o);
}

static void put_skipped(struct json_out *o, const struct redriving *w)
{
	json_key(o, "skipped");
	json_arr(o);
	for (unsigned i = 0; i < w->count; i++) {
		const struct redrive *r = &w->each[i];
		if (r->answered && !*r->why)
			continue;
		json_obj(o);
		put_uuid(o, "run", r->run);
		json_kv_cstr(o, "why",
			     r->answered ? r->why
			     : r->asked  ? "no answer in time; it may still happen"
					 : "not tried, the time was over; ask again");
		json_obj_end(o);
	}
	json_arr_end(o);
}

static void finish(struct ask *a)
{
	const struct redriving *w = a->work;
	struct json_out *o = ask_reply(a);
	put_redriven(o, w);
	put_skipped(o, w);
	ask_end(a);
}

/* ---- many */

static void ask_more(struct ask *a);

static void on_redriven(void *arg, const struct control_answer *answer)
{
	struct redrive *r = arg;
	struct ask *a = r->ask;
	struct redriving *w = a->work;
	r->answered = true;
	r->as = answer->run;
	if (answer->err)
		snprintf(r->why, sizeof r->why, "%s",
			 answer->message ? answer->message : err_text(answer->err));
	w->answered++;
	if (!ask_is_over(a))
		ask_more(a);
	ask_release(a);
}

/* An answer may come inside the call: the loop below goes on then, not one inside it. */
static void ask_more(struct ask *a)
{
	struct redriving *w = a->work;
	if (w->asking)
		return;
	w->asking = true;
	while (w->asked < w->count && w->asked - w->answered < AT_ONCE) {
		struct redrive *r = &w->each[w->asked++];
		r->asked = true;
		ask_hold(a);
		control_redrive(a->sup, r->tenant, r->run, SLICE_NONE, a->by, on_redriven,
				r);
	}
	w->asking = false;
	if (w->answered == w->count)
		finish(a);
}

static void on_dead(struct ask *a, const struct pg_result *r)
{
	struct redriving *w = redriving_new(a, (unsigned)pg_rows(r));
	for (unsigned i = 0; i < w->count; i++) {
		w->each[i].tenant = dead_tenant(r, (int)i);
		w->each[i].run = dead_run(r, (int)i);
	}
	a->on_limit = finish;
	ask_more(a);
}

static void redrive_all(struct ask *a)
{
	struct dead_filter f = {.reason = a->args[ARG_REASON].text,
				.open_only = true,
				.limit = ask_limit(a)};
	ask_audit(a, a->names.tenant, "dead runs:%u at most", f.limit);
	dead_read(a, &f, on_dead);
}

/* ---- one: what stands in its way is the answer */

static void on_one(void *arg, const struct control_answer *answer)
{
	struct redrive *r = arg;
	struct ask *a = r->ask;
	r->answered = true;
	r->as = answer->run;
	if (!ask_is_over(a) && answer->err)
		queue_fail(a, answer);
	else if (!ask_is_over(a))
		finish(a);
	ask_release(a);
}

static void redrive_one(struct ask *a)
{
	struct redriving *w = redriving_new(a, 1);
	w->each[0].tenant = a->names.tenant;
	w->each[0].run = a->args[ARG_RUN].uuid;
	ask_audit(a, a->names.tenant, "run:%.*s", SLICE_ARG(a->args[ARG_RUN].text));
	ask_hold(a);
	control_redrive(a->sup, a->names.tenant, w->each[0].run, SLICE_NONE, a->by,
			on_one, &w->each[0]);
}

void admin_dead_redrive(struct ask *a)
{
	bool all = a->args[ARG_ALL].flag;
	if (all == a->args[ARG_RUN].given)
		ask_fail(a, ERR_BAD_REQUEST,
			 "run: either a run or \"all\":true is needed");
	else if (!all && (a->args[ARG_REASON].given || a->args[ARG_LIMIT].given))
		ask_fail(a, ERR_BAD_REQUEST,
			 "%s: it chooses among all, and a run is given",
			 a->args[ARG_REASON].given ? "reason" : "limit");
	else if (all)
		names_find(a, names_given(a), redrive_all);
	else
		names_find_run(a, redrive_one);
}
