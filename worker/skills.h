/* SPDX-License-Identifier: Apache-2.0
 * The skills of a run: those that its session pinned. Without a pin they are sought,
 * once, by a function of a jail, where the claim says that there may be some; what was
 * found goes with the run's next commit, and stays the session's until a reset or a
 * refresh.
 *
 * A run keeps what it began with. Fails: a run whose skills could not be sought goes on
 * without them, and its session tries again with the next one. */
#ifndef TB_SKILLS_H
#define TB_SKILLS_H

#include <stdbool.h>

#include "common/slice.h"

struct pg_result;
struct run;
struct session;
struct skills_search;

/* For the statement that reads the permit: the version of the pin that the session has;
 * -1: none. */
int skills_known(const struct session *s);
/* Its answer: the pin, if it is another. */
void skills_take(struct run *r, const struct pg_result *rows);
/* The run takes over what its session has pinned, if it has. */
void skills_settle(struct run *r);
/* They have to be sought before the question is asked: STEP_SKILLS. */
bool skills_are_due(struct run *r);
/* What the question's system part says of them; n 0: nothing, or the run may not read. */
struct slice skills_text(const struct run *r);
/* Adds a pin that is not stored yet to the run's commit; and that commit has landed. */
void skills_put(struct run *r);
void skills_landed(struct run *r);
void skills_forget(struct session *s);
void skills_free(struct run *r);

#endif
