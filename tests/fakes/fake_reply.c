/* SPDX-License-Identifier: Apache-2.0
 * Answers as bytes: the head of any, and the small ones whole. */
#include "tests/fakes/fake_reply.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/alloc.h"
#include "common/attr.h"

#define KEEP_BYTES (64u << 10)
#define KEEP_MARKS 1024u

void reply_fini(struct reply *r)
{
	strbuf_fini(&r->out);
	free(r->marks);
}

void reply_reset(struct reply *r)
{
	strbuf_reset(&r->out);
	strbuf_shrink(&r->out, KEEP_BYTES);
	if (r->mark_room > KEEP_MARKS) {
		free(r->marks);
		r->marks = NULL;
		r->mark_room = 0;
	}
	r->mark_count = 0;
	r->delay_ms = r->pause_ms = r->drip_ms = 0;
	r->clock = false;
	r->close = r->reset = r->hang = false;
	r->told_in = r->told_out = 0;
}

void reply_mark(struct reply *r)
{
	if (r->mark_count == r->mark_room) {
		r->mark_room = r->mark_room * 2 + 16;
		r->marks = xrealloc(r->marks, r->mark_room * sizeof *r->marks);
	}
	r->marks[r->mark_count++] = r->out.n;
}

static const char *reason(int status)
{
	static const struct {
		int status;
		const char *text;
	} known[] = {
		{200, "OK"},
		{400, "Bad Request"},
		{401, "Unauthorized"},
		{403, "Forbidden"},
		{404, "Not Found"},
		{408, "Request Timeout"},
		{413, "Content Too Large"},
		{429, "Too Many Requests"},
		{500, "Internal Server Error"},
		{502, "Bad Gateway"},
		{503, "Service Unavailable"},
		{504, "Gateway Timeout"},
		{529, "Overloaded"},
	};
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (known[i].status == status)
			return known[i].text;
	return "Scripted";
}

void reply_head(struct reply *r, int status, const char *type)
{
	strbuf_printf(&r->out, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\n%s", status,
		      reason(status), type, r->close ? "Connection: close\r\n" : "");
}

void reply_body(struct reply *r, struct slice body)
{
	strbuf_printf(&r->out, "Content-Length: %zu\r\n\r\n", body.n);
	reply_mark(r);
	strbuf_add_slice(&r->out, body);
}

void reply_json(struct reply *r, int status, struct slice body)
{
	reply_head(r, status, "application/json");
	reply_body(r, body);
}

void reply_error(struct reply *r, int status, const char *message)
{
	char body[256];
	int n = snprintf(body, sizeof body,
			 "{\"error\":{\"message\":\"%s\",\"type\":\"fake\"}}", message);
	reply_json(r, status, slice_of(body, (size_t)n));
}
