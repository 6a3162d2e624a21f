/* SPDX-License-Identifier: Apache-2.0
 * POST /v1/approvals/{id}: a person's answer to what a run asks. Looked up first, so that
 * nobody learns of another tenant's; then one question to the supervisor, which commits
 * it. POST /v1/runs/{run}/approve: the same, of the one thing that the run asks, or of
 * the one that the body names. */
#include <string.h>

#include "common/json.h"
#include "edge/call.h"
#include "edge/decide.h"
#include "edge/link.h"
#include "edge/question.h"
#include "edge/reply.h"
#include "edge/run_json.h"
#include "edge/store.h"

#define BODY_MAX (16u << 10)

enum stage { DECIDE_START, DECIDE_FIND, DECIDE_READ, DECIDE_SENT };

struct deciding {
	struct question q;
	struct uuid id; /* nil: not known yet */
	bool by_run;    /* it is a run's approve, of this one */
	struct uuid run;
	struct run_row run_row;
	unsigned decision; /* enum decision */
	struct slice message;
	struct approval_row row;
};

/* ---- the body */

static bool take_member(struct call *c, struct deciding *x, struct slice key, json_t v)
{
	struct arena *a = c->request->arena;
	struct slice text = json_str(v);
	if (slice_is(key, "decision")) {
		x->decision = text.p ? decision_from_word(text) : 0;
		return x->decision ||
		       reply_wrong(c->request, "decision",
				   "decision must be approve, always or deny");
	}
	if (slice_is(key, "message")) {
		if (!text.p || text.n > LIMIT_DENIAL || memchr(text.p, 0, text.n))
			return reply_wrong(c->request, "message",
					   "message must be a text of at most 2000 bytes "
					   "without U+0000");
		x->message = arena_slice(a, text);
		return true;
	}
	if (x->by_run && slice_is(key, "approvalId"))
		return uuid_parse(text, &x->id) ||
		       reply_wrong(c->request, "approvalId",
				   "approvalId must be the id of an approval");
	const char *name = arena_strndup(a, key.p, key.n < 63 ? key.n : 63);
	return reply_wrong(c->request, name,
			   arena_printf(a, "there is no member \"%s\" here", name));
}

static bool read_body(struct call *c, struct deciding *x)
{
	char why[160];
	struct slice key, body = slice_trim(strbuf_slice(&c->request->body));
	AUTO(auto_json_free)
	struct json_doc *doc = json_parse_unique(body, BODY_MAX, why, sizeof why);
	if (!doc)
		return reply_wrong(c->request, NULL,
				   arena_printf(c->request->arena,
						"the body must be a JSON object: %s",
						why));
	if (json_kind(json_root(doc)) != JSON_OBJECT)
		return reply_wrong(c->request, NULL, "the body must be a JSON object");
	struct json_iter it = json_iter(json_root(doc));
	for (json_t v; (v = json_next(&it, &key));)
		if (!take_member(c, x, key, v))
			return false;
	if (!x->decision)
		return reply_wrong(c->request, "decision",
				   "decision must be approve, always or deny");
	if (x->message.n && x->decision != DECISION_DENY)
		return reply_wrong(c->request, "message",
				   "message goes with decision deny alone");
	return true;
}

/* ---- the question */

static void send_decision(struct call *c, struct deciding *x)
{
	char by[CALL_ACTOR];
	call_actor(c, by);
	struct wire_decide m = {.req = c->handle,
				.tenant = c->caller.tenant,
				.run = x->row.run,
				.session = x->row.session,
				.approval = x->id,
				.decision = x->decision,
				.message = x->message.p ? x->message : SLICE(""),
				.by = slice_str(by)};
	c->stage = DECIDE_SENT;
	c->on_decided = decide_answered;
	question_asked(c, link_decide(c->edge, &m));
}

static void not_found(struct call *c)
{
	reply_err(c->request, ERR_NOT_FOUND, NULL, "there is no such approval", 0);
}

static void begin(struct call *c)
{
	struct deciding *x = arena_zalloc(c->request->arena, sizeof *x);
	c->state = x;
	if (!uuid_parse(c->match.params[0], &x->id)) {
		not_found(c);
		return;
	}
	if (!read_body(c, x))
		return;
	c->stage = DECIDE_READ;
	store_get_approval(c, x->id, &x->row);
}

/* ---- answers */

void decide_answered(struct call *c, const struct wire_decided *m)
{
	question_answered(c, m->error, m->message);
}

static void take_answer(struct call *c, const struct deciding *x)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	if (x->q.error) {
		reply_err(c->request, x->q.error, NULL, x->q.message, 0);
		return;
	}
	json_obj(&o);
	run_put_id(&o, "id", x->id);
	run_put_id(&o, "runId", x->row.run);
	json_kv_cstr(&o, "state", decision_state(x->decision));
	json_obj_end(&o);
	strbuf_add_char(&b, '\n');
	reply_head(c->request, 200);
	reply_body(c->request, "application/json", strbuf_slice(&b));
}

bool decide_may(const struct call *c, const struct approval_row *row)
{
	return !row->builder || call_has_scope(c, SCOPE_WRITE);
}

/* From what was read on. */
static void go_on(struct call *c, struct deciding *x)
{
	bool other = x->by_run && !uuid_eq(x->row.run, x->run);
	if (c->stage == DECIDE_READ && c->asked)
		reply_err(c->request, c->asked, NULL, NULL, 0);
	else if (c->stage == DECIDE_READ && (!x->row.found || other))
		not_found(c);
	else if (c->stage == DECIDE_READ && !decide_may(c, &x->row))
		reply_err(c->request, ERR_FORBIDDEN, NULL, DECIDE_MAY_NOT, 0);
	else if (c->stage == DECIDE_READ)
		send_decision(c, x);
	else if (x->q.known)
		take_answer(c, x);
	else if (x->q.silent)
		reply_err(c->request, ERR_UNAVAILABLE, NULL,
			  "the queue does not answer: whether this was stored is not "
			  "known, ask again",
			  1);
}

void approval_decide(struct call *c)
{
	if (c->asking)
		return;
	if (c->stage == DECIDE_START)
		begin(c);
	else
		go_on(c, c->state);
}

/* ---- of a run */

static void begin_of_run(struct call *c)
{
	struct deciding *x = arena_zalloc(c->request->arena, sizeof *x);
	c->state = x;
	x->by_run = true;
	if (!call_run_id(c, 0, &x->run) || !read_body(c, x))
		return;
	c->stage = uuid_is_nil(x->id) ? DECIDE_FIND : DECIDE_READ;
	if (c->stage == DECIDE_READ)
		store_get_approval(c, x->id, &x->row);
	else
		store_get_run(c, x->run, &x->run_row);
}

/* What the run asks and nobody answered. */
static void find_one(struct call *c, struct deciding *x)
{
	struct request *r = c->request;
	struct slice waits = x->run_row.approvals;
	AUTO(auto_json_free)
	struct json_doc *d = waits.n ? json_parse(waits, waits.n, NULL, 0) : NULL;
	size_t count = json_len(json_root(d));
	if (c->asked)
		reply_err(r, c->asked, NULL, NULL, 0);
	else if (!x->run_row.found)
		reply_err(r, ERR_NOT_FOUND, NULL, "there is no such run", 0);
	else if (!count)
		reply_err(r, ERR_CONFLICT, NULL,
			  "the run asks nothing that waits for an answer", 0);
	else if (count > 1)
		reply_wrong(r, "approvalId",
			    arena_printf(r->arena,
					 "the run asks %zu things: approvalId must say "
					 "which of them is meant",
					 count));
	else {
		uuid_parse(json_str(json_get(json_at(json_root(d), 0), "id")), &x->id);
		c->stage = DECIDE_READ;
		store_get_approval(c, x->id, &x->row);
	}
}

void run_approve(struct call *c)
{
	if (c->asking)
		return;
	if (c->stage == DECIDE_START)
		begin_of_run(c);
	else if (c->stage == DECIDE_FIND)
		find_one(c, c->state);
	else
		go_on(c, c->state);
}
