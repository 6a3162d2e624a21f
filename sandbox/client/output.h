/* SPDX-License-Identifier: Apache-2.0
 * What a program printed: its beginning and its end, within a bound; the middle is
 * counted and forgotten. */
#ifndef TB_CLIENT_OUTPUT_H
#define TB_CLIENT_OUTPUT_H

#include "common/json.h"
#include "common/strbuf.h"

struct output {
	struct strbuf head, tail; /* tail: at most twice its bound, cut now and then */
	size_t most;              /* bytes kept of all */
	uint64_t total;
};

void output_init(struct output *o, size_t most);
void output_fini(struct output *o);
void output_add(struct output *o, struct slice bytes);
/* The text for the model: what was left out is said in its place; bytes that are no UTF-8
 * become U+FFFD, U+0000 vanishes. What is not text at all becomes "[binary N bytes]". */
void output_put(const struct output *o, struct json_out *out, const char *key);

#endif
