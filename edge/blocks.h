/* SPDX-License-Identifier: Apache-2.0
 * What a message may hold: texts and images (docs/transcript.md). Pure. */
#ifndef TB_EDGE_BLOCKS_H
#define TB_EDGE_BLOCKS_H

#include <stdbool.h>

#include "common/json.h"

#define BLOCKS_MOST 64u

struct blocks_fault {
	char member[48];
	char message[160]; /* names the member */
};

/* A text, or a list of blocks, as the JSON list of blocks that is stored. False: fault is
 * set. */
bool blocks_read(json_t message, struct strbuf *out, struct blocks_fault *fault);

/* Appends one block. NULL, or what is wrong: "must be ...". */
const char *blocks_put_image(struct json_out *o, struct slice media_type,
			     struct slice base64);
const char *blocks_put_link(struct json_out *o, struct slice url);
void blocks_put_text(struct json_out *o, struct slice text);

#endif
