/* SPDX-License-Identifier: Apache-2.0
 * Lines to events. A line that came whole is read in place; only what is split between
 * two pieces is copied. */
#include "common/http/sse.h"

#include <string.h>

void sse_reader_init(struct sse_reader *r, size_t max_event_bytes, sse_event_fn *fn,
		     void *arg)
{
	memset(r, 0, sizeof *r);
	r->max_event_bytes = max_event_bytes;
	r->fn = fn;
	r->arg = arg;
}

void sse_reader_fini(struct sse_reader *r)
{
	strbuf_fini(&r->line);
	strbuf_fini(&r->data);
	strbuf_fini(&r->event);
	strbuf_fini(&r->id);
}

/* An empty line ends an event; without data nothing is dispatched. */
static enum err dispatch_event(struct sse_reader *r)
{
	enum err e = ERR_OK;
	if (r->data.n) {
		struct sse_event ev = {.event = strbuf_slice(&r->event),
				       .data = slice_of(r->data.p, r->data.n - 1),
				       .id = strbuf_slice(&r->id)};
		e = r->fn(r->arg, &ev);
	}
	strbuf_reset(&r->data);
	strbuf_reset(&r->event);
	return e;
}

static enum err take_field(struct sse_reader *r, struct slice name, struct slice value)
{
	if (slice_is(name, "data")) {
		if (r->data.n + value.n + 1 > r->max_event_bytes)
			return ERR_TOO_LARGE;
		strbuf_add_slice(&r->data, value);
		strbuf_add_char(&r->data, '\n');
	} else if (slice_is(name, "event")) {
		strbuf_reset(&r->event);
		strbuf_add_slice(&r->event, value);
	} else if (slice_is(name, "id") && !memchr(value.p, 0, value.n)) {
		strbuf_reset(&r->id);
		strbuf_add_slice(&r->id, value);
	}
	return ERR_OK; /* "retry" and unknown fields mean nothing to a one-shot reader */
}

static enum err take_line(struct sse_reader *r, struct slice line)
{
	if (line.n == 0)
		return dispatch_event(r);
	if (line.p[0] == ':')
		return ERR_OK;
	const char *colon = memchr(line.p, ':', line.n);
	if (!colon)
		return take_field(r, line, SLICE(""));
	struct slice name = slice_of(line.p, (size_t)(colon - line.p));
	struct slice value = slice_of(colon + 1, line.n - name.n - 1);
	if (value.n && value.p[0] == ' ') {
		value.p++;
		value.n--;
	}
	return take_field(r, name, value);
}

/* The line that ends here: what waited from earlier pieces, then this part. */
static enum err end_line(struct sse_reader *r, struct slice part)
{
	enum err e;
	if (r->line.n == 0) {
		e = take_line(r, part);
	} else {
		strbuf_add_slice(&r->line, part);
		e = take_line(r, strbuf_slice(&r->line));
		strbuf_reset(&r->line);
	}
	return e;
}

/* A byte-order mark at the very start is not text. It may come in pieces, so the first
 * three bytes are collected in `line`. */
static struct slice skip_mark(struct sse_reader *r, struct slice s)
{
	static const char mark[] = "\xEF\xBB\xBF";
	while (s.n && r->line.n < 3 && s.p[0] == mark[r->line.n]) {
		strbuf_add_char(&r->line, s.p[0]);
		s.p++;
		s.n--;
	}
	if (r->line.n == 3)
		strbuf_reset(&r->line);
	else if (s.n == 0)
		return s; /* not decided yet */
	r->started = 1;
	return s;
}

enum err sse_reader_feed(struct sse_reader *r, struct slice s)
{
	if (!r->started && s.n)
		s = skip_mark(r, s);
	while (s.n) {
		if (r->after_cr && s.p[0] == '\n') {
			s.p++;
			s.n--;
		}
		r->after_cr = 0;
		size_t n = 0;
		while (n < s.n && s.p[n] != '\n' && s.p[n] != '\r')
			n++;
		if (r->line.n + n > r->max_event_bytes)
			return ERR_TOO_LARGE;
		if (n == s.n) {
			strbuf_add_slice(&r->line, s);
			return ERR_OK;
		}
		r->after_cr = s.p[n] == '\r';
		enum err e = end_line(r, slice_of(s.p, n));
		if (e)
			return e;
		s.p += n + 1;
		s.n -= n + 1;
	}
	return ERR_OK;
}
