/* SPDX-License-Identifier: Apache-2.0
 * A run as clients see it. */
#ifndef TB_EDGE_RUN_JSON_H
#define TB_EDGE_RUN_JSON_H

#include "common/json.h"
#include "edge/store.h"

/* The members of a run's object; what is not known is left out. */
void run_put(struct json_out *o, struct uuid run, const struct run_row *row);
/* Its error and its result, if it has any. */
void run_put_outcome(struct json_out *o, const struct run_row *row);
/* One member; none for 0 and for a nil id. */
void run_put_time(struct json_out *o, const char *key, int64_t us);
void run_put_id(struct json_out *o, const char *key, struct uuid id);

#endif
