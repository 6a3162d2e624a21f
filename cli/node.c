/* SPDX-License-Identifier: Apache-2.0
 * Blocking HTTP calls: the loop runs until the one call is over. */
#include "cli/node.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/report.h"
#include "cli/state.h"
#include "common/alloc.h"
#include "common/attr.h"
#include "common/clock.h"
#include "common/http/client.h"
#include "common/json.h"
#include "common/listen.h"
#include "common/loop.h"

#define BODY_MOST ((size_t)64 << 10)
#define READY_LIMIT_US 5000000
#define READY_PAUSE_US 100000

bool node_url(const char *listen, char *url, size_t url_size, char socket[NODE_SOCKET])
{
	struct listen_address all[LISTEN_MOST];
	const char *path = NULL;
	char why[512];
	unsigned count = listen_parse(listen, all, why, sizeof why);
	bool found = listen_url(all, count, url, url_size, &path);
	snprintf(socket, NODE_SOCKET, "%s", path ? path : "");
	return found;
}

static int find_token(struct node *n)
{
	const char *given = getenv("TERABITS_TOKEN");
	n->token = given && *given ? xstrdup(given) : state_read(n->state, "token");
	if (n->token)
		return 0;
	report("there is no token: %s/token is missing. Run 'terabitsctl migrate', which "
	       "makes one, or set TERABITS_TOKEN",
	       n->state);
	return -1;
}

int node_open(struct node *n, const struct config *c, enum node_rights rights)
{
	*n = (struct node){.state = c->state_dir};
	if (!node_url(c->listen, n->url, sizeof n->url, n->socket)) {
		report("TERABITS_LISTEN names no address that this program can use: add "
		       "one such as unix:/run/terabits/http.sock");
		return -1;
	}
	if (rights == NODE_TOKEN && find_token(n))
		return -1;
	n->loop = loop_new();
	n->http = http_client_new(n->loop, 2);
	return 0;
}

void node_close(struct node *n)
{
	state_forget(&n->token);
	if (!n->loop)
		return;
	http_client_free(n->http);
	loop_turn(n->loop, 0);
	loop_free(n->loop);
}

/* ---- one call */

struct exchange {
	struct node *node;
	const struct node_request *request;
	struct node_answer *answer;
	struct http_call *call;
	struct op op;
};

static void on_head(void *arg, int status)
{
	((struct exchange *)arg)->answer->status = status;
}

static void on_header(void *arg, struct slice name, struct slice value)
{
	struct exchange *x = arg;
	struct uuid run;
	if (slice_is(name, "x-run-id") && uuid_parse(value, &run))
		uuid_format(run, x->answer->run);
}

static bool on_body(void *arg, struct slice piece)
{
	struct exchange *x = arg;
	struct node_answer *a = x->answer;
	if (a->status == 200 && x->request->on_piece)
		return x->request->on_piece(x->request->arg, piece);
	size_t room = BODY_MOST - a->body.n;
	strbuf_add(&a->body, piece.p, piece.n < room ? piece.n : room);
	return true;
}

static long on_read(void *arg, char *to, size_t room)
{
	const struct exchange *x = arg;
	return x->request->on_read(x->request->arg, to, room);
}

static void on_done(struct op *op, enum err result, void *arg)
{
	struct exchange *x = arg;
	(void)op;
	x->answer->err = result;
	if (result)
		snprintf(x->answer->why, sizeof x->answer->why, "%s",
			 x->call ? http_error(x->call) : err_text(result));
	loop_stop(x->node->loop);
}

#define HEADERS_MOST 6

/* "name: value" at headers[*n]. */
static void add_header(char **headers, size_t *n, const char *name, const char *value)
{
	struct strbuf b = STRBUF_INIT;
	if (!value || !*value)
		return;
	strbuf_printf(&b, "%s: %s", name, value);
	headers[(*n)++] = b.p;
}

void node_call(struct node *n, const struct node_request *r, struct node_answer *a)
{
	static const struct http_events events = {on_head, on_header, on_body};
	char *headers[HEADERS_MOST + 1] = {NULL};
	size_t count = 0;
	struct strbuf url = STRBUF_INIT, bearer = STRBUF_INIT;
	struct exchange x = {.node = n, .request = r, .answer = a};
	*a = (struct node_answer){.err = ERR_OK};
	strbuf_printf(&url, "%s%s", n->url, r->path);
	if (n->token)
		strbuf_printf(&bearer, "Bearer %s", n->token);
	add_header(headers, &count, "Authorization", bearer.p);
	add_header(headers, &count, "Content-Type",
		   r->body.p ? "application/json" : NULL);
	add_header(headers, &count, "Last-Event-ID", r->last_event_id);
	add_header(headers, &count, "Idempotency-Key", r->idempotency_key);
	loop_turn(n->loop, 0); /* the clock stood still since the last call */
	op_init(&x.op, n->loop, on_done, &x);
	n->open = &x;
	x.call = http_start(
		n->http,
		&(struct http_request){.method = r->method,
				       .url = url.p,
				       .headers = (const char *const *)headers,
				       .body = r->body,
				       .unix_socket = *n->socket ? n->socket : NULL,
				       .on_read = r->on_read ? on_read : NULL,
				       .body_bytes = r->body_bytes,
				       .total_us = r->total_us},
		&events, &x, &x.op);
	loop_run(n->loop);
	n->open = NULL;
	for (size_t i = 0; i < count; i++)
		state_forget(&headers[i]);
	state_forget(&bearer.p);
	strbuf_fini(&url);
}

void node_abort(struct node *n)
{
	if (n->open)
		op_cancel(&n->open->op, ERR_CANCELLED);
}

/* ---- a call beside it */

struct aside {
	struct op op;
	struct strbuf url, bearer;
};

static void on_aside_head(void *arg, int status)
{
	(void)arg;
	(void)status;
}

static bool on_aside_body(void *arg, struct slice piece)
{
	(void)arg;
	(void)piece;
	return true;
}

static void on_aside_done(struct op *op, enum err result, void *arg)
{
	struct aside *x = arg;
	(void)op;
	(void)result;
	state_forget(&x->bearer.p);
	strbuf_fini(&x->url);
	free(x);
}

void node_post(struct node *n, const char *path)
{
	static const struct http_events events = {on_aside_head, NULL, on_aside_body};
	struct aside *x = xcalloc(1, sizeof *x);
	strbuf_printf(&x->url, "%s%s", n->url, path);
	strbuf_printf(&x->bearer, "Authorization: Bearer %s", n->token ? n->token : "");
	op_init(&x->op, n->loop, on_aside_done, x);
	http_start(n->http,
		   &(struct http_request){
			   .method = "POST",
			   .url = x->url.p,
			   .headers = (const char *const[]){x->bearer.p, NULL},
			   .body = SLICE(""),
			   .total_us = READY_LIMIT_US},
		   &events, x, &x->op);
}

/* ---- the answer */

void node_answer_fini(struct node_answer *a)
{
	strbuf_fini(&a->body);
}

/* ---- what people read */

void node_report(const struct node *n, const struct node_answer *a)
{
	AUTO(auto_json_free)
	struct json_doc *d = json_parse(strbuf_slice(&a->body), BODY_MOST, NULL, 0);
	json_t error = json_get(json_root(d), "error");
	const char *message = json_cstr(json_get(error, "message"), NULL);
	if (a->err)
		report("%s: %s", n->url, a->why);
	else if (a->status == 401)
		report("%s refused the token: it is unknown to this node's database, or "
		       "revoked. It came from TERABITS_TOKEN or else %s/token",
		       n->url, n->state);
	else if (message)
		report("%s answered %d: %s (%s)", n->url, a->status, message,
		       json_cstr(json_get(error, "code"), "no code"));
	else
		report("%s answered %d without a reason: is this a Terabits node?",
		       n->url, a->status);
}

int node_await(struct node *n, long seconds, char *why, size_t why_size)
{
	int64_t until = clock_mono_us() + (int64_t)seconds * 1000000;
	struct node_request r = {.method = "GET", .path = "/readyz"};
	for (;;) {
		struct node_answer a;
		int64_t left = until - clock_mono_us();
		r.total_us = left > 0 && left < READY_LIMIT_US ? left : READY_LIMIT_US;
		node_call(n, &r, &a);
		struct slice said = slice_trim(strbuf_slice(&a.body));
		if (a.err)
			snprintf(why, why_size, "%s", a.why);
		else
			snprintf(why, why_size, "it answered %d %.*s", a.status,
				 SLICE_ARG(said));
		node_answer_fini(&a);
		if (!a.err && a.status == 200)
			return 1;
		if (clock_mono_us() + READY_PAUSE_US >= until)
			return a.err ? -1 : 0;
		usleep(READY_PAUSE_US);
	}
}
