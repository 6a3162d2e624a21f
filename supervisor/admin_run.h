/* SPDX-License-Identifier: Apache-2.0
 * A run as the admin socket shows it. */
#ifndef TB_ADMIN_RUN_H
#define TB_ADMIN_RUN_H

#include <stdint.h>

#include "common/json.h"
#include "supervisor/lq.h"

struct ask;

/* The members of a live run, without the object around them; position: its place in its
 * lane. */
void put_run(struct json_out *o, const struct lq_run *r, uint32_t position);
/* Those of them that its lane does not say. */
void put_run_in_lane(struct json_out *o, const struct lq_run *r, uint32_t position);

/* The word of run.why for it. */
const char *why_word(enum lq_why why);

/* The archived run of the arguments "run" and "tenant", read in Postgres. */
void archive_show(struct ask *a);
void archive_why(struct ask *a);

#endif
