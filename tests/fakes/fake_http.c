/* SPDX-License-Identifier: Apache-2.0
 * HTTP/1.1 request framing; a chunked body is moved together where it lies. */
#include "tests/fakes/fake_http.h"

#define TLS_HELLO 0x16

static const char *const headers[HTTP_HEADERS] = {
	[HTTP_AUTHORIZATION] = "authorization",
	[HTTP_API_KEY] = "x-api-key",
	[HTTP_GOOG_KEY] = "x-goog-api-key",
	[HTTP_VERSION] = "anthropic-version",
};

static struct slice span(const struct strbuf *in, struct http_span s)
{
	return s.n ? slice_of(in->p + s.at, s.n) : SLICE("");
}

struct request http_request(const struct http *h, const struct strbuf *in)
{
	struct request q = {.method = span(in, h->method),
			    .query = span(in, h->path),
			    .body = slice_of(in->p + h->head_n, h->body_n)};
	q.path = slice_cut(&q.query, '?');
	for (size_t i = 0; i < HTTP_HEADERS; i++)
		q.header[i] = span(in, h->header[i]);
	return q;
}

size_t http_missing(const struct http *h, const struct strbuf *in)
{
	if (!h->head_n)
		return 0;
	size_t want = h->chunked ? h->raw_at + h->chunk_left : h->head_n + h->length;
	return want > in->n ? want - in->n : 0;
}

static struct http_span span_of(const struct strbuf *in, struct slice s)
{
	return (struct http_span){s.p ? (size_t)(s.p - in->p) : 0, s.n};
}

static bool field(struct http *h, const struct strbuf *in, struct slice name,
		  struct slice value)
{
	long long n;
	if (slice_ieq(name, SLICE("content-length"))) {
		if (!slice_to_i64(value, &n) || n < 0)
			return false;
		h->length = (size_t)n;
	} else if (slice_ieq(name, SLICE("transfer-encoding"))) {
		h->chunked = slice_ieq(value, SLICE("chunked"));
		return h->chunked;
	} else if (slice_ieq(name, SLICE("expect"))) {
		h->expects = slice_ieq(value, SLICE("100-continue"));
	} else if (slice_ieq(name, SLICE("connection"))) {
		h->close = slice_ieq(value, SLICE("close"));
	}
	for (size_t i = 0; i < HTTP_HEADERS; i++)
		if (slice_ieq(name, slice_str(headers[i])))
			h->header[i] = span_of(in, value);
	return true;
}

static bool parse_head(struct http *h, const struct strbuf *in)
{
	struct slice rest = slice_of(in->p, h->head_n - 2);
	struct slice line = slice_trim(slice_cut(&rest, '\n'));
	h->method = span_of(in, slice_cut(&line, ' '));
	h->path = span_of(in, slice_cut(&line, ' '));
	if (!slice_has_prefix(line, SLICE("HTTP/1.")))
		return false;
	h->close = !slice_is(line, "HTTP/1.1");
	while (rest.n) {
		line = slice_cut(&rest, '\n');
		struct slice name = slice_cut(&line, ':');
		if (!line.p || !field(h, in, name, slice_trim(line)))
			return false;
	}
	return true;
}

static enum http_state find_head(struct http *h, const struct strbuf *in)
{
	const char *at = NULL;
	if (in->n && in->p[0] == TLS_HELLO)
		return HTTP_BAD;
	if (in->n > h->scanned)
		at = memmem(in->p + h->scanned, in->n - h->scanned, "\r\n\r\n", 4);
	if (!at) {
		h->scanned = in->n > 3 ? in->n - 3 : 0;
		return in->n > HTTP_HEAD_MAX ? HTTP_BAD : HTTP_MORE;
	}
	h->head_n = h->raw_at = (size_t)(at - in->p) + 4;
	return parse_head(h, in) ? HTTP_DONE : HTTP_BAD;
}

/* ---- chunked bodies */

/* The next line without its end, and raw_at behind it; false: not yet there. */
static bool take_line(struct http *h, const struct strbuf *in, struct slice *line)
{
	const char *start = in->p + h->raw_at;
	const char *end = memchr(start, '\n', in->n - h->raw_at);
	if (!end)
		return false;
	*line = slice_trim(slice_of(start, (size_t)(end - start)));
	h->raw_at += (size_t)(end - start) + 1;
	return true;
}

static bool parse_hex(struct slice digits, size_t *out)
{
	size_t v = 0;
	for (size_t i = 0; i < digits.n; i++) {
		char c = (char)(digits.p[i] | 0x20);
		if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f'))
			return false;
		v = v * 16 + (size_t)(c <= '9' ? c - '0' : c - 'a' + 10);
	}
	*out = v;
	return digits.n > 0 && digits.n <= 8;
}

static enum http_state take_size(struct http *h, const struct strbuf *in)
{
	struct slice line;
	if (!take_line(h, in, &line))
		return in->n - h->raw_at > 256 ? HTTP_BAD : HTTP_MORE;
	if (!parse_hex(slice_trim(slice_cut(&line, ';')), &h->chunk_left))
		return HTTP_BAD;
	if (h->chunk_left > HTTP_BODY_MAX - h->body_n)
		return HTTP_TOO_BIG;
	h->chunk = h->chunk_left ? CHUNK_DATA : CHUNK_TRAILER;
	return HTTP_DONE;
}

static enum http_state take_data(struct http *h, const struct strbuf *in)
{
	size_t n = in->n - h->raw_at;
	n = n < h->chunk_left ? n : h->chunk_left;
	memmove(in->p + h->head_n + h->body_n, in->p + h->raw_at, n);
	h->body_n += n;
	h->raw_at += n;
	h->chunk_left -= n;
	if (h->chunk_left)
		return HTTP_MORE;
	h->chunk = CHUNK_END;
	return HTTP_DONE;
}

static enum http_state take_chunks(struct http *h, const struct strbuf *in)
{
	struct slice line;
	enum http_state state = HTTP_DONE;
	while (state == HTTP_DONE) {
		if (h->chunk == CHUNK_SIZE) {
			state = take_size(h, in);
		} else if (h->chunk == CHUNK_DATA) {
			state = take_data(h, in);
		} else {
			if (!take_line(h, in, &line))
				return in->n - h->raw_at > HTTP_HEAD_MAX ? HTTP_BAD
									 : HTTP_MORE;
			if (h->chunk == CHUNK_TRAILER && line.n == 0)
				return HTTP_DONE;
			if (h->chunk == CHUNK_END && line.n)
				return HTTP_BAD;
			if (h->chunk == CHUNK_END)
				h->chunk = CHUNK_SIZE;
		}
	}
	return state;
}

enum http_state http_feed(struct http *h, struct strbuf *in)
{
	if (!h->head_n) {
		enum http_state state = find_head(h, in);
		if (state != HTTP_DONE)
			return state;
	}
	if (h->chunked)
		return take_chunks(h, in);
	if (h->length > HTTP_BODY_MAX)
		return HTTP_TOO_BIG;
	if (in->n - h->head_n < h->length)
		return HTTP_MORE;
	h->body_n = h->length;
	h->raw_at = h->head_n + h->length;
	return HTTP_DONE;
}
