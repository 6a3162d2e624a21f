/* SPDX-License-Identifier: Apache-2.0
 * A lane whose run failed, or ended unheard. What its agent's failure policy did was done
 * by the commit which ended the run, so it stands in the database alone. */
#ifndef TB_LANE_LOOK_H
#define TB_LANE_LOOK_H

#include <stdint.h>

#include "common/ident.h"

struct sup;

/* The lane starts nothing until it was looked at. */
void lane_hold(struct sup *s, int64_t tenant, struct uuid session);
/* Holds the lane and asks the database: then it is paused or not as that says, and those
 * of its waiting runs that have ended leave it. Never blocks; asked until it is answered.
 * Called before the queue hears that the run ended. */
void lane_look(struct sup *s, int64_t tenant, struct uuid session);
/* The lane is not paused in the database. */
void lane_release(struct sup *s, int64_t tenant, struct uuid session);

#endif
