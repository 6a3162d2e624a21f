/* SPDX-License-Identifier: Apache-2.0
 * Answers, composed straight into the connection's output. */
#include "edge/reply.h"

#include <stdarg.h>
#include <stdio.h>

#include "common/die.h"
#include "common/json.h"
#include "edge/conn.h"
#include "edge/cors.h"
#include "edge/number.h"

static const struct status {
	int number;
	const char *reason, *code, *type;
} statuses[] = {
#define STATUS(number, reason, code, type) {number, reason, code, type},
#include "edge/status.tbl"
#undef STATUS
};

static const struct status *status_of(int number)
{
	for (size_t i = 0; i < ARRAY_LEN(statuses); i++)
		if (statuses[i].number == number)
			return &statuses[i];
	panic("a status that status.tbl lacks");
}

const char *reply_reason(int status)
{
	return status_of(status)->reason;
}

int reply_status_of(enum err e)
{
	switch (e) {
#define ERROR(NAME, status)                                                              \
	case ERR_##NAME:                                                                 \
		return status;
#include "edge/errors.tbl"
#undef ERROR
	default:
		return 500;
	}
}

static void field(struct strbuf *out, const char *name, struct slice value)
{
	strbuf_add_str(out, name);
	strbuf_add(out, ": ", 2);
	strbuf_add_slice(out, value);
	strbuf_add(out, "\r\n", 2);
}

void reply_head(struct request *r, int status)
{
	struct conn *c = r->conn;
	struct strbuf *out = &c->out;
	check(c->request == r && c->state == CONN_BUSY && !c->streaming);
	c->close_after |= c->uploading;
	strbuf_add_str(out, "HTTP/1.1 ");
	number_add(out, (uint64_t)status);
	strbuf_add_char(out, ' ');
	strbuf_add_str(out, status_of(status)->reason);
	strbuf_add(out, "\r\n", 2);
	field(out, "date", slice_str(server_date(c->server)));
	field(out, "x-request-id", slice_str(r->id));
	cors_answer(server_cors(c->server), &r->head, out);
	strbuf_add_slice(out, r->fields);
}

void reply_field(struct request *r, const char *name, struct slice value)
{
	field(&r->conn->out, name, value);
}

void reply_preflight(struct request *r, const char *allow)
{
	struct conn *c = r->conn;
	cors_preflight(server_cors(c->server), &r->head, allow, &c->out);
}

static void connection_field(struct conn *c, const struct request *r)
{
	if (c->close_after || c->framing == FRAMING_CLOSE)
		field(&c->out, "connection", SLICE("close"));
	else if (r->head.minor == 0)
		field(&c->out, "connection", SLICE("keep-alive"));
}

/* The rest of the head of an answer that says how long it is. */
static void end_head(struct conn *c, const struct request *r, const char *type,
		     uint64_t bytes)
{
	c->framing = FRAMING_LENGTH;
	connection_field(c, r);
	field(&c->out, "cache-control", SLICE("no-store"));
	field(&c->out, "content-type", slice_str(type));
	strbuf_add_str(&c->out, "content-length: ");
	number_add(&c->out, bytes);
	strbuf_add(&c->out, "\r\n\r\n", 4);
}

static void begin_stream(struct conn *c, struct slice heartbeat)
{
	c->streaming = true;
	c->heartbeat = heartbeat;
	if (c->request->head_only) /* which is all; from the top of the loop */
		loop_wake(server_loop(c->server), &c->task);
	conn_mark(c);
}

void reply_body(struct request *r, const char *type, struct slice body)
{
	struct conn *c = r->conn;
	end_head(c, r, type, body.n);
	if (!r->head_only)
		strbuf_add_slice(&c->out, body);
	conn_answered(c);
}

void reply_empty(struct request *r)
{
	struct conn *c = r->conn;
	c->framing = FRAMING_LENGTH;
	connection_field(c, r);
	strbuf_add(&c->out, "\r\n", 2);
	conn_answered(c);
}

void reply_stream(struct request *r, const char *type, struct slice heartbeat)
{
	struct conn *c = r->conn;
	c->framing = r->head.minor > 0 ? FRAMING_CHUNKED : FRAMING_CLOSE;
	connection_field(c, r);
	field(&c->out, "cache-control", SLICE("no-store"));
	field(&c->out, "x-accel-buffering", SLICE("no"));
	field(&c->out, "content-type", slice_str(type));
	if (c->framing == FRAMING_CHUNKED)
		field(&c->out, "transfer-encoding", SLICE("chunked"));
	strbuf_add(&c->out, "\r\n", 2);
	begin_stream(c, heartbeat);
}

void reply_sized(struct request *r, const char *type, uint64_t bytes)
{
	end_head(r->conn, r, type, bytes);
	begin_stream(r->conn, SLICE_NONE);
}

void reply_abort(struct request *r)
{
	struct conn *c = r->conn;
	c->broken = true;
	loop_wake(server_loop(c->server), &c->task);
}

void reply_piece(struct request *r, struct slice piece)
{
	struct conn *c = r->conn;
	check(c->streaming);
	if (piece.n == 0 || r->head_only)
		return;
	if (c->framing == FRAMING_CHUNKED) {
		number_add_hex(&c->out, piece.n);
		strbuf_add(&c->out, "\r\n", 2);
	}
	strbuf_add_slice(&c->out, piece);
	if (c->framing == FRAMING_CHUNKED)
		strbuf_add(&c->out, "\r\n", 2);
	conn_mark(c);
}

void reply_stream_end(struct request *r)
{
	struct conn *c = r->conn;
	check(c->streaming);
	if (c->framing == FRAMING_CHUNKED && !r->head_only)
		strbuf_add(&c->out, "0\r\n\r\n", 5);
	conn_answered(c);
}

size_t reply_unsent(const struct request *r)
{
	return r->conn->out.n;
}

/* ---- errors */

/* RFC 9457: what a client knows that reads problem details and not our errors. */
static bool wants_problem(const struct request *r)
{
	struct slice accept = http_field(&r->head, "accept");
	return accept.p && slice_find(accept, SLICE("application/problem+json")) >= 0;
}

static void put_problem(struct json_out *o, const struct request *r,
			const struct reply_error *e, const char *message)
{
	const struct status *s = status_of(e->status);
	char text[REQUEST_ID_MAX + 64];
	snprintf(text, sizeof text, "urn:terabits:error:%.60s",
		 e->code ? e->code : s->code);
	json_kv_cstr(o, "type", text);
	json_kv_cstr(o, "title", s->reason);
	json_kv_i64(o, "status", e->status);
	json_kv_str(o, "detail", slice_str(message));
	snprintf(text, sizeof text, "urn:terabits:request:%s", r->id);
	json_kv_cstr(o, "instance", text);
}

static void put_error(struct strbuf *b, const struct request *r,
		      const struct reply_error *e, const char *message)
{
	const struct status *s = status_of(e->status);
	struct json_out o = json_out(b);
	json_obj(&o);
	if (wants_problem(r))
		put_problem(&o, r, e, message);
	json_key(&o, "error");
	json_obj(&o);
	json_kv_cstr(&o, "code", e->code ? e->code : s->code);
	json_kv_cstr(&o, "type", s->type);
	json_kv_str(&o, "message", slice_str(message));
	json_kv_cstr(&o, "param", e->param);
	json_kv_i64(&o, "status", e->status);
	json_kv_cstr(&o, "requestId", r->id);
	json_obj_end(&o);
	json_obj_end(&o);
	strbuf_add_char(b, '\n');
}

void reply_error(struct request *r, const struct reply_error *e, const char *fmt, ...)
{
	AUTO(strbuf_fini) struct strbuf body = STRBUF_INIT;
	char message[512], seconds[16];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(message, sizeof message, fmt, ap);
	va_end(ap);
	if (r->on_error) {
		r->on_error(r, e, message);
		return;
	}
	put_error(&body, r, e, message);
	reply_head(r, e->status);
	if (e->retry_after_s) {
		snprintf(seconds, sizeof seconds, "%u", e->retry_after_s);
		reply_field(r, "retry-after", slice_str(seconds));
	}
	if (e->allow)
		reply_field(r, "allow", slice_str(e->allow));
	if (e->status == 401)
		reply_field(r, "www-authenticate", SLICE("Bearer realm=\"terabits\""));
	reply_body(r, wants_problem(r) ? "application/problem+json" : "application/json",
		   strbuf_slice(&body));
}

void reply_err(struct request *r, enum err e, const char *param, const char *message,
	       unsigned retry_after_s)
{
	struct reply_error re = {reply_status_of(e), err_code(e), param, retry_after_s,
				 NULL};
	if ((re.status == 429 || re.status == 503) && !retry_after_s)
		re.retry_after_s = 1;
	reply_error(r, &re, "%s", message && *message ? message : err_text(e));
}

bool reply_wrong(struct request *r, const char *param, const char *message)
{
	reply_err(r, ERR_BAD_REQUEST, param, message, 0);
	return false;
}

void reply_fault(struct request *r, const struct http_fault *f)
{
	struct reply_error re = {f->status, NULL, NULL, f->status == 503 ? 1u : 0u, NULL};
	reply_error(r, &re, "%s", f->why);
}
