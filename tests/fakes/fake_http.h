/* SPDX-License-Identifier: Apache-2.0
 * HTTP/1.1 request framing, in place: finds the head, then the body, in a buffer that
 * grows. */
#ifndef FAKE_HTTP_H
#define FAKE_HTTP_H

#include <stdbool.h>

#include "common/slice.h"
#include "common/strbuf.h"

#define HTTP_BODY_MAX ((size_t)32 << 20)
#define HTTP_HEAD_MAX ((size_t)64 << 10)

enum http_state { HTTP_MORE, HTTP_DONE, HTTP_BAD, HTTP_TOO_BIG };

struct http_span {
	size_t at, n;
};

/* Headers that are looked at. */
enum http_header {
	HTTP_AUTHORIZATION,
	HTTP_API_KEY,
	HTTP_GOOG_KEY,
	HTTP_VERSION,
	HTTP_HEADERS
};

/* What one whole request says. Borrowed. */
struct request {
	struct slice method, path, query, body; /* path: without the query */
	struct slice header[HTTP_HEADERS];
};

/* All zero before a request. Positions, no pointers: the buffer may move. */
struct http {
	size_t scanned;        /* no end of the head before */
	size_t head_n;         /* 0: the head is not whole */
	size_t length, body_n; /* of the body: announced, there */
	size_t raw_at;         /* first byte not yet taken */
	size_t chunk_left;
	enum { CHUNK_SIZE, CHUNK_DATA, CHUNK_END, CHUNK_TRAILER } chunk;
	bool chunked, expects, close;
	struct http_span method, path, header[HTTP_HEADERS];
};

/* Looks at what came. HTTP_DONE: http_body is whole and raw_at is behind the request. */
enum http_state http_feed(struct http *h, struct strbuf *in);
/* All of a request that is done. */
struct request http_request(const struct http *h, const struct strbuf *in);
/* Bytes the body still needs, as far as known. */
size_t http_missing(const struct http *h, const struct strbuf *in);

#endif
