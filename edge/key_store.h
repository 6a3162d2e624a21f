/* SPDX-License-Identifier: Apache-2.0
 * The rows of provider keys, as an edge may see and write them: it reads everything but
 * what is sealed. Each sets c->asking and wakes the call. */
#ifndef TB_EDGE_KEY_STORE_H
#define TB_EDGE_KEY_STORE_H

#include "edge/change.h"
#include "edge/key_body.h"

struct key_row { /* to be written */
	struct uuid id;
	struct slice provider, base_url; /* base_url n 0: none */
	struct slice version;            /* n 0: none */
	bool bearer;
	size_t sealed_n; /* 0: the secret stays, and what stands beside it */
	uint8_t sealed[SEAL_MOST], master[SEAL_ID];
	char hint[8];
};

struct key_outcome {
	struct change change; /* expect is asked for */
	bool taken, full;     /* the label is another key's; the tenant has too many */
	struct slice json;    /* the key as it is now, an object; SLICE_NONE: gone */
};

/* An array; id nil: all of the provider. */
void key_store_read(struct call *c, struct slice provider, struct uuid id,
		    struct slice *json);
void key_store_add(struct call *c, const struct key_row *row, const struct key_body *b,
		   struct key_outcome *out);
void key_store_change(struct call *c, const struct key_row *row, const struct key_body *b,
		      struct key_outcome *out);
void key_store_remove(struct call *c, struct slice provider, struct uuid id,
		      struct key_outcome *out);

#endif
