/* SPDX-License-Identifier: Apache-2.0
 * The text of a run's events as server-sent events, and the arithmetic of resuming.
 *
 * A durable event has the id `<seq>`, a delta `<seq being built>.<bytes of the message
 * after it>`. Bodies are JSON objects that hold the event's own members; they are copied,
 * never parsed and rebuilt. */
#ifndef TB_EDGE_SSE_H
#define TB_EDGE_SSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/ident.h"
#include "common/slice.h"
#include "common/strbuf.h"

/* How far a client has seen a stream. */
struct sse_place {
	uint32_t seq;      /* the last durable event, 0: none */
	uint32_t part_seq; /* the event being built of which it has seen a part, or 0 */
	uint32_t part_offset; /* bytes of that event's content */
};

struct sse_item {
	struct uuid run;
	uint32_t seq;
	uint32_t offset; /* a delta: bytes of the message after it */
	bool durable;
	const char *type; /* "assistant" */
	int64_t at_us;
	struct slice body; /* a JSON object */
};

/* Appends one event. */
void sse_write(struct strbuf *out, const struct sse_item *item);
/* Reads an id back: "7" or "7.120". false: neither. */
bool sse_parse_id(struct slice text, struct sse_place *out);
/* The bytes of the body's member "content" once its escapes are read; 0 without one. */
size_t sse_content_bytes(struct slice body);
/* Appends the body with the first `skip` bytes of its content left out; never splits a
 * character (one that would be split stays whole). */
void sse_cut_content(struct strbuf *out, struct slice body, size_t skip);
/* Whether the body says that what was streamed of this message is void. */
bool sse_is_reset(struct slice body);

#endif
