/* SPDX-License-Identifier: Apache-2.0
 * Every durable write of a run: commits of many runs go to Postgres as one call of
 * tb.journal (docs/journal.md).
 *
 * At most one batch is in flight; what is handed in meanwhile waits and goes together,
 * without a timer. A run has at most one commit under way. The outcome of a commit is
 * never guessed: after a lost connection the lane itself says whether it landed. A batch
 * that the database does not take is sent again commit by commit, so that one bad row
 * fails alone, and one whose lane another transaction holds waits alone. */
#ifndef TB_JOURNAL_H
#define TB_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/ident.h"
#include "common/list.h"
#include "common/slice.h"
#include "proto/wire.h"
#include "worker/tools/tool.h"

struct worker;
struct journal;

struct commit_message {
	int step;
	const char *role;
	struct slice content; /* JSON */
	int tokens;           /* 0: unknown */
};

struct commit_tool { /* inserted, or updated when it exists */
	int step, call;
	struct slice call_id, tool;
	const char *effect, *state;
	int attempt;
	int policy_version; /* of the agent's policy, that allowed it */
	struct tool_facts facts;
	struct slice input;  /* JSON */
	struct slice output; /* JSON, SLICE_NONE while it has none */
	struct slice error;  /* SLICE_NONE: none */
};

struct commit_event {
	unsigned seq;
	enum event_type type;
	int64_t at_us;
	struct slice stored; /* JSON object for the database */
	struct slice shown;  /* for those who listen now */
};

struct commit_ask { /* a call that waits for a person */
	int step, call;
	struct uuid id;
	struct slice tool, input; /* input: JSON */
	const char *rule;
	int64_t life_us;
	int active_ms; /* of its budget, used so far */
};

struct commit_usage {
	int step, call;
	struct slice provider, model;
	/* As the provider reports them: `in` with what its cache gave and took, `out`
	 * with what it thought. */
	int64_t in, out, cached, cache_write, reasoning;
	int64_t cost_micros; /* below 0: no price is known */
	int64_t duration_us;
};

/* What the run does to its session beyond appending messages: tb.act. */
struct commit_act {
	const char *what;
	struct slice data; /* JSON */
};

struct commit_end {
	enum run_result result;
	const char *code, *error; /* NULL: none */
	int steps, tool_calls;
	int64_t tokens_in, tokens_out;
};

/* The run waits in the queue for another attempt. */
struct commit_retry {
	int64_t pause_us; /* from the commit on: the database's clock measures it */
	const char *code, *error; /* why */
	int active_ms;            /* of its budget, used so far */
};

enum commit_outcome { COMMIT_LANDED, COMMIT_STALE, COMMIT_REFUSED };

/* What became of a commit. */
struct commit_result {
	enum commit_outcome outcome;
	const char *refusal; /* with COMMIT_REFUSED: the database's words, borrowed */
	int64_t head_seq;    /* of the lane, with COMMIT_LANDED, as the next two */
	int64_t at_us;       /* 0: unknown */
	/* The waiting runs it took: tb.journal's JSON, borrowed for the call; SLICE_NONE:
	 * none. */
	struct slice taken;
	/* It landed, but its answer was lost: what it took is not known. */
	bool unseen;
	/* Of the policy's layers, of a commit with tool rows: another text, another
	 * policy. Borrowed for the call; SLICE_NONE: not known. */
	struct slice versions;
	int64_t asks_until_us; /* the run waits for a person; 0: not, or not known */
	/* It ended a run that failed, which its agent's policy does nothing about: the
	 * lane goes on. False: unknown, or no such end. */
	bool goes_on;
};

/* Of the calls that one commit tells of: those of all tries of a question. */
#define COMMIT_USAGE_MOST 8

/* Filled by worker/commit; its memory stays until `done`. */
struct commit {
	struct list node;
	int64_t tenant, fence, commit_no;
	struct uuid run, session;
	const char *cap;
	struct commit_message *messages;
	struct commit_tool *tools;
	struct commit_event *events;
	struct commit_ask *asks; /* the run waits for them; then no end, retry or take */
	struct commit_act *acts; /* in order, behind the messages, before the end */
	size_t message_count, tool_count, event_count, ask_count, usage_count, act_count;
	size_t message_cap, tool_cap, event_cap, ask_cap, act_cap;
	struct commit_usage usage[COMMIT_USAGE_MOST];
	struct commit_end end;
	struct commit_retry retry;
	int has_end, has_retry; /* not both */
	unsigned take;  /* enum take bits: waiting messages to append after its own; not
			   with an end */
	int clear;      /* the run got on: its crashes count from 0 again */
	size_t bytes;   /* of the JSON in it */
	int alone;      /* it was in a refused batch */
	int unsure;     /* it may have landed */
	unsigned tries; /* alone, and in vain */
	int64_t due_us; /* the next, CLOCK_MONOTONIC */
	/* Stores and wakes. */
	void (*done)(void *arg, const struct commit_result *res);
	void *arg;
};

struct journal *journal_new(struct worker *w);
void journal_submit(struct journal *j, struct commit *c);

#endif
