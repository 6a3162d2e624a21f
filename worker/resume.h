/* SPDX-License-Identifier: Apache-2.0
 * What the journal says of a run that ran before. */
#ifndef TB_RESUME_H
#define TB_RESUME_H

#include "common/slice.h"

struct run;
struct message;
struct resume_row;

/* The run's last answer in the transcript; NULL when it has none. Between a run's own
 * messages stand those of the waiting runs it took. */
const struct message *resume_answer(const struct run *r);
/* Whether there is something to answer: no answer yet, or taken messages behind the last
 * one, which made no calls. */
int resume_is_followed(const struct run *r);
/* The result of a row (JSON; n 0: none, or it is too old to matter) and its error's code.
 */
void resume_result(struct resume_row *row, struct slice output, struct slice error);
/* Tells the loop guard what the run did, and sets step_no, and the calls of that step as
 * their rows say: settled ones stay, pending ones start, running ones by their effect
 * class. Needs r->past. */
void resume_calls(struct run *r);

#endif
