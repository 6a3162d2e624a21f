/* SPDX-License-Identifier: Apache-2.0
 * Incremental reader of a text/event-stream (WHATWG HTML, 9.2.6): bytes in, events out.
 */
#ifndef TB_HTTP_SSE_H
#define TB_HTTP_SSE_H

#include "common/err.h"
#include "common/slice.h"
#include "common/strbuf.h"

struct sse_event {
	struct slice event; /* "" when unnamed */
	struct slice data;
	struct slice id;
};
/* Return ERR_OK to go on; anything else stops the feed and is returned by it. */
typedef enum err sse_event_fn(void *arg, const struct sse_event *e);

struct sse_reader {
	struct strbuf line, data, event, id;
	size_t max_event_bytes;
	int after_cr; /* a CR ended the last line: a following LF belongs to it */
	int started;  /* the byte-order mark was looked for */
	sse_event_fn *fn;
	void *arg;
};

void sse_reader_init(struct sse_reader *r, size_t max_event_bytes, sse_event_fn *fn,
		     void *arg);
void sse_reader_fini(struct sse_reader *r);
/* ERR_TOO_LARGE when an event exceeds the limit. */
enum err sse_reader_feed(struct sse_reader *r, struct slice bytes);

#endif
