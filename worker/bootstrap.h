/* SPDX-License-Identifier: Apache-2.0
 * What a question's system part holds of the agent's memory: the document MEMORY.md, as
 * data. Read with the run's permit, kept with the session until another version stands.
 */
#ifndef TB_BOOTSTRAP_H
#define TB_BOOTSTRAP_H

#include "common/slice.h"

struct pg_result;
struct run;
struct session;

/* The row of SQL_RUN_TERMS becomes the session's. */
void bootstrap_take(struct run *r, const struct pg_result *rows);
/* Of the session's; n 0: there is none, or the run may not read the memory. */
struct slice bootstrap_text(const struct run *r);
void bootstrap_free(struct session *s);

#endif
