/* SPDX-License-Identifier: Apache-2.0
 * Reading what a run needs: its agent, its lane's transcript, and of a resumed run what
 * the journal says. */
#ifndef TB_LOAD_H
#define TB_LOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "common/slice.h"

struct run;

struct resume_row { /* a row of tool_executions */
	int step, call, attempt;
	struct slice call_id, tool, state, input;
	struct slice approval, denial; /* what a person said; n 0: not asked */
	/* Its result, to the loop guard; `blocked`: it was not made, for it was one of a
	 * circle. */
	bool has_result, blocked;
	uint64_t result;
};
struct resume {
	struct resume_row *rows;
	int count;
	bool bare; /* the transcript could not be read: the run can only end */
};

/* Reads in one transaction what is not cached, and when r->unread what waiting runs the
 * run took, which the supervisor is told. r->loading until it is there, then the run is
 * woken (r->failure is set when it cannot be had). */
void load_run(struct run *r);
/* Its permit alone; the same. */
void load_permit(struct run *r);
/* Whether anything but the permit is missing. */
int load_is_needed(const struct run *r);
/* Keys of model providers and what these refused lately; the same. Needed before a model
 * is asked when what is known is older than a second, or has changed. */
void load_target(struct run *r);
bool load_target_is_needed(const struct run *r);

#endif
