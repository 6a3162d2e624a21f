/* SPDX-License-Identifier: Apache-2.0
 * Reading an HTTP/1.1 request with llhttp and the checks it lacks. */
#include "edge/http_parse.h"

#include <llhttp.h>
#include <stdlib.h>

#include "common/alloc.h"
#include "common/die.h"

/* Empty lines before a request line are tolerated (RFC 9112, 2.2), not a flood of them.
 */
#define LEADING_LINES 4
/* What a chunked body may take on the wire: 1-byte chunks pass, floods of extensions or
 * leading zeros do not. */
#define RAW_MAX(body_max) ((64u << 10) + 8 * (body_max))

struct http_parser {
	llhttp_t ll;
	struct http_field *fields;
	unsigned field_count;
	bool in_body;
	bool keep_alive;
	bool too_many;  /* fields */
	bool too_large; /* body */
	bool trailer;
	struct strbuf *body;
	size_t max_bytes, raw_bytes;
};

static int fail(struct http_fault *f, int status, const char *why)
{
	f->status = status;
	f->why = why;
	return status;
}

/* RFC 9110, 5.6.2. */
static bool is_tchar(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || (c && strchr("!#$%&'*+-.^_`|~", c));
}

/* ---- the head's end */

static enum http_scan_result bad(struct http_fault *f, int status, const char *why)
{
	fail(f, status, why);
	return HTTP_BAD;
}

/* A line feed at s->at. */
static enum http_scan_result end_line(struct http_scan *s, struct http_fault *f)
{
	if (!s->after_cr)
		return bad(f, 400, "a line ends with a bare LF");
	bool empty = s->at - s->line_start == 1;
	s->line_start = s->at + 1;
	s->after_cr = false;
	if (s->lines > 0 && empty)
		return HTTP_WHOLE;
	if (!empty) {
		s->lines++;
		return s->lines > HTTP_FIELDS_MAX + 1
			       ? bad(f, 431, "there are more than 100 header fields")
			       : HTTP_MORE;
	}
	s->start = s->line_start;
	return s->start > 2 * LEADING_LINES
		       ? bad(f, 400, "too many empty lines before the request")
		       : HTTP_MORE;
}

static enum http_scan_result see(struct http_scan *s, unsigned char c,
				 struct http_fault *f)
{
	if (s->at - s->start >= HTTP_HEAD_MAX)
		return bad(f, 431, "the header block is larger than 16 KiB");
	if (s->lines == 0 && s->at - s->start >= HTTP_LINE_MAX)
		return bad(f, 414, "the request line is longer than 8 KiB");
	if (c == '\n')
		return end_line(s, f);
	if (s->after_cr)
		return bad(f, 400, "a bare CR stands in the header");
	if (c == 0)
		return bad(f, 400, "a NUL byte stands in the header");
	if (s->at == s->start && c != '\r' && !is_tchar(c))
		return bad(f, 400, "this is not HTTP");
	s->after_cr = c == '\r';
	return HTTP_MORE;
}

enum http_scan_result http_scan(struct http_scan *s, struct slice in,
				struct http_fault *fault)
{
	for (; s->at < in.n; s->at++) {
		enum http_scan_result r = see(s, (unsigned char)in.p[s->at], fault);
		if (r == HTTP_WHOLE)
			s->at++;
		if (r != HTTP_MORE)
			return r;
	}
	return HTTP_MORE;
}

/* ---- llhttp's callbacks */

static int on_field_name(llhttp_t *ll, const char *at, size_t n)
{
	struct http_parser *p = ll->data;
	if (p->in_body) {
		p->trailer = true;
		return HPE_USER;
	}
	if (p->field_count == HTTP_FIELDS_MAX) {
		p->too_many = true;
		return HPE_USER;
	}
	struct slice *name = &p->fields[p->field_count].name;
	if (name->p && name->p + name->n == at)
		name->n += n;
	else
		*name = slice_of(at, n);
	return 0;
}

static int on_field_value(llhttp_t *ll, const char *at, size_t n)
{
	struct http_parser *p = ll->data;
	struct slice *value = &p->fields[p->field_count].value;
	if (value->p && value->p + value->n == at)
		value->n += n;
	else
		*value = slice_of(at, n);
	return 0;
}

static int on_field_end(llhttp_t *ll)
{
	struct http_parser *p = ll->data;
	struct slice *value = &p->fields[p->field_count].value;
	*value = slice_trim(*value);
	p->field_count++;
	return 0;
}

static int on_head_end(llhttp_t *ll)
{
	struct http_parser *p = ll->data;
	p->in_body = true;
	p->keep_alive = llhttp_should_keep_alive(ll);
	return 0;
}

static int on_body(llhttp_t *ll, const char *at, size_t n)
{
	struct http_parser *p = ll->data;
	p->too_large = n > p->max_bytes - p->body->n;
	if (p->too_large)
		return HPE_USER;
	strbuf_add(p->body, at, n);
	return 0;
}

static int on_chunk_header(llhttp_t *ll)
{
	struct http_parser *p = ll->data;
	p->too_large = ll->content_length > p->max_bytes - p->body->n;
	return p->too_large ? -1 : 0;
}

static int on_message_end(llhttp_t *ll)
{
	(void)ll;
	return HPE_PAUSED;
}

static const llhttp_settings_t *settings(void)
{
	static llhttp_settings_t s;
	if (!s.on_body) {
		llhttp_settings_init(&s);
		s.on_header_field = on_field_name;
		s.on_header_value = on_field_value;
		s.on_header_value_complete = on_field_end;
		s.on_headers_complete = on_head_end;
		s.on_chunk_header = on_chunk_header;
		s.on_message_complete = on_message_end;
		s.on_body = on_body;
	}
	return &s;
}

struct http_parser *http_parser_new(void)
{
	struct http_parser *p = xcalloc(1, sizeof *p);
	llhttp_init(&p->ll, HTTP_REQUEST, settings());
	p->ll.data = p;
	return p;
}

void http_parser_free(struct http_parser *p)
{
	free(p);
}

/* ---- the request line */

static unsigned method_of(struct slice word)
{
	static const struct {
		const char *word;
		unsigned method;
	} known[] = {{"GET", METHOD_GET},        {"HEAD", METHOD_HEAD},
		     {"POST", METHOD_POST},      {"PUT", METHOD_PUT},
		     {"PATCH", METHOD_PATCH},    {"DELETE", METHOD_DELETE},
		     {"OPTIONS", METHOD_OPTIONS}};
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (slice_is(word, known[i].word))
			return known[i].method;
	return 0;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static int check_version(struct slice v, struct http_head *h, struct http_fault *f)
{
	if (v.n != 8 || memcmp(v.p, "HTTP/", 5) != 0 || !is_digit(v.p[5]) ||
	    v.p[6] != '.' || !is_digit(v.p[7]))
		return fail(f, 400, "the request line does not end in HTTP/1.1");
	if (v.p[5] == '0')
		return fail(f, 400, "HTTP/0 is not spoken here");
	if (v.p[5] != '1' || v.p[7] > '1')
		return fail(f, 505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
	h->minor = (unsigned)(v.p[7] - '0');
	return 0;
}

static int hex(char c)
{
	if (is_digit(c))
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool http_unescape(struct slice s, char *out, size_t *out_n)
{
	size_t n = 0;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (c == '%') {
			if (s.n - i < 3 || hex(s.p[i + 1]) < 0 || hex(s.p[i + 2]) < 0)
				return false;
			c = (char)(hex(s.p[i + 1]) * 16 + hex(s.p[i + 2]));
			i += 2;
			if (c == 0)
				return false;
		}
		out[n++] = c;
	}
	*out_n = n;
	return slice_is_utf8(slice_of(out, n));
}

/* Splits the target into path and query; absolute-form loses scheme and authority. */
static int check_target(struct slice t, struct http_head *h, struct http_fault *f)
{
	char decoded[HTTP_LINE_MAX];
	size_t n;
	for (size_t i = 0; i < t.n; i++)
		if ((unsigned char)t.p[i] <= 0x20 || (unsigned char)t.p[i] >= 0x7f)
			return fail(f, 400, "the request target holds an illegal byte");
	if (slice_ieq(slice_of(t.p, t.n < 7 ? t.n : 7), SLICE("http://"))) {
		const char *slash = memchr(t.p + 7, '/', t.n - 7);
		size_t skip = slash ? (size_t)(slash - t.p) : t.n;
		t = slash ? slice_of(t.p + skip, t.n - skip) : SLICE("/");
	}
	if (t.n == 0 || (t.p[0] != '/' && !slice_is(t, "*")))
		return fail(f, 400, "the request target is no path");
	h->path = slice_cut(&t, '?');
	h->query = t;
	if (slice_find(h->path, SLICE("#")) >= 0)
		return fail(f, 400, "the request target holds a fragment");
	if (!http_unescape(h->path, decoded, &n))
		return fail(f, 400, "the path's escapes are malformed or not UTF-8 text");
	return 0;
}

static int check_request_line(struct slice line, struct http_head *h,
			      struct http_fault *f)
{
	struct slice version = line;
	struct slice word = slice_cut(&version, ' ');
	struct slice target = slice_cut(&version, ' ');
	for (size_t i = 0; i < word.n; i++)
		if (!is_tchar((unsigned char)word.p[i]))
			return fail(f, 400, "the method holds an illegal character");
	if (word.n == 0 || target.n == 0 || version.n == 0)
		return fail(f, 400, "the request line has not three parts");
	int status = check_version(version, h, f);
	if (status)
		return status;
	h->method = method_of(word);
	if (!h->method)
		return fail(f, 501, "that method is not known here");
	return check_target(target, h, f);
}

/* ---- the fields */

static bool is_host(struct slice v)
{
	for (size_t i = 0; i < v.n; i++) {
		unsigned char c = (unsigned char)v.p[i];
		bool name = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			    is_digit((char)c) || strchr("-._~!$&'()*+,;=:[]%", c);
		if (!c || !name)
			return false;
	}
	return true;
}

static unsigned count_fields(const struct http_head *h, const char *name,
			     struct slice *value)
{
	unsigned count = 0;
	for (unsigned i = 0; i < h->field_count; i++)
		if (slice_ieq(h->fields[i].name, slice_str(name))) {
			*value = h->fields[i].value;
			count++;
		}
	return count;
}

static int check_framing(struct http_head *h, struct http_fault *f)
{
	struct slice te = SLICE_NONE, cl = SLICE_NONE;
	unsigned codings = count_fields(h, "transfer-encoding", &te);
	unsigned lengths = count_fields(h, "content-length", &cl);
	if (codings && (lengths || h->minor == 0))
		return fail(f, 400, "Transfer-Encoding does not fit here");
	if (codings > 1 || (codings && !slice_ieq(te, SLICE("chunked"))))
		return fail(f, slice_find(te, SLICE("chunked")) >= 0 ? 400 : 501,
			    "the only transfer coding known here is chunked");
	if (lengths > 1)
		return fail(f, 400, "Content-Length stands there twice");
	h->chunked = codings == 1;
	if (lengths) {
		long long n;
		if (cl.n == 0 || !is_digit(cl.p[0]) || !slice_to_i64(cl, &n))
			return fail(f, 400, "Content-Length is no number");
		h->content_length = (uint64_t)n;
	}
	return 0;
}

static int check_fields(struct http_parser *p, struct http_head *h, struct http_fault *f)
{
	struct slice v = SLICE_NONE;
	unsigned hosts = count_fields(h, "host", &v);
	if (hosts > 1 || (hosts == 0 && h->minor > 0))
		return fail(f, 400, "there must be exactly one Host field");
	if (hosts == 1 && !is_host(v))
		return fail(f, 400, "the Host field is malformed");
	if (count_fields(h, "expect", &v)) {
		if (!slice_ieq(v, SLICE("100-continue")))
			return fail(f, 417, "the only expectation met is 100-continue");
		h->expects_continue = h->minor > 0;
	}
	int status = check_framing(h, f);
	h->keep_alive = p->keep_alive;
	return status;
}

static int llhttp_fault(struct http_parser *p, llhttp_errno_t e, struct http_fault *f)
{
	if (p->too_many)
		return fail(f, 431, "there are more than 100 header fields");
	if (e == HPE_INVALID_CONTENT_LENGTH)
		return fail(f, 400, "Content-Length is no number");
	if (e == HPE_UNEXPECTED_CONTENT_LENGTH)
		return fail(f, 400,
			    "Content-Length stands twice or beside "
			    "Transfer-Encoding");
	if (e == HPE_INVALID_TRANSFER_ENCODING)
		return fail(f, 400, "Transfer-Encoding is malformed");
	if (e == HPE_INVALID_HEADER_TOKEN || e == HPE_UNEXPECTED_SPACE)
		return fail(f, 400, "a header field is malformed");
	return fail(f, 400, "the request head is malformed");
}

int http_parse_head(struct http_parser *p, struct slice block, struct arena *a,
		    struct http_head *out, struct http_fault *fault)
{
	struct http_field fields[HTTP_FIELDS_MAX];
	struct slice line = {block.p, 0};
	*out = (struct http_head){0};
	while (line.n + 1 < block.n && block.p[line.n] != '\r')
		line.n++;
	int status = check_request_line(line, out, fault);
	if (status)
		return status;
	llhttp_reset(&p->ll);
	memset(fields, 0, sizeof fields);
	p->fields = fields;
	p->field_count = 0;
	p->in_body = p->too_many = p->too_large = p->trailer = false;
	p->raw_bytes = 0;
	llhttp_errno_t e = llhttp_execute(&p->ll, block.p, block.n);
	p->fields = NULL;
	if (e != HPE_OK && e != HPE_PAUSED && e != HPE_PAUSED_UPGRADE)
		return llhttp_fault(p, e, fault);
	if (!p->in_body)
		return fail(fault, 400, "the request head is malformed");
	out->field_count = p->field_count;
	out->fields = arena_memdup(a, fields, p->field_count * sizeof *fields);
	return check_fields(p, out, fault);
}

/* ---- a chunked body */

int http_parse_chunked(struct http_parser *p, struct slice in, size_t *used,
		       struct strbuf *body, size_t max_bytes, struct http_fault *fault)
{
	p->body = body;
	p->max_bytes = max_bytes;
	llhttp_errno_t e = llhttp_execute(&p->ll, in.p, in.n);
	p->body = NULL;
	*used = in.n;
	if (e == HPE_PAUSED || e == HPE_PAUSED_UPGRADE)
		*used = (size_t)(llhttp_get_error_pos(&p->ll) - in.p);
	p->raw_bytes += *used;
	if (p->trailer)
		return fail(fault, 400, "trailers are not taken");
	if (p->too_large)
		return fail(fault, 413, "the body is larger than its limit");
	if (e != HPE_OK && e != HPE_PAUSED && e != HPE_PAUSED_UPGRADE)
		return fail(fault, 400, "the chunked body is malformed");
	if (p->raw_bytes > RAW_MAX(max_bytes))
		return fail(fault, 413, "the chunk framing is larger than its limit");
	return e != HPE_OK;
}

/* ---- reading what was parsed */

struct slice http_field(const struct http_head *h, const char *name)
{
	for (unsigned i = 0; i < h->field_count; i++)
		if (slice_ieq(h->fields[i].name, slice_str(name)))
			return h->fields[i].value;
	return SLICE_NONE;
}

struct slice http_field_either(const struct http_head *h, const char *name,
			       const char *other)
{
	struct slice v = http_field(h, name);
	return v.p ? v : http_field(h, other);
}

struct slice http_query(const struct http_head *h, const char *name, struct arena *a)
{
	struct slice rest = h->query;
	while (rest.p) {
		struct slice value = slice_cut(&rest, '&');
		struct slice key = slice_cut(&value, '=');
		if (!slice_is(key, name))
			continue;
		char *out = arena_alloc(a, value.n + 1);
		size_t n;
		if (!http_unescape(value, out, &n))
			return SLICE_NONE;
		out[n] = 0;
		return slice_of(out, n);
	}
	return SLICE_NONE;
}
