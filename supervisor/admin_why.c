/* SPDX-License-Identifier: Apache-2.0
 * run.why: in one sentence, what a run waits for. */
#include <stdio.h>

#include "common/attr.h"
#include "common/clock.h"
#include "supervisor/admin_ask.h"
#include "supervisor/admin_commands.h"
#include "supervisor/admin_db.h"
#include "supervisor/admin_names.h"
#include "supervisor/admin_queue.h"
#include "supervisor/admin_rates.h"
#include "supervisor/admin_run.h"
#include "supervisor/journal.h"
#include "supervisor/sql.h"
#include "supervisor/sup.h"

/* A rate below this says nothing about the next run. */
#define RATE_LEAST 0.01

static const struct {
	const char *word, *sentence;
	bool by_rate; /* it starts as others end */
} reasons[] = {
	[LQ_WHY_RUNS] = {"runs", "it runs, or its start is being committed", false},
	[LQ_WHY_COMMITTING] = {"committing", "its acceptance is being committed", false},
	[LQ_WHY_DELAYED] = {"delayed", "it was accepted for later and is not due yet",
			    false},
	[LQ_WHY_RETRY] = {"retry", "its last try failed; it waits for the next one",
			  false},
	[LQ_WHY_ASKING] = {"asking", "it waits for a person", false},
	[LQ_WHY_FOLDED] =
		{"folded",
		 "its session's queue was full: it enters the next run there as "
		 "part of one message",
		 false},
	[LQ_WHY_LANE_BUSY] = {"lane_busy", "another run of its session goes first",
			      false},
	[LQ_WHY_LANE_PAUSED] = {"lane_paused",
				"its session is paused: lane.resume ends that", false},
	[LQ_WHY_AGENT_PAUSED] = {"agent_paused",
				 "its agent is paused: queue.resume ends that", false},
	[LQ_WHY_TENANT_PAUSED] = {"tenant_paused",
				  "its tenant is paused: queue.resume ends that", false},
	[LQ_WHY_NODE_PAUSED] = {"node_paused",
				"the node is paused: queue.resume ends that", false},
	[LQ_WHY_HELD] = {"held",
			 "the node starts nothing now: it drains, or has no lease of the "
			 "database",
			 false},
	[LQ_WHY_QUARANTINE] = {"quarantine",
			       "workers died with it: it waits for a worker of its own",
			       false},
	[LQ_WHY_NO_WORKER] = {"no_worker", "no worker is ready for its session", false},
	[LQ_WHY_NODE_FULL] = {"node_full", "the node runs as many runs as it may", true},
	[LQ_WHY_WORKER_FULL] = {"worker_full",
				"its session's worker runs as many runs as it may", true},
	[LQ_WHY_TENANT_CAP] = {"tenant_cap", "its tenant runs as many runs as it may",
			       true},
	[LQ_WHY_AGENT_CAP] = {"agent_cap", "its agent runs as many runs as it may", true},
	[LQ_WHY_TURN] = {"turn", "it is ready, others go first", true},
};

const char *why_word(enum lq_why why)
{
	return reasons[why].word;
}

static void put_due(struct json_out *o, int64_t due_us)
{
	int64_t now_us = clock_real_us();
	if (due_us)
		json_kv_i64(o, "dueInMs", due_us > now_us ? (due_us - now_us) / 1000 : 0);
}

/* ---- a lane whose next row the database did not take */

static bool is_the_one(const struct lq_run *r)
{
	return lq_run_state(r) == LQ_S_CLAIMING || lq_run_state(r) == LQ_S_ENQUEUEING;
}

/* Of the run's acceptance or start, or the start that it waits for; false: that does not
 * wait for the database. */
static bool find_wait(const struct sup *s, const struct lq_run *r, enum lq_why why,
		      struct journal_wait *w)
{
	enum flow_kind kind =
		lq_run_state(r) == LQ_S_ENQUEUEING ? FLOW_ENQUEUE : FLOW_CLAIM;
	return (is_the_one(r) || why == LQ_WHY_LANE_BUSY) &&
	       journal_lane_waits(s->journal, kind, lq_run_tenant(r), lq_run_session(r),
				  w);
}

static void put_wait_sentence(struct json_out *o, const struct lq_run *r,
			      const struct journal_wait *w)
{
	char text[480];
	bool own = is_the_one(r);
	const char *what =
		lq_run_state(r) == LQ_S_ENQUEUEING ? "its acceptance" : "its start";
	snprintf(text, sizeof text, "%s%s %s: %s (%s), %u %s so far; %s",
		 own ? "" : "another run of its session goes first: ",
		 w->held ? "another transaction in the database holds its session and "
			   "stops"
			 : "the database refused",
		 own ? what : "the start of that one", w->message, w->sqlstate, w->tries,
		 w->tries == 1 ? "time" : "times",
		 w->pausing ? "its session is being paused" : "it is tried again");
	json_kv_cstr(o, "sentence", text);
}

static void put_wait(struct json_out *o, const struct journal_wait *w)
{
	json_kv_cstr(o, "sqlstate", w->sqlstate);
	json_kv_i64(o, "tries", w->tries);
	json_kv_i64(o, "triedAgainInMs", w->due_in_us / 1000);
}

/* ---- */

static void put_sentence(struct json_out *o, const struct lq *q, const struct lq_run *r,
			 enum lq_why why)
{
	const struct lq_pause *p =
		lq_pause_find(q, LQ_LANE, lq_run_tenant(r), lq_run_session(r));
	char because[128], text[256];
	if (why == LQ_WHY_LANE_PAUSED && p &&
	    queue_pause_why(p, because, sizeof because)) {
		snprintf(text, sizeof text,
			 "%s. lane.resume skips that run, run.retry of it lets it go "
			 "first again",
			 because);
		json_kv_cstr(o, "sentence", text);
		return;
	}
	json_kv_cstr(o, "sentence", reasons[why].sentence);
}

/* ---- a run that waits for a person: what it asks stands in the database */

static void on_asked(struct ask *a, const struct pg_result *r)
{
	const struct lq_run *run = names_run(a);
	AUTO(strbuf_fini) struct strbuf text = STRBUF_INIT;
	struct json_out *o = ask_reply(a);
	strbuf_add_str(&text, reasons[LQ_WHY_ASKING].sentence);
	for (int i = 0; i < pg_rows(r); i++)
		strbuf_printf(&text, "%s %.*s (since %.*s)", i ? "," : " to allow",
			      SLICE_ARG(pg_get_text(r, i, 0)),
			      SLICE_ARG(pg_get_text(r, i, 1)));
	strbuf_add_str(&text, ": approval.approve or approval.deny ends that");
	json_kv_str(o, "run", a->args[ARG_RUN].text);
	json_kv_cstr(o, "state", lq_state_word(LQ_S_ASKING));
	json_kv_cstr(o, "why", reasons[LQ_WHY_ASKING].word);
	json_kv_str(o, "sentence", strbuf_slice(&text));
	json_kv_i64(o, "position", 0);
	if (run)
		put_due(o, lq_run_due_us(run));
	json_key(o, "approvals");
	json_arr(o);
	for (int i = 0; i < pg_rows(r); i++) {
		char id[UUID_TEXT_LEN + 1];
		uuid_format(pg_get_uuid(r, i, 2), id);
		json_put_cstr(o, id);
	}
	json_arr_end(o);
	ask_end(a);
}

static void tell_why(struct ask *a)
{
	const struct lq_run *r = names_run(a);
	if (!r) {
		archive_why(a);
		return;
	}
	if (lq_run_state(r) == LQ_S_ASKING) {
		a->names.tenant = lq_run_tenant(r);
		admin_db_read_run(a, SQL_ADMIN_ASKED, on_asked);
		return;
	}
	struct lq_why_info info = lq_why(a->sup->lq, r);
	struct journal_wait wait;
	bool waits = find_wait(a->sup, r, info.why, &wait);
	double rate = rates_ended(a->world->rates);
	struct json_out *o = ask_reply(a);
	put_uuid(o, "run", lq_run_id(r));
	json_kv_cstr(o, "state", lq_state_word(lq_run_state(r)));
	json_kv_cstr(o, "why",
		     waits && is_the_one(r) ? (wait.held ? "locked" : "refused")
					    : reasons[info.why].word);
	if (waits)
		put_wait_sentence(o, r, &wait);
	else
		put_sentence(o, a->sup->lq, r, info.why);
	if (waits)
		put_wait(o, &wait);
	json_kv_i64(o, "position", info.position);
	if (info.other)
		put_uuid(o, "other", lq_run_id(info.other));
	json_kv_i64(o, "ahead", info.ahead);
	put_due(o, info.due_us);
	if (reasons[info.why].by_rate && rate >= RATE_LEAST)
		json_kv_i64(o, "estimateMs", (int64_t)((info.ahead + 1) / rate * 1000));
	ask_end(a);
}

void admin_run_why(struct ask *a)
{
	names_find_run(a, tell_why);
}
