/* SPDX-License-Identifier: Apache-2.0
 * run.why: in one sentence, what a run waits for. */
#include "common/attr.h"
#include "common/clock.h"
#include "supervisor/admin_ask.h"
#include "supervisor/admin_commands.h"
#include "supervisor/admin_names.h"
#include "supervisor/admin_rates.h"
#include "supervisor/admin_run.h"
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

static void tell_why(struct ask *a)
{
	const struct lq_run *r = names_run(a);
	if (!r) {
		archive_why(a);
		return;
	}
	struct lq_why_info info = lq_why(a->sup->lq, r);
	double rate = rates_ended(a->world->rates);
	struct json_out *o = ask_reply(a);
	put_uuid(o, "run", lq_run_id(r));
	json_kv_cstr(o, "state", lq_state_word(lq_run_state(r)));
	json_kv_cstr(o, "why", reasons[info.why].word);
	json_kv_cstr(o, "sentence", reasons[info.why].sentence);
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
