/* SPDX-License-Identifier: Apache-2.0
 * Dead letters in Postgres. Each sets c->asking and wakes the call. */
#ifndef TB_EDGE_DEAD_STORE_H
#define TB_EDGE_DEAD_STORE_H

#include "edge/json_page.h"

/* reason: SLICE_NONE any. */
void dead_store_list(struct call *c, const struct page_filter *f, struct slice reason,
		     struct json_page *out);
/* A JSON object; SLICE_NONE: there is none. */
void dead_store_get(struct call *c, struct uuid run, struct slice *out);
/* "done" or "absent". */
void dead_store_discard(struct call *c, struct uuid run, struct slice *out);

#endif
