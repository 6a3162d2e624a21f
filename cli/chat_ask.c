/* SPDX-License-Identifier: Apache-2.0
 * Short requests of a talk. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/chat.h"
#include "cli/report.h"

#define ANSWER_MOST ((size_t)16 << 20)
#define WAIT_MS 60000
#define ASK_US 30000000

struct reading {
	struct strbuf body;
};

static bool on_piece(void *arg, struct slice piece)
{
	struct reading *x = arg;
	strbuf_add_slice(&x->body, piece);
	return x->body.n <= ANSWER_MOST;
}

const char *chat_path(struct chat *c)
{
	static struct strbuf path = STRBUF_INIT;
	strbuf_reset(&path);
	strbuf_add_str(&path, "/v1/agents/");
	follow_encode(&path, c->agent);
	strbuf_add_str(&path, "/sessions/");
	follow_encode(&path, c->session);
	return path.p;
}

static struct json_doc *judge(struct chat *c, struct reading *x,
			      const struct node_answer *a, int *status)
{
	*status = EXIT_FINE;
	if (a->err || a->status / 100 != 2) {
		node_report(&c->node, a);
		*status = a->err             ? EXIT_AWAY
			  : a->status == 404 ? EXIT_ABSENT
					     : EXIT_FAILED;
		return NULL;
	}
	if (!x->body.n)
		strbuf_add_slice(&x->body, strbuf_slice(&a->body));
	struct json_doc *d = json_parse(strbuf_slice(&x->body), ANSWER_MOST, NULL, 0);
	if (d)
		return d;
	report("%s answered no JSON: is this a Terabits node?", c->node.url);
	*status = EXIT_FAILED;
	return NULL;
}

struct json_doc *chat_ask(struct chat *c, const char *method, struct slice body,
			  int *status, const char *fmt, ...)
{
	AUTO(strbuf_fini) struct strbuf path = STRBUF_INIT;
	char text[2048];
	va_list ap;
	struct node_answer a;
	struct reading x = {STRBUF_INIT};
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	strbuf_add_str(&path, text);
	node_call(&c->node,
		  &(struct node_request){.method = method,
					 .path = path.p,
					 .body = body.n ? body : SLICE_NONE,
					 .total_us = WAIT_MS * 1000ll + ASK_US,
					 .on_piece = on_piece,
					 .arg = &x},
		  &a);
	struct json_doc *d = judge(c, &x, &a, status);
	strbuf_fini(&x.body);
	node_answer_fini(&a);
	return d;
}

int chat_wait(struct chat *c, json_t accepted)
{
	int status;
	AUTO(auto_json_free)
	struct json_doc *d =
		chat_ask(c, "GET", SLICE_NONE, &status, "/v1/runs/%s/wait?timeoutMs=%d",
			 json_cstr(json_get(accepted, "runId"), "?"), WAIT_MS);
	struct slice word = json_str(json_get(json_root(d), "status"));
	if (!d || slice_is(word, "ok"))
		return status;
	if (slice_is(word, "timeout"))
		report("it has not been done yet; it stands in the session's queue");
	else
		report("it was not done: %s",
		       json_cstr(json_get(json_get(json_root(d), "error"), "message"),
				 "no reason was given"));
	return slice_is(word, "timeout") ? EXIT_TIMEOUT : EXIT_FAILED;
}
