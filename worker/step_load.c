/* SPDX-License-Identifier: Apache-2.0
 * LOAD and RESUME: what the run starts from. */
#include <stdio.h>
#include <string.h>

#include "worker/client_results.h"
#include "worker/group.h"
#include "worker/load.h"
#include "worker/resume.h"
#include "worker/run.h"

enum step_verdict step_load(struct run *r)
{
	if (r->loading || loop_timer_is_running(r->pause))
		return STEP_WAIT;
	if (r->job && r->job != MODE_COMPACT) { /* its act needs nothing of this */
		r->step = STEP_JOB;
		return STEP_MORE;
	}
	if (load_is_needed(r)) {
		load_run(r);
		return STEP_WAIT;
	}
	if (!permit_is_there(r)) {
		load_permit(r);
		return STEP_WAIT;
	}
	if (r->agent->problem)
		return run_fail(r, ERR_MODEL_CONFIG, "%s", r->agent->problem);
	skills_settle(r);
	if (asking_read(r))
		r->step = r->job ? STEP_JOB : r->resumed ? STEP_RESUME : STEP_ASK;
	return STEP_MORE;
}

/* ---- a run that ran before */

/* What was streamed of an answer that was never committed is void; who listens learns it
 * before the new one begins. */
static enum step_verdict ask_again(struct run *r)
{
	commit_begin(r);
	commit_reset_event(r);
	commit_take(r);
	commit_submit(r);
	r->step = STEP_ASK;
	return STEP_MORE;
}

/* A call that must not be repeated and whose outcome nobody knows ends here; the model
 * reads that it is unknown. */
static void settle_unknown(struct run *r)
{
	for (size_t i = 0; i < r->call_count; i++)
		if (r->calls[i].unknown)
			commit_void(r, i, "unknown",
				    "outcome unknown: the worker stopped while this ran; "
				    "check before repeating");
}

/* A message waits for it, and no call has begun: as when it comes with the answer. */
static bool is_overtaken(const struct run *r)
{
	for (size_t i = 0; i < r->call_count; i++)
		if (!r->calls[i].settled && r->calls[i].begun)
			return false;
	return r->take & TAKE_STEER;
}

enum step_verdict step_resume(struct run *r)
{
	size_t open = 0;
	resume_calls(r);
	for (size_t i = 0; i < r->call_count; i++)
		open += !r->calls[i].settled && !r->calls[i].client;
	if (!open && client_calls_are_open(r)) { /* of an answer that had others, too */
		r->call_at = r->group_end = r->call_count;
		r->step = STEP_SETTLED;
		return STEP_MORE;
	}
	if (!open && (r->call_count || resume_is_followed(r)))
		return ask_again(r);
	if (!open) { /* the answer stands, perhaps only the end is missing */
		r->step = STEP_MERGED;
		return STEP_MORE;
	}
	commit_begin(r);
	settle_unknown(r);
	if (is_overtaken(r)) {
		r->group_end = 0;
		group_skip(r);
		commit_take(r);
		r->step = STEP_SETTLED;
	} else {
		group_start(r);
		r->step = STEP_TOOLS;
	}
	commit_submit(r);
	return STEP_MORE;
}
