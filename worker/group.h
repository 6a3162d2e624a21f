/* SPDX-License-Identifier: Apache-2.0
 * Groups of tool calls. The calls of a step run in order; a group is a stretch of pure
 * ones and the one after them that is not. Before a call that is not pure starts, its row
 * says `running` durably; its result is committed before the next such call starts. So k
 * calls with effects cost k + 1 commits, any number of pure ones 2. */
#ifndef TB_GROUP_H
#define TB_GROUP_H

#include <stdbool.h>

struct run;
struct run_call;

#define GROUP_EXCESS "too many tool calls in this turn: answer with what you have"
#define GROUP_SKIPPED "Skipped to process an incoming message."

/* The calls of the model's answer, judged: unknown tools, bad arguments and excess calls
 * get their refusal. */
void group_prepare(struct run *r);
/* Whether one of them was made so often, with the same result, that the run has to end.
 */
bool group_goes_in_circles(const struct run *r);
/* Parses and checks the arguments of one call; sets its refusal. */
void group_check(struct run *r, struct run_call *c);
/* Whether a call of a tool there is may be made: its refusal, or the version of the
 * policy that allows it. */
void group_permit(struct run *r, struct run_call *c);
/* Adds the rows of the next group, now running, to the commit being built (and, the first
 * time, those of the later calls, pending: `group_first`). */
void group_start(struct run *r);
void group_first(struct run *r);
/* Whether a person has to allow any of the calls. All that ask are asked for at once,
 * before any call of their answer starts. */
bool group_asks(const struct run *r);
/* Instead of group_first: all calls pending, none started. */
void group_hold(struct run *r);
/* The calls behind the group, none of which has started, get a result that says so, or
 * why a person denied them, and so do those of the client, wherever they stand: the batch
 * ends with this commit. */
void group_skip(struct run *r);
/* The group behind the one whose results are in the commit being built. */
void group_next(struct run *r);

#endif
