/* SPDX-License-Identifier: Apache-2.0
 * Pausing, for the commands of any scope. */
#ifndef TB_ADMIN_QUEUE_H
#define TB_ADMIN_QUEUE_H

#include "supervisor/lq.h"

struct ask;
struct control_answer;

/* "paused: run X failed (code)" of a lane that a failure paused. False: a person did. */
bool queue_pause_why(const struct lq_pause *p, char *out, size_t size);
/* on 1: pauses, 0: resumes; answers {"changed":bool}. */
void queue_set_pause(struct ask *a, const struct lq_pause *what, int on);
/* Ends the ask with what a control function said. */
void queue_fail(struct ask *a, const struct control_answer *answer);

#endif
