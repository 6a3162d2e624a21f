/* SPDX-License-Identifier: Apache-2.0
 * Deliveries of webhooks and what they are signed with, as an edge may see them. Each
 * sets c->asking and wakes the call. */
#ifndef TB_EDGE_WEBHOOK_STORE_H
#define TB_EDGE_WEBHOOK_STORE_H

#include "edge/json_page.h"
#include "proto/keys/key_seal.h"

struct delivery_filter {
	struct page_filter page;
	struct uuid run;    /* nil: any */
	struct slice state; /* SLICE_NONE: any */
};
void webhook_store_list(struct call *c, const struct delivery_filter *f,
			struct json_page *out);
/* A JSON object; SLICE_NONE: there is none. */
void webhook_store_get(struct call *c, struct uuid delivery, struct slice *out);
/* "done" or "absent". */
void webhook_store_again(struct call *c, struct uuid delivery, struct slice *out);
/* A JSON object; SLICE_NONE: there is none. */
void webhook_store_secret(struct call *c, struct slice *out);
struct webhook_secret_row {
	struct uuid id;
	size_t sealed_n;
	uint8_t sealed[SEAL_MOST], master[SEAL_ID];
};
/* "done", or "exists" where that is not to be replaced. */
void webhook_store_set_secret(struct call *c, const struct webhook_secret_row *row,
			      bool rotate, struct slice *out);

#endif
