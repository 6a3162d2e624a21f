/* SPDX-License-Identifier: Apache-2.0
 * What a program printed: its beginning and its end, within a bound; the middle is
 * counted and forgotten. */
#ifndef TB_CLIENT_OUTPUT_H
#define TB_CLIENT_OUTPUT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/crypto.h"
#include "common/json.h"
#include "common/strbuf.h"

struct output {
	struct strbuf head, tail; /* tail: at most twice its bound, cut now and then */
	size_t most;              /* bytes kept of all */
	uint64_t total;
	bool is_binary; /* a NUL stood at its beginning: then it is told by its sum */
	struct crypto_sha256_state sum;
};

void output_init(struct output *o, size_t most);
void output_fini(struct output *o);
void output_add(struct output *o, struct slice bytes);
/* The text for the model: what was left out is said in its place; bytes that are no UTF-8
 * become U+FFFD, U+0000 vanishes. What is not text at all becomes "[binary N bytes,
 * sha256 ...]". */
void output_put(const struct output *o, struct json_out *out, const char *key);
/* Likewise of what was printed from that offset on, `most` bytes at most: head and tail
 * of it. `open`: more will come, so that a character that is not whole yet waits. Returns
 * the offset of what comes next. */
uint64_t output_put_from(const struct output *o, struct json_out *out, const char *key,
			 uint64_t from, size_t most, bool open);
/* Whether all of it from there on is less than what is kept, or than `most`. */
bool output_is_cut(const struct output *o, uint64_t from, size_t most);

#endif
