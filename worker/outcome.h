/* SPDX-License-Identifier: Apache-2.0
 * What a decided commit does to its run: counters, cached transcript, taken messages,
 * what is told to the supervisor. */
#ifndef TB_OUTCOME_H
#define TB_OUTCOME_H

struct commit_result;

/* struct commit's `done`; arg is the run, which is woken. */
void outcome_take(void *run, const struct commit_result *res);

#endif
