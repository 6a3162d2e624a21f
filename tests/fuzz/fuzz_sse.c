/* SPDX-License-Identifier: Apache-2.0
 * Event streams of arbitrary bytes: read in pieces of the size the first byte says, they
 * give the events and the outcome of one piece. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "common/alloc.h"
#include "common/die.h"
#include "common/http/sse.h"

#define EVENT_MOST 256

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum err on_event(void *arg, const struct sse_event *e)
{
	struct strbuf *seen = arg;
	check(e->data.n < EVENT_MOST && e->event.n <= EVENT_MOST);
	check(e->id.n <= EVENT_MOST);
	strbuf_printf(seen, "%zu %zu %zu ", e->event.n, e->data.n, e->id.n);
	strbuf_add_slice(seen, e->event);
	strbuf_add_slice(seen, e->data);
	strbuf_add_slice(seen, e->id);
	return e->event.n == 4 ? ERR_CANCELLED : ERR_OK; /* consumers stop too */
}

static enum err play(struct slice all, size_t step, struct strbuf *seen)
{
	struct sse_reader r;
	enum err e = ERR_OK;
	sse_reader_init(&r, EVENT_MOST, on_event, seen);
	while (!e && all.n) {
		size_t n = step < all.n ? step : all.n;
		char *piece = xmemdup(all.p, n); /* exact: no reading beyond */
		e = sse_reader_feed(&r, slice_of(piece, n));
		free(piece);
		all = slice_of(all.p + n, all.n - n);
		check(r.line.n <= EVENT_MOST && r.data.n <= EVENT_MOST);
	}
	sse_reader_fini(&r);
	return e;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(strbuf_fini) struct strbuf whole = STRBUF_INIT;
	AUTO(strbuf_fini) struct strbuf pieces = STRBUF_INIT;
	if (size < 2)
		return 0;
	struct slice all = slice_of(data + 1, size - 1);
	enum err a = play(all, all.n, &whole);
	enum err b = play(all, 1 + data[0] % 17, &pieces);
	check(a == b && slice_eq(strbuf_slice(&whole), strbuf_slice(&pieces)));
	return 0;
}
