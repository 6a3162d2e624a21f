/* SPDX-License-Identifier: Apache-2.0
 * FAIL and ENDING. */
#include "common/die.h"
#include "common/log.h"
#include "worker/commit.h"
#include "worker/compact.h"
#include "worker/emit.h"
#include "worker/resume.h"
#include "worker/run.h"

static enum run_result result_of(const struct run *r)
{
	if (r->dead)
		return RESULT_DEAD;
	if (r->failure == ERR_BUDGET)
		return RESULT_TIMED_OUT;
	return r->failure == ERR_CANCELLED ? RESULT_CANCELLED : RESULT_FAILED;
}

/* A call always gets its result, also when the run ends before it ran. */
static void settle_open_calls(struct run *r)
{
	for (size_t i = 0; i < r->call_count; i++) {
		struct run_call *c = &r->calls[i];
		if (c->settled)
			continue;
		if (c->client) {
			commit_void(r, i, "cancelled",
				    r->failure == ERR_CANCELLED
					    ? "cancelled"
					    : "the run ended before this call was made");
			continue;
		}
		if (c->unknown) {
			commit_void(r, i, "unknown",
				    "outcome unknown: the worker stopped while this ran");
			continue;
		}
		if (!c->output.p && r->failure == ERR_CANCELLED) {
			commit_void(r, i, "cancelled", "cancelled");
			continue;
		}
		if (!c->output.p || r->outcome == COMMIT_REFUSED) {
			c->output =
				c->output.p
					? SLICE("{\"error\":\"the result could not be "
						"stored\"}")
					: SLICE("{\"error\":\"the run ended before "
						"this call was made\"}");
			c->failed = true;
		}
		commit_call(r, i, c->failed ? "error" : "completed");
	}
}

enum step_verdict step_fail(struct run *r)
{
	if (op_is_active(&r->op) || run_calls_tools(r) || r->committing || r->loading)
		return STEP_WAIT;
	if (r->past && !r->calls)
		resume_calls(r);
	if (!r->answer_stored) /* then nobody asked for the calls */
		r->call_count = 0;
	usage_take(r);
	compact_account(r);
	commit_begin(r);
	settle_open_calls(r);
	commit_end(r, result_of(r));
	commit_submit(r);
	r->step = STEP_ENDING;
	log_info("run-failed", "code=%s message=\"%s\"", err_code(r->failure),
		 r->failure_text);
	return STEP_MORE;
}

/* What it started ends while its last commit is under way, and before the lane's next run
 * may begin. */
enum step_verdict step_ending(struct run *r)
{
	if (!run_ends_processes(r) || r->committing)
		return STEP_WAIT;
	if (r->outcome == COMMIT_REFUSED && r->failure)
		fatal("the end of a run cannot be stored: its worker starts anew");
	if (r->outcome == COMMIT_REFUSED && r->job)
		return job_refused(r);
	if (r->outcome == COMMIT_REFUSED) {
		r->call_count = 0;
		return run_fail(r, ERR_INTERNAL, "the answer could not be stored");
	}
	emit_done(r);
	return STEP_DONE;
}

/* Likewise; its answers are in the journal, too, when it starts again. */
enum step_verdict step_asked(struct run *r)
{
	if (!run_ends_processes(r) || r->committing)
		return STEP_WAIT;
	if (r->outcome == COMMIT_REFUSED)
		return run_fail(r, ERR_INTERNAL, "what it asks could not be stored");
	emit_asks(r, r->asks_until_us);
	return STEP_DONE;
}

/* The lane's next start of this run finds its journal complete. */
enum step_verdict step_postponed(struct run *r)
{
	if (!run_ends_processes(r) || r->committing)
		return STEP_WAIT;
	if (r->outcome == COMMIT_REFUSED)
		return run_fail(r, ERR_INTERNAL, "another attempt could not be stored");
	emit_retry(r, r->retry_at_us);
	return STEP_DONE;
}
