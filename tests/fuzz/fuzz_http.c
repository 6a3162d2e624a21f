/* SPDX-License-Identifier: Apache-2.0
 * The request path under arbitrary bytes: head scan, head parser, chunked body, routes
 * and query. The first byte says in which pieces the rest arrives; the outcome must be
 * that of one piece. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/die.h"
#include "edge/http_parse.h"
#include "edge/route.h"
#include "edge/sse.h"
#include "edge/token.h"

#define BODY_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
	int scan, status, chunked;
	size_t head_n, body_n;
	enum route route;
};

/* Reads the body in pieces of `step` bytes. */
static int read_chunked(struct http_parser *p, struct slice in, size_t step,
			struct strbuf *body)
{
	struct http_fault f;
	int status = 0;
	while (status == 0 && in.n > 0) {
		size_t n = step < in.n ? step : in.n, used = 0;
		char *piece = xmemdup(in.p, n);
		status = http_parse_chunked(p, slice_of(piece, n), &used, body, BODY_MAX,
					    &f);
		free(piece);
		check(used <= n && body->n <= BODY_MAX);
		in = slice_of(in.p + used, in.n - used);
	}
	return status;
}

static void use_head(const struct http_head *h, struct arena *a, struct outcome *out)
{
	struct route_match m;
	struct sse_place place;
	struct token t;
	route_find(h->method, h->path, a, &m);
	out->route = m.route;
	http_query(h, "timeoutMs", a);
	struct slice id = http_field(h, "last-event-id");
	if (id.p)
		sse_parse_id(id, &place);
	struct slice field = http_field(h, "authorization");
	if (field.p)
		token_parse(token_of_field(field), &t);
}

static struct outcome play(struct slice all, size_t step)
{
	struct outcome out = {0};
	struct http_scan s = {0};
	struct http_fault f = {0, NULL};
	for (size_t n = step < all.n ? step : all.n;;
	     n = n + step < all.n ? n + step : all.n) {
		out.scan = http_scan(&s, slice_of(all.p, n), &f);
		if (out.scan != HTTP_MORE || n == all.n)
			break;
	}
	out.status = f.status;
	if (out.scan != HTTP_WHOLE)
		return out;
	struct arena *a = arena_new(1 << 20);
	struct http_parser *p = http_parser_new();
	struct http_head h;
	char *block = xmemdup(all.p + s.start, s.at - s.start);
	AUTO(strbuf_fini) struct strbuf body = STRBUF_INIT;
	out.head_n = s.at;
	out.status = http_parse_head(p, slice_of(block, s.at - s.start), a, &h, &f);
	if (!out.status) {
		use_head(&h, a, &out);
		if (h.chunked)
			out.chunked = read_chunked(
				p, slice_of(all.p + s.at, all.n - s.at), step, &body);
	}
	out.body_n = body.n;
	free(block);
	http_parser_free(p);
	arena_free(a);
	return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	struct slice all = slice_of(data + 1, size - 1);
	struct outcome whole = play(all, all.n);
	struct outcome pieces = play(all, 1 + data[0] % 17);
	check(whole.scan == pieces.scan && whole.status == pieces.status);
	check(whole.head_n == pieces.head_n && whole.route == pieces.route);
	check(whole.chunked == pieces.chunked);
	check(whole.chunked != 1 || whole.body_n == pieces.body_n);
	sse_content_bytes(all);
	AUTO(strbuf_fini) struct strbuf cut = STRBUF_INIT;
	sse_cut_content(&cut, all, data[0]);
	return 0;
}
