/* SPDX-License-Identifier: Apache-2.0
 * A run: one accepted message worked off to its end.
 *
 * It is one state machine (run_steps.tbl). Completions of operations only store their
 * result and wake the run; the loop then drives it, so the stack is always loop ->
 * run_drive -> step. A run holds no database connection while its model thinks. When a
 * commit comes back stale, another runner owns the lane: the run ends here without a
 * trace (RUN_LOST). */
#ifndef TB_RUN_H
#define TB_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/loop.h"
#include "common/op.h"
#include "proto/wire.h"
#include "worker/agent.h"
#include "worker/budget.h"
#include "worker/asked.h"
#include "worker/asking.h"
#include "worker/commit.h"
#include "worker/compact.h"
#include "worker/context.h"
#include "worker/loop_guard.h"
#include "worker/llm/call.h"
#include "worker/permit.h"
#include "worker/session.h"
#include "worker/skills.h"
#include "worker/tools/tool.h"
#include "worker/usage.h"
#include "worker/worker.h"

enum step_verdict { STEP_MORE, STEP_WAIT, STEP_DONE };

enum run_step {
#define STEP(NAME, fn, text) STEP_##NAME,
#include "worker/run_steps.tbl"
#undef STEP
	STEP__COUNT
};

/* Limits of one run; behaviour that users see, so in one place. */
#define RUN_ARENA_BYTES (32u << 20)
#define RUN_BUDGET_US (30 * 60 * 1000000ll)
#define RUN_STEPS_MOST 100
/* Of the lane's messages behind the start of its context: what the largest window holds.
 * Beyond that the oldest are neither read nor kept. */
#define RUN_CONTEXT_BYTES (4u << 20)

/* What a person said of a call. */
enum call_answer { NOT_ASKED, ANSWER_APPROVED, ANSWER_DENIED, ANSWER_EXPIRED };

enum job_left { JOB_LEFT_UNKNOWN, JOB_LEFT_SOME, JOB_LEFT_NOTHING };

/* One tool call of the current step. */
struct run_call {
	struct slice id, name;
	struct slice input; /* JSON */
	const struct tool_spec *tool;
	/* It is made by who sent the message: it has no row, and its result comes with
	 * the session's next message, unless it settles before. */
	bool client;
	struct json_doc *args;
	const char *refusal;     /* not NULL: it is not executed; the model reads this */
	enum err refused;        /* the class of the refusal */
	int policy_version;      /* of the agent's policy, by which it was judged */
	struct tool_facts facts; /* once it is done */
	bool may_ask; /* it is judged when somebody can be asked: with its answer's commit
		       */
	bool asks;    /* a person has to allow it ... */
	const char *ask_rule;    /* ... because of this */
	struct uuid approval;    /* the question, while it is being made */
	enum call_answer answer; /* to it, when the run was resumed */
	struct slice denial;     /* what the person said to the model; n 0: nothing */
	struct slice said;       /* what the model reads instead of the output */
	int attempt;
	bool begun;       /* its row said `running` when the run was resumed */
	uint64_t hash;    /* to the loop guard */
	unsigned repeats; /* how often this run made it with this result */
	bool blocked;     /* it is one of a circle: see loop_guard.h */
	bool settled;     /* its result stands in the transcript */
	bool settling;    /* its result is in the commit under way */
	bool unknown; /* it was running when its worker died, and must not be repeated */
	bool failed;
	struct slice output; /* JSON, once it is done */
	struct slice image;  /* a block that stands beside it; n 0: none */
	int64_t began_us;
	/* While it is made: */
	struct run *run;
	struct tool_call work;
	struct op op;
	enum err op_result;
};

struct run {
	struct worker *worker;
	struct uuid id;
	int64_t tenant, fence, commit_no, input_seq;
	int64_t head_seq; /* of the lane, as this run last knew it */
	struct uuid session_id, agent_id;
	int agent_revision;
	unsigned job; /* enum run_mode of what it is to do instead of a turn; 0: a turn */
	bool acted;   /* its act is in its commit, or done */
	enum job_left job_left; /* of a deletion: what there is still to delete */
	char refusal[320];      /* of a job's commit, by the database */
	bool resumed;
	unsigned attempt, max_attempts;
	int64_t started_us;
	int64_t active_us,
		began_us; /* of its budget: used before, and since (monotonic) */
	char cap[LIMIT_CAP_TEXT + 1];
	/* The versions its claim found, as a permit's. "": unknown. */
	char policy_claimed[LIMIT_POLICY_VERSIONS + 1];
	struct tool_env env;

	enum run_step step;
	struct loop_task task;
	struct list speaking; /* in worker.speaking while text is unsent */
	struct arena *arena;  /* of the current step; emptied before each question */
	struct agent *agent;
	struct session *session;
	struct permit *permit, *started_with; /* what it may use: now, and at its start */
	/* A commit told of other versions: no call starts before it is read again. */
	bool permit_is_old;
	bool judges_again; /* so its calls are judged anew then */

	/* the one operation under way */
	struct op op;
	enum err op_result;
	bool loading;
	struct resume *past; /* of a resumed run: what the journal says */
	/* The database knows of this run what this worker does not: it is read before
	 * anything else. */
	bool unread;
	struct loop_timer *budget, *pause;

	/* the model */
	struct asking asking;
	struct llm_target target;
	struct provider_key *key; /* that it holds; NULL: the node's own, or none */
	struct uuid key_id;       /* nil likewise */
	bool asks_target;         /* the load under way reads keys and cooldowns */
	struct slice model;
	struct llm_call *llm;
	struct llm_answer answer;
	int64_t asked_us; /* CLOCK_MONOTONIC, of its last question */
	struct run_usage usage;
	struct run_budget money;
	size_t shown; /* bytes of the answer's text sent as deltas */
	int retries;

	struct context context; /* of the question that is asked */
	struct asked asked;     /* likewise; what is kept of it */

	/* its skills */
	uint32_t skill_sources;    /* where there may be some, when it was claimed */
	struct skill_list *skills; /* its session's, as it began with them; NULL: none */
	struct strbuf skills_text; /* for the system part */
	bool skills_settled;       /* whether there are any has been looked at */
	bool skills_committing;    /* the pin is in the commit under way */
	struct skills_search *skills_search; /* under way */

	/* its compaction */
	struct compact *compact; /* under way */
	int compact_rest; /* step before which none is tried again, after a failure */
	bool overflowed;  /* the provider refused the question, and it was compacted */
	struct compact_outcome compacted;

	/* the tools */
	int step_no; /* of the current answer, from 1 */
	struct run_call *calls;
	size_t call_count, call_at;
	size_t group_end;     /* one past the group that runs */
	size_t printed_shown; /* bytes of programs' output told as pieces ... */
	unsigned printed_seq; /* ... of the stream's part before that event */
	bool asks_workspace;  /* the supervisor was, and has not answered */
	char workspace_error[256];
	int calls_made;
	struct loop_guard loops;
	bool answer_stored; /* the message that made the calls */
	bool results_taken; /* those that its message brings: client_results.h */

	/* the journal */
	struct commit commit;
	bool committing;
	enum commit_outcome outcome;
	unsigned ev_seq, ev_base; /* last durable event; before the commit under way */
	int64_t tokens_in, tokens_out, ended_us;
	int64_t retry_at_us;   /* by the database's clock; 0: its answer was lost */
	int64_t asks_until_us; /* likewise; 0 too: nobody is asked any more */
	bool goes_on;          /* its lane, though it failed */

	/* what the supervisor asked for meanwhile */
	unsigned take;    /* enum take bits: waiting messages to consume */
	bool yielding;    /* let go at the next boundary */
	bool interrupted; /* its cancel was a newer message's */
	bool suspect;     /* it took workers down, and did not get on since */

	bool lost;
	bool dead;        /* no attempts are left */
	enum err failure; /* why it goes to FAIL */
	char failure_text[320];
	enum run_result result;
};

/* RUN_START. */
void run_begin(struct worker *w, const struct wire_run_start *m);
/* NULL when this worker does not hold it under that fence. */
struct run *run_find(struct worker *w, struct uuid run, int64_t fence);
/* RUN_STEER, RUN_CANCEL, RUN_YIELD: at any time, any number of times; one that comes
 * while the run's last commit is under way is too late and changes nothing. */
void run_steer(struct run *r);
void run_cancel(struct run *r, enum cancel_reason why);
void run_yield(struct run *r);
/* WORKSPACE: where its tools work, or why they cannot. */
void run_workspace(struct run *r, uint64_t handle, struct slice error);
void run_wake(struct run *r);
/* True: the supervisor was asked for it, and the run is woken by its answer. Else there
 * is an env.workspace, or a workspace_error. */
bool run_waits_for_workspace(struct run *r);
/* The next step is FAIL with that error; fmt NULL: the error's own sentence. */
PRINTF_LIKE(3, 4)
enum step_verdict run_fail(struct run *r, enum err e, const char *fmt, ...);
/* Likewise of a job whose commit the database refused, in its words. */
enum step_verdict job_refused(struct run *r);
/* Ends the processes that its tools left in the background. True: nothing of them is
 * left; false: the run is woken then. */
bool run_ends_processes(struct run *r);
/* Sets failure_text alone. */
PRINTF_LIKE(2, 3) void run_say(struct run *r, const char *fmt, ...);
/* The word for its failure. */
const char *run_code(const struct run *r);
/* Of its time budget, used so far. */
int run_active_ms(const struct run *r);
/* Whether any of its calls is being made. */
bool run_calls_tools(const struct run *r);
/* For op_init: stores the result, wakes the run. */
void run_op_done(struct op *op, enum err result, void *run);
/* The link's pressure changed: all model streams stop or go on. */
void runs_pause(struct worker *w, int paused);

#define STEP(NAME, fn, text) enum step_verdict fn(struct run *r);
#include "worker/run_steps.tbl"
#undef STEP

#endif
