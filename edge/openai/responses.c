/* SPDX-License-Identifier: Apache-2.0
 * POST /v1/responses, GET and DELETE /v1/responses/{id}, POST
 * /v1/responses/{id}/cancel. */
#include "edge/cancel.h"
#include "edge/openai/exchange.h"
#include "edge/openai/names.h"
#include "edge/openai/refusal.h"
#include "edge/openai/store.h"
#include "edge/query.h"
#include "edge/reply.h"

static const struct exchange_api api = {.read = ask_read_responses,
					.form = &answer_responses,
					.list = "input",
					.tells_usage = true};

void openai_responses(struct call *c)
{
	exchange_step(c, &api);
}

/* ---- one that is there */

enum stage { LOOK_START, LOOK_CANCEL, LOOK_ASKED, LOOK_DELETED };

struct look {
	struct cancelling cancelling; /* first: see run_cancel.c */
	struct uuid run;
	struct run_row row;
	enum response_delete deleted;
};

static bool absent(struct call *c)
{
	refuse(c, 404, NULL, "response_id", "there is no such response");
	return false;
}

/* Followed from its first event it shows its end at once. */
static void show(struct call *c, const struct look *l)
{
	const struct run_row *row = &l->row;
	struct openai_answer a;
	if (row->ended) {
		exchange_show(c, &api, l->run, row->accepted_us);
		return;
	}
	answer_init(&a, &answer_responses, c->request->arena);
	a.run = l->run;
	a.created_us = row->accepted_us;
	a.begun = row->started_us != 0;
	a.form->whole(&a);
	reply_head(c->request, 200);
	reply_body(c->request, "application/json", strbuf_slice(&a.out));
	answer_fini(&a);
}

static void take_row(struct call *c, const struct look *l)
{
	if (c->asking)
		return;
	if (c->asked)
		reply_err(c->request, c->asked, NULL, NULL, 0);
	else if (l->row.found && !l->row.response_deleted)
		show(c, l);
	else
		absent(c);
}

static struct look *begin(struct call *c)
{
	struct look *l = arena_zalloc(c->request->arena, sizeof *l);
	c->state = l;
	if (!name_run(c->match.params[0], NAME_RESPONSE, &l->run)) {
		absent(c);
		return NULL;
	}
	return l;
}

static void ask(struct call *c, struct look *l)
{
	c->stage = LOOK_ASKED;
	store_get_run(c, l->run, &l->row);
}

static bool take_include(struct call *c, struct slice v)
{
	(void)c;
	(void)v;
	return true;
}

static bool take_stream(struct call *c, struct slice v)
{
	return slice_is(v, "false") ||
	       reply_wrong(c->request, "stream",
			   "a response is not streamed again: GET /v1/runs/{id}/events "
			   "follows its run");
}

void openai_response_get(struct call *c)
{
	static const struct query_param params[] = {{"include", take_include},
						    {"stream", take_stream}};
	struct look *l;
	if (c->follow) {
		exchange_step(c, &api);
		return;
	}
	if (c->stage == LOOK_ASKED) {
		take_row(c, c->state);
	} else if (query_read(c, params, ARRAY_LEN(params)) && call_may_wait(c) &&
		   (l = begin(c))) {
		ask(c, l);
	}
}

/* Its answer is there, or will not come. */
static void let_go(struct call *c, struct look *l)
{
	loop_timer_free(l->cancelling.q.patience);
	l->cancelling.q.patience = NULL;
	c->on_end = NULL;
}

/* One that has ended is shown as it is. */
void openai_response_cancel(struct call *c)
{
	struct look *l = c->state;
	if (c->follow) {
		exchange_step(c, &api);
		return;
	}
	if (c->stage == LOOK_START) {
		if (!call_may_wait(c) || !(l = begin(c)))
			return;
		c->stage = LOOK_CANCEL;
		cancel_send(c, &l->cancelling, l->run);
	} else if (c->stage == LOOK_CANCEL) {
		enum err e = l->cancelling.q.error;
		if (!l->cancelling.q.known && !l->cancelling.q.silent)
			return;
		let_go(c, l);
		if (l->cancelling.q.known && e == ERR_NOT_FOUND)
			absent(c);
		else if (l->cancelling.q.known && e && e != ERR_CONFLICT)
			reply_err(c->request, e, NULL, l->cancelling.q.message, 0);
		else
			ask(c, l);
	} else {
		take_row(c, l);
	}
}

static void reply_deleted(struct call *c, const struct look *l)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	char id[NAME_BYTES];
	name_format(NAME_RESPONSE, l->run, 0, id);
	json_obj(&o);
	json_kv_cstr(&o, "id", id);
	json_kv_cstr(&o, "object", "response");
	json_kv_bool(&o, "deleted", true);
	json_obj_end(&o);
	reply_head(c->request, 200);
	reply_body(c->request, "application/json", strbuf_slice(&b));
}

void openai_response_delete(struct call *c)
{
	struct look *l = c->state;
	if (c->asking)
		return;
	if (c->stage == LOOK_START) {
		if (!(l = begin(c)))
			return;
		c->stage = LOOK_DELETED;
		store_delete_response(c, l->run, &l->deleted);
	} else if (c->asked) {
		reply_err(c->request, c->asked, NULL, NULL, 0);
	} else if (l->deleted == RESPONSE_DELETED) {
		reply_deleted(c, l);
	} else if (l->deleted == RESPONSE_LIVE) {
		refuse(c, 409, NULL, "response_id",
		       "the response is not there yet: cancel it, and delete it then");
	} else {
		absent(c);
	}
}
