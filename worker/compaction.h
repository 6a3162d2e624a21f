/* SPDX-License-Identifier: Apache-2.0
 * A compaction under way: what compact.c, flush.c and step_compact.c share. */
#ifndef TB_COMPACTION_H
#define TB_COMPACTION_H

#include "common/arena.h"
#include "worker/compact.h"
#include "worker/journal.h"
#include "worker/llm/llm.h"
#include "worker/run.h"

/* What the model may say at most, whatever it was asked. */
#define COMPACT_TEXT_MOST (1u << 20)
#define COMPACT_TRIES_MOST 2
#define COMPACT_PAUSE_US 1000000
#define COMPACT_PARTS_MOST 60

enum compact_stage { STAGE_BEGIN, STAGE_FLUSH, STAGE_SUMMARY, STAGE_DONE };

struct compact {
	struct compact_wish wish;
	enum compact_stage stage;
	bool only_flush; /* it is not as full as that */
	struct arena *arena;
	struct llm_answer answer;
	int64_t asked_us; /* 0: no question is open */
	int tries;        /* of the question under way */

	int64_t before; /* tokens of the context */
	/* Messages up to `to` are replaced; those before `next` are in the summary. */
	int64_t to, next, asked_to;
	struct strbuf summary;
	int parts;

	struct flush *flush;
};

/* Asks the model something that is no step of the run; STEP_COMPACTING hears it. Or not
 * yet, or the run has failed: its budget decides. What the step returns. */
enum step_verdict compact_ask(struct run *r, struct llm_question *q);
/* Whether it is asked again, after a pause that runs then. */
bool compact_tries_again(struct run *r, enum err e);

/* ---- the summary */

/* Chooses what is replaced; false: nothing is worth it. */
bool summary_choose(struct run *r);
/* Asks for the summary of the next piece. */
enum step_verdict summary_ask(struct run *r);
/* The answer is there, and is no error. NULL: it is taken; else what is wrong with it. */
const char *summary_take(struct run *r);
/* All of it is summarised. */
bool summary_is_whole(const struct run *r);
/* Into the commit being built: summary, snapshot, event. */
void summary_commit(struct run *r);

/* ---- the memory flush */

/* Whether the session's memory is to be saved, and may be. */
bool flush_is_wanted(const struct run *r);
enum step_verdict flush_ask(struct run *r);
/* The answer is there (e: how it ended). True: it goes on with r->step, WAIT or MORE as
 * that says; false: it is over. */
bool flush_answered(struct run *r, enum err e);
/* A call has ended: the next one has begun (true), or all are done. */
bool flush_saved(struct run *r);
/* What came of it, into the commit being built. */
void flush_commit(struct run *r);
void flush_free(struct flush *f); /* NULL is fine */

#endif
