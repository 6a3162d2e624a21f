/* SPDX-License-Identifier: Apache-2.0
 * Reading an HTTP/1.1 request: the head's end, the head, a chunked body (the home of
 * llhttp).
 *
 * The head is collected whole, at most HTTP_HEAD_MAX, and parsed once. llhttp refuses
 * most of what must be refused; what it lets pass (two spaces in the request line,
 * versions, unknown methods, Host, percent escapes) is checked here. Never: keeps a
 * request after it returned. Fails: with the HTTP status to answer; the connection is of
 * no more use then. */
#ifndef TB_EDGE_HTTP_PARSE_H
#define TB_EDGE_HTTP_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/slice.h"
#include "common/strbuf.h"

#define HTTP_HEAD_MAX (16u << 10)
#define HTTP_LINE_MAX (8u << 10)
#define HTTP_FIELDS_MAX 100u

enum http_method {
	METHOD_GET = 1,
	METHOD_HEAD = 2,
	METHOD_POST = 4,
	METHOD_PUT = 8,
	METHOD_PATCH = 16,
	METHOD_DELETE = 32,
	METHOD_OPTIONS = 64
};

/* Why a request was refused: an HTTP status and a sentence (static text). */
struct http_fault {
	int status;
	const char *why;
};

struct http_field {
	struct slice name, value;
};

/* A parsed head; all slices borrow from the block that was parsed. */
struct http_head {
	unsigned method;    /* one bit of enum http_method */
	struct slice path;  /* as sent, percent escapes checked: decoded it is UTF-8
			       without  U+0000 */
	struct slice query; /* as sent, without '?' */
	unsigned minor;     /* of HTTP/1.x */
	bool keep_alive;
	bool expects_continue;
	bool chunked;
	uint64_t content_length;
	unsigned field_count;
	struct http_field *fields;
};

/* ---- where a head ends */
struct http_scan {
	size_t at;         /* bytes looked at */
	size_t start;      /* of the request line: empty lines before it are skipped */
	size_t line_start; /* of the line being read */
	unsigned lines;
	bool after_cr;
};
enum http_scan_result { HTTP_MORE, HTTP_WHOLE, HTTP_BAD };

/* Looks at the bytes of `in` it has not seen yet, one by one: the verdict does not depend
 * on how they arrived. WHOLE: the head is in[s->start .. s->at). */
enum http_scan_result http_scan(struct http_scan *s, struct slice in,
				struct http_fault *fault);

/* ---- parsing */
struct http_parser;

struct http_parser *http_parser_new(void);
void http_parser_free(struct http_parser *p);
/* Parses a whole head; fields are allocated in the arena. 0, or the status to answer
 * (fault set). */
int http_parse_head(struct http_parser *p, struct slice block, struct arena *a,
		    struct http_head *out, struct http_fault *fault);
/* Decodes a chunked body after http_parse_head of a head with `chunked`: appends to
 * `body`, sets *used to the bytes of `in` consumed. 0: more is needed; 1: the body is
 * whole; else the status to answer. */
int http_parse_chunked(struct http_parser *p, struct slice in, size_t *used,
		       struct strbuf *body, size_t max_bytes, struct http_fault *fault);

/* The value of a field (first one), or SLICE_NONE. */
struct slice http_field(const struct http_head *h, const char *name);
/* Of two names of a field the first that is there. */
struct slice http_field_either(const struct http_head *h, const char *name,
			       const char *other);
/* The decoded value of a query parameter in the arena; SLICE_NONE when absent or badly
 * escaped. */
struct slice http_query(const struct http_head *h, const char *name, struct arena *a);
/* Decodes percent escapes into out (room for s.n bytes). false: a bad escape, U+0000 or
 * invalid UTF-8. */
bool http_unescape(struct slice s, char *out, size_t *out_n);

#endif
