/* SPDX-License-Identifier: Apache-2.0
 * Two pumps: the request's body into the jail's input, its output into the answer. */
#include "edge/transfer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/json.h"
#include "common/log.h"
#include "common/map.h"
#include "edge/change.h"
#include "edge/link.h"
#include "edge/reply.h"
#include "sandbox/client/jails.h"

#define HEAD_MOST (16u << 10)
#define PIECE_BYTES (64u << 10)
#define UNSENT_MOST (128u << 10)
/* The jail of a client that left ends by itself; if not, it is ended. */
#define LAST_US 5000000
#define TRANSFERS_OF_TENANT 16u

struct transfer {
	struct edge *edge;
	struct call *call; /* NULL: it is over, answered or left */
	int64_t tenant;
	uint64_t grant;
	enum transfer_answer answer;
	const char *type;
	struct slice name;
	struct jail_work work;
	struct op op;
	int fd[3];
	struct loop_fd *watch[3];
	struct loop_timer *last;
	struct strbuf in;   /* what goes to the jail next */
	struct strbuf head; /* the first line, until it is whole */
	bool has_head;      /* the answer has begun */
	enum err refused;   /* by the jail, in these words: told when it has ended */
	bool is_stale;      /* because another version stands there than was meant */
	char why[512];
	bool body_over; /* the body's end is in `in` */
	uint64_t left;  /* of a file */
};

/* ---- how many */

static struct slice key_of(const int64_t *tenant)
{
	return slice_of(tenant, sizeof *tenant);
}

bool transfer_may(struct call *c)
{
	struct map *m = c->edge->transfers;
	unsigned *n = map_get(m, key_of(&c->caller.tenant));
	if (!n) {
		n = xcalloc(1, sizeof *n);
		map_put(m, key_of(&c->caller.tenant), n);
	}
	if (*n >= TRANSFERS_OF_TENANT) {
		reply_err(c->request, ERR_TENANT_FULL, NULL,
			  "16 file transfers of this tenant are under way; try again "
			  "when one has ended",
			  1);
		return false;
	}
	++*n;
	return true;
}

void transfer_uncount(struct edge *e, int64_t tenant)
{
	unsigned *n = map_get(e->transfers, key_of(&tenant));
	if (!n || --*n)
		return;
	map_take(e->transfers, key_of(&tenant));
	free(n);
}

/* ---- its ends */

static void shut(struct transfer *t, int i)
{
	loop_fd_free(t->watch[i]);
	if (t->fd[i] >= 0)
		close(t->fd[i]);
	t->watch[i] = NULL;
	t->fd[i] = -1;
}

static void free_transfer(void *p)
{
	struct transfer *t = p;
	loop_timer_free(t->last);
	strbuf_fini(&t->in);
	strbuf_fini(&t->head);
	free(t);
}

/* The call goes on without us, or is over. */
static void let_go(struct transfer *t)
{
	struct call *c = t->call;
	t->call = NULL;
	if (!c)
		return;
	c->on_end = NULL;
	c->cut = NULL;
	c->request->on_room = NULL;
	c->request->on_body = NULL;
}

static void on_last(void *arg)
{
	struct transfer *t = arg;
	op_cancel(&t->op, ERR_TIMEOUT);
}

/* It ends by itself, soon. */
static void limit(struct transfer *t)
{
	if (op_is_active(&t->op) && !loop_timer_is_running(t->last))
		loop_timer_start(t->last, LAST_US);
}

/* Without its pipes it ends by itself, and leaves nothing half done. */
static void wind_up(struct transfer *t)
{
	for (int i = 0; i < 2; i++)
		shut(t, i);
	limit(t);
}

static void on_call_end(struct call *c)
{
	struct transfer *t = c->state;
	t->call = NULL;
	wind_up(t);
}

static void fail(struct transfer *t, enum err e, const char *message)
{
	struct call *c = t->call;
	if (!c)
		return;
	let_go(t);
	if (t->has_head)
		reply_abort(c->request);
	else if (t->is_stale)
		change_refuse(c, message);
	else
		reply_err(c->request, e, NULL, message, e == ERR_UNAVAILABLE ? 1 : 0);
	wind_up(t);
}

static void on_cut(struct call *c)
{
	fail(c->state, ERR_UNAVAILABLE,
	     "the transfer was ended: the node is going away, "
	     "or its token was revoked");
}

/* ---- the jail's input */

static void put_frame(struct strbuf *b, struct slice piece)
{
	size_t n = piece.n;
	const char length[4] = {(char)n, (char)(n >> 8), (char)(n >> 16),
				(char)(n >> 24)};
	strbuf_add(b, length, sizeof length);
	strbuf_add_slice(b, piece);
}

/* The next piece of the body, when the one before is in the pipe. */
static void refill(struct transfer *t)
{
	struct request *r = t->call ? t->call->request : NULL;
	if (t->in.n || t->body_over || !r)
		return;
	size_t n = r->body.n < PIECE_BYTES ? r->body.n : PIECE_BYTES;
	if (n) {
		put_frame(&t->in, slice_of(r->body.p, n));
		body_eat(r, n);
	} else if (r->body_whole) {
		put_frame(&t->in, SLICE(""));
		t->body_over = true;
	}
}

static void pump_in(struct transfer *t)
{
	if (t->fd[0] < 0)
		return;
	for (refill(t); t->in.n; refill(t)) {
		ssize_t n = write(t->fd[0], t->in.p, t->in.n);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN) { /* it ended, and will say why */
			shut(t, 0);
			return;
		}
		if (n < 0)
			break;
		strbuf_eat(&t->in, (size_t)n);
	}
	if (!t->in.n && t->body_over)
		shut(t, 0);
	else
		loop_fd_set(t->watch[0], t->in.n ? LOOP_WRITE : 0);
}

static void on_writable(void *arg, int what)
{
	(void)what;
	pump_in(arg);
}

static void on_body(struct request *r)
{
	struct call *c = r->owner;
	pump_in(c->state);
}

/* ---- the jail's output */

static void on_room(struct request *r)
{
	struct call *c = r->owner;
	struct transfer *t = c->state;
	if (t->watch[1])
		loop_fd_set(t->watch[1], LOOP_READ);
}

static void add_file_fields(struct transfer *t, json_t head)
{
	struct request *r = t->call->request;
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	reply_field(r, "x-content-type-options", SLICE("nosniff"));
	struct slice at = json_str(json_get(head, "modifiedAt"));
	if (at.n && at.n < 40 && !slice_has_control(at))
		reply_field(r, "x-modified-at", at);
	strbuf_add_str(&b, "attachment; filename*=UTF-8''");
	for (size_t i = 0; i < t->name.n; i++) {
		unsigned char ch = (unsigned char)t->name.p[i];
		bool plain = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') ||
			     (ch >= '0' && ch <= '9') || ch == '.' || ch == '-' ||
			     ch == '_';
		if (plain)
			strbuf_add_char(&b, (char)ch);
		else
			strbuf_printf(&b, "%%%02X", ch);
	}
	reply_field(r, "content-disposition", strbuf_slice(&b));
}

/* From a jail, where a tenant's programs run: no more than a word of its kind. */
static void add_tag(struct request *r, struct slice tag)
{
	char text[64];
	for (size_t i = 0; i < tag.n; i++)
		if (!memchr("0123456789abcdef-", tag.p[i], 17))
			return;
	if (!tag.n || tag.n > sizeof text - 3)
		return;
	snprintf(text, sizeof text, "\"%.*s\"", SLICE_ARG(tag));
	reply_field(r, "etag", slice_str(text));
}

/* To be told when the jail has ended: what it had reserved of the workspace is free then,
 * so that who asks for less at once gets it. */
static void refuse(struct transfer *t, json_t head)
{
	t->refused = err_from_code(json_cstr(json_get(head, "error"), ""));
	if (!t->refused)
		t->refused = ERR_INTERNAL;
	t->is_stale = json_bool(json_get(head, "stale"), false);
	snprintf(t->why, sizeof t->why, "%s", json_cstr(json_get(head, "message"), ""));
	shut(t, 0);
	limit(t);
}

static bool begin_answer(struct transfer *t, json_t head)
{
	struct request *r = t->call->request;
	int64_t bytes = -1;
	json_i64(json_get(head, "bytes"), &bytes);
	if (t->answer == TRANSFER_FILE && bytes < 0)
		return false;
	reply_head(r, json_bool(json_get(head, "created"), false) ? 201 : 200);
	add_tag(r, json_str(json_get(head, "etag")));
	t->has_head = true;
	if (t->answer == TRANSFER_FILE) {
		add_file_fields(t, head);
		t->left = (uint64_t)bytes;
		reply_sized(r, t->type, t->left);
	} else {
		reply_stream(r, "application/json", SLICE_NONE);
	}
	return true;
}

static void end_answer(struct transfer *t)
{
	struct call *c = t->call;
	let_go(t);
	reply_stream_end(c->request);
	wind_up(t);
}

/* The first line; false: it is not whole, or it was a refusal. What follows it stays in
 * head. */
static bool take_head(struct transfer *t, struct slice piece)
{
	strbuf_add_slice(&t->head, piece);
	const char *end = memchr(t->head.p, '\n', t->head.n);
	if (!end && t->head.n < HEAD_MOST)
		return false;
	size_t n = end ? (size_t)(end - t->head.p) : 0;
	AUTO(auto_json_free)
	struct json_doc *d = json_parse(slice_of(t->head.p, n), HEAD_MOST, NULL, 0);
	json_t head = json_root(d);
	if (json_get(head, "error")) {
		refuse(t, head);
		return false;
	}
	if (!d || !begin_answer(t, head)) {
		fail(t, ERR_INTERNAL, "the jail of this transfer spoke nonsense");
		return false;
	}
	strbuf_eat(&t->head, n + 1);
	return true;
}

static void relay(struct transfer *t, struct slice piece)
{
	struct request *r = t->call->request;
	if (t->answer == TRANSFER_FILE) {
		if (piece.n > t->left)
			piece.n = (size_t)t->left;
		t->left -= piece.n;
	}
	reply_piece(r, piece);
	if (t->answer == TRANSFER_FILE && !t->left) {
		end_answer(t);
		return;
	}
	if (reply_unsent(r) > UNSENT_MOST) {
		loop_fd_set(t->watch[1], 0);
		r->on_room = on_room;
	}
}

static void on_output(void *arg, int what)
{
	static char scratch[PIECE_BYTES];
	struct transfer *t = arg;
	(void)what;
	ssize_t n = read(t->fd[1], scratch, sizeof scratch);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) { /* how it ended decides, see on_done */
		shut(t, 1);
		return;
	}
	struct slice piece = slice_of(scratch, (size_t)n);
	if (!t->call || t->refused)
		return;
	if (t->has_head) {
		relay(t, piece);
	} else if (take_head(t, piece)) {
		relay(t, strbuf_slice(&t->head));
		strbuf_fini(&t->head);
	}
}

static void on_errors(void *arg, int what)
{
	static char scratch[4096];
	struct transfer *t = arg;
	(void)what;
	ssize_t n = read(t->fd[2], scratch, sizeof scratch);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		shut(t, 2);
}

/* ---- from its start to its end */

static void on_pipes(struct jail_work *w, const int fds[3])
{
	static loop_fd_fn *const fns[] = {on_writable, on_output, on_errors};
	struct transfer *t = container_of(w, struct transfer, work);
	for (int i = 0; i < 3; i++) {
		t->fd[i] = fds[i];
		t->watch[i] = loop_fd_new(t->edge->loop, fds[i],
					  i ? LOOP_READ : LOOP_WRITE, fns[i], t);
	}
	if (!t->call) {
		wind_up(t);
		return;
	}
	if (!t->body_over) {
		t->call->request->on_body = on_body;
		body_start(t->call->request);
	}
}

/* What is in the pipe still counts: nothing follows it any more. */
static void drain(struct transfer *t)
{
	while (t->fd[1] >= 0 && t->call)
		on_output(t, LOOP_READ);
}

/* An answer without a length is whole when its jail came to its end by itself. */
static void conclude(struct transfer *t, enum err result)
{
	const struct wire_jail_closed *m = &t->work.closed;
	bool well = !result && m->end == JAIL_END_EXITED && m->number == 0;
	if (!t->call)
		return;
	if (t->refused)
		fail(t, t->refused, t->why);
	else if (t->has_head && t->answer == TRANSFER_JSON && well)
		end_answer(t);
	else if (m->end == JAIL_END_QUOTA || t->work.full)
		fail(t, ERR_QUOTA, t->work.message);
	else if (result == ERR_TOOL_FAILED || result == ERR_PEER_GONE)
		fail(t, ERR_UNAVAILABLE, "files cannot be reached at the moment");
	else if (m->end == JAIL_END_TIMED_OUT)
		fail(t, ERR_UNAVAILABLE, "the transfer took too long");
	else
		fail(t, ERR_INTERNAL, "the jail of this transfer ended early");
}

static void on_done(struct op *op, enum err result, void *arg)
{
	struct transfer *t = arg;
	(void)op;
	if (result && result != ERR_CANCELLED)
		log_warn("transfer-failed", "error=%s message=\"%s\"", err_code(result),
			 t->work.message);
	if (!result)
		drain(t);
	conclude(t, result);
	for (int i = 0; i < 3; i++)
		shut(t, i);
	link_files_done(t->edge, t->grant);
	transfer_uncount(t->edge, t->tenant);
	loop_reap(t->edge->loop, free_transfer, t);
}

void transfer_start(struct call *c, uint64_t grant, const struct transfer_order *o)
{
	struct transfer *t = xcalloc(1, sizeof *t);
	uint64_t length = c->request->head.content_length;
	bool sized = o->kind == JAIL_KIND_IN && !c->request->head.chunked;
	*t = (struct transfer){.edge = c->edge,
			       .call = c,
			       .tenant = c->caller.tenant,
			       .grant = grant,
			       .answer = o->answer,
			       .type = o->type,
			       .name = o->name,
			       .fd = {-1, -1, -1},
			       .body_over = o->kind == JAIL_KIND_OUT};
	strbuf_add_slice(&t->in, o->line);
	t->last = loop_timer_new(c->edge->loop, on_last, t);
	t->work.open =
		(struct wire_jail_open){.handle = grant,
					.kind = o->kind,
					.file_bytes = sized ? length + !length : 0};
	t->work.on_pipes = on_pipes;
	c->state = t;
	c->on_end = on_call_end;
	c->cut = on_cut;
	c->request->waits = o->kind == JAIL_KIND_OUT;
	op_init(&t->op, c->edge->loop, on_done, t);
	jails_start(c->edge->jails, &t->work, &t->op, 0);
}
