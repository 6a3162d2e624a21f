/* SPDX-License-Identifier: Apache-2.0
 * What the journal says of a run that ran before. */
#ifndef TB_RESUME_H
#define TB_RESUME_H

struct run;
struct message;

/* The run's last answer in the transcript; NULL when it has none. Between a run's own
 * messages stand those of the waiting runs it took. */
const struct message *resume_answer(const struct run *r);
/* Whether there is something to answer: no answer yet, or taken messages behind the last
 * one, which made no calls. */
int resume_is_followed(const struct run *r);
/* Sets step_no, and the calls of that step as their rows say: settled ones stay, pending
 * ones start, running ones by their effect class. Needs r->past. */
void resume_calls(struct run *r);

#endif
