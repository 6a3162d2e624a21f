/* SPDX-License-Identifier: Apache-2.0
 * Step by step. */
#include "edge/openai/exchange.h"

#include "common/clock.h"
#include "common/crypto.h"
#include "edge/openai/refusal.h"
#include "edge/openai/store.h"
#include "edge/reply.h"

enum stage {
	EXCHANGE_READ,
	EXCHANGE_PREVIOUS, /* a run whose session goes on is asked for */
	EXCHANGE_TARGET,
	EXCHANGE_HISTORY,
	EXCHANGE_PLACE,
	EXCHANGE_FOLLOW,
	EXCHANGE_CALLS, /* the run ended: calls that are too long for events are asked for
			 */
	EXCHANGE_USAGE, /* and what it used */
	EXCHANGE_OVER
};

static struct exchange *exchange_of(struct call *c)
{
	return c->state;
}

static void gone(struct call *c)
{
	struct exchange *x = exchange_of(c);
	ask_fini(&x->ask);
	history_fini(&x->earlier);
	answer_fini(&x->answer);
}

/* ---- the answer */

static void flush(struct call *c)
{
	struct openai_answer *a = &exchange_of(c)->answer;
	reply_piece(c->request, strbuf_slice(&a->out));
	strbuf_reset(&a->out);
	strbuf_shrink(&a->out, 4096);
}

static void put_run_fields(struct call *c)
{
	char run[UUID_TEXT_LEN + 1];
	uuid_format(exchange_of(c)->answer.run, run);
	reply_field(c->request, "x-run-id", slice_str(run));
	if (exchange_of(c)->placing.repeated)
		reply_field(c->request, "idempotent-replayed", SLICE("true"));
}

static void reply_whole(struct call *c)
{
	struct openai_answer *a = &exchange_of(c)->answer;
	reply_head(c->request, 200);
	put_run_fields(c);
	reply_body(c->request, "application/json", strbuf_slice(&a->out));
}

static void finish(struct call *c)
{
	struct exchange *x = exchange_of(c);
	struct openai_answer *a = &x->answer;
	bool failed = a->end == ANSWER_FAILED || a->end == ANSWER_CANCELLED;
	c->stage = EXCHANGE_OVER;
	if (!a->streams && failed && x->placed) {
		refuse_outcome(c, a);
		return;
	}
	answer_finish(a);
	if (!a->streams) {
		reply_whole(c);
		return;
	}
	flush(c);
	reply_stream_end(c->request);
}

/* The answer cannot go on, its run may. */
static void give_up(struct call *c, const char *code, const char *message)
{
	struct openai_answer *a = &exchange_of(c)->answer;
	bool streaming = a->streams && follow_is_open(c->follow);
	c->stage = EXCHANGE_OVER;
	answer_break(a, code, message);
	if (!streaming) {
		refuse_outcome(c, a);
		return;
	}
	flush(c);
	reply_stream_end(c->request);
}

/* ---- the run's events */

static void on_open(struct call *c)
{
	struct exchange *x = exchange_of(c);
	struct openai_answer *a = &x->answer;
	if (x->placed) {
		a->run = x->followed = x->placing.run;
		a->created_us = clock_real_us();
	}
	answer_begin(a);
	if (!a->streams)
		return;
	reply_head(c->request, 200);
	put_run_fields(c);
	reply_stream(c->request, "text/event-stream", SLICE(": keep-alive\n\n"));
	flush(c);
}

static void on_event(struct call *c, const struct sse_item *item)
{
	struct openai_answer *a = &exchange_of(c)->answer;
	if (a->end)
		return;
	answer_event(a, item);
	if (a->streams && a->out.n)
		flush(c);
	if (a->end == ANSWER_BROKEN) /* the answer ends outside of the follower */
		call_wake(c);
}

static void follow_merged(struct call *c);

static void ask_usage(struct call *c, struct exchange *x)
{
	struct openai_answer *a = &x->answer;
	if (a->streams && !a->wants_usage && !x->api->tells_usage) {
		finish(c);
		return;
	}
	c->stage = EXCHANGE_USAGE;
	store_run_usage(c, x->followed, &a->usage);
}

static void on_end(struct call *c)
{
	struct exchange *x = exchange_of(c);
	struct openai_answer *a = &x->answer;
	if (c->stage == EXCHANGE_OVER || a->end == ANSWER_BROKEN)
		return;
	if (a->end == ANSWER_MERGED) {
		follow_merged(c);
		return;
	}
	if (!a->end) { /* its last event is not there any more */
		a->end = ANSWER_FAILED;
		a->code = SLICE("internal");
	}
	if (answer_has_cut(a)) {
		c->stage = EXCHANGE_CALLS;
		store_get_run(c, x->followed, &x->row);
		return;
	}
	ask_usage(c, x);
}

static void on_cut(struct call *c)
{
	struct openai_answer *a = &exchange_of(c)->answer;
	char run[UUID_TEXT_LEN + 1];
	if (c->stage == EXCHANGE_OVER)
		return;
	if (c->stage == EXCHANGE_USAGE) {
		finish(c);
		return;
	}
	uuid_format(a->run, run);
	give_up(c, "draining",
		arena_printf(c->request->arena,
			     "the connection ends here; the run %s goes on: GET "
			     "/v1/runs/%s/wait has its result",
			     run, run));
}

static const struct follow_sink sink = {
	.open = on_open, .event = on_event, .end = on_end, .cut = on_cut, .gone = gone};

/* Its message went into another run, which answers it. */
static void follow_merged(struct call *c)
{
	struct exchange *x = exchange_of(c);
	struct sse_place start = {0};
	x->answer.end = ANSWER_OPEN;
	x->followed = x->answer.merged;
	follow_new(c, x->followed, &start, &sink);
	follow_ask(c->follow);
}

/* ---- reading */

static void refuse_fault(struct call *c, const struct ask_fault *f)
{
	struct arena *a = c->request->arena;
	refuse(c, f->status, f->code, f->param[0] ? arena_strdup(a, f->param) : NULL,
	       f->message);
}

static bool read_session_key(struct call *c, struct slice *key)
{
	static const char own[] = "x-terabits-session-key",
			  other[] = "x-openclaw-session-key";
	const char *said = http_field(&c->request->head, own).p ? own : other;
	struct order_fault fault;
	*key = http_field_either(&c->request->head, own, other);
	return !key->p || order_check_session(*key, &fault) ||
	       reply_wrong(
		       c->request, said,
		       arena_printf(c->request->arena, "%s: %s", said, fault.message));
}

static bool read_idem_key(struct call *c, struct slice *key)
{
	struct order_fault fault;
	*key = http_field(&c->request->head, "idempotency-key");
	return !key->p || order_check_key(*key, &fault) ||
	       reply_wrong(c->request, "Idempotency-Key",
			   arena_strdup(c->request->arena, fault.message));
}

static bool read_cancels(struct call *c, bool *cancels)
{
	static const char name[] = "x-terabits-cancel-on-disconnect";
	struct slice v = http_field(&c->request->head, name);
	*cancels = slice_is(v, "true");
	return !v.p || *cancels || slice_is(v, "false") ||
	       reply_wrong(c->request, name,
			   "x-terabits-cancel-on-disconnect must be true or false");
}

/* Of a call that belongs to no conversation. */
static struct slice fresh_key(struct arena *a, struct slice idem_key)
{
	uint8_t hash[32];
	struct uuid id = uuid7_new();
	char text[UUID_TEXT_LEN + 1];
	if (idem_key.p) {
		crypto_sha256(idem_key, hash);
		memcpy(id.b, hash, sizeof id.b);
	}
	uuid_format(id, text);
	return slice_str(arena_printf(a, "openai-call:%s", text));
}

static struct slice key_in_force(struct call *c, const struct exchange *x,
				 struct slice named)
{
	const struct ask *ask = &x->ask;
	struct arena *a = c->request->arena;
	if (named.p)
		return named;
	if (ask->conversation.p)
		return slice_str(arena_printf(a, "openai:conversation:%.*s",
					      SLICE_ARG(ask->conversation)));
	if (ask->user.p)
		return slice_str(arena_printf(a, "openai:%.*s", SLICE_ARG(ask->user)));
	return fresh_key(a, x->placing.idem_key);
}

static bool read_headers(struct call *c, struct exchange *x, struct slice *key)
{
	return read_session_key(c, key) && read_idem_key(c, &x->placing.idem_key) &&
	       read_cancels(c, &x->placing.cancels);
}

static bool read_ask(struct call *c, struct exchange *x, bool stable)
{
	struct ask_fault fault = {0};
	struct arena *a = c->request->arena;
	struct slice model = http_field_either(&c->request->head, "x-terabits-model",
					       "x-openclaw-model");
	bool fine =
		x->api->read(&x->ask, a, strbuf_slice(&c->request->body), stable,
			     &fault) &&
		(!model.p || ask_set_model(&x->ask, model, &fault)) &&
		ask_compose(&x->ask, x->api->list, &x->placing.order.content, &fault) &&
		ask_history(&x->ask, x->api->list, clock_real_us(), &x->earlier.parts,
			    &x->earlier.count, &fault);
	strbuf_fini(&c->request->body);
	talk_fini(&x->ask.talk);
	if (!fine)
		refuse_fault(c, &fault);
	return fine;
}

static void take_agent(struct call *c, struct exchange *x)
{
	struct slice named = http_field_either(&c->request->head, "x-terabits-agent",
					       "x-openclaw-agent-id");
	x->target.name = named.p ? named : x->ask.model;
	x->target.word = ask_agent_of(x->target.name);
}

static void take_order(struct call *c, struct exchange *x, struct slice key)
{
	struct order *o = &x->placing.order;
	struct openai_answer *a = &x->answer;
	o->session_key = key_in_force(c, x, key);
	o->user = x->ask.user.n ? x->ask.user : c->caller.user;
	o->mode = MODE_FOLLOWUP; /* each request has its own answer */
	x->placing.sink = x->ask.background ? NULL : &sink;
	x->placing.cancels &= !x->ask.background;
	x->earlier.idem_key = x->placing.idem_key;
	x->earlier.session_key = o->session_key;
	x->earlier.user = o->user;
	a->model = x->ask.model;
	a->streams = x->ask.stream;
	a->wants_usage = x->ask.usage;
	a->background = x->ask.background;
	a->previous = x->ask.previous;
}

static bool begin(struct call *c, const struct exchange_api *api)
{
	struct exchange *x = arena_zalloc(c->request->arena, sizeof *x);
	struct slice key;
	c->state = x;
	c->on_end = gone;
	x->api = api;
	x->placed = true;
	x->sending = &x->earlier;
	answer_init(&x->answer, api->form, c->request->arena);
	if (!read_headers(c, x, &key) || !read_ask(c, x, key.p != NULL))
		return false;
	take_agent(c, x);
	take_order(c, x, key);
	c->stage = EXCHANGE_TARGET;
	if (!uuid_is_nil(x->ask.previous)) {
		c->stage = EXCHANGE_PREVIOUS;
		store_get_run(c, x->ask.previous, &x->row);
	}
	return x->ask.background || call_may_wait(c);
}

/* ---- on the way */

static bool take_previous(struct call *c, struct exchange *x)
{
	const struct run_row *row = &x->row;
	char agent[UUID_TEXT_LEN + 1];
	if (c->asking)
		return false;
	if (c->asked) {
		reply_err(c->request, c->asked, NULL, NULL, 0);
		return false;
	}
	if (!row->found || row->response_deleted || !row->session_key.n) {
		refuse(c, 404, "previous_response_not_found", "previous_response_id",
		       "there is no such response, or it or its session was deleted");
		return false;
	}
	uuid_format(row->agent, agent);
	x->target.word = arena_slice(c->request->arena, slice_str(agent));
	x->placing.order.session_key = row->session_key;
	x->placing.goes_on = row->session;
	c->stage = EXCHANGE_TARGET;
	return true;
}

static bool find_target(struct call *c, struct exchange *x)
{
	if (!target_find(c, &x->target))
		return false;
	x->placing.agent = slice_str(x->target.agent.name);
	x->earlier.agent = &x->target.agent;
	c->stage = EXCHANGE_HISTORY;
	return true;
}

static void reply_queued(struct call *c)
{
	struct exchange *x = exchange_of(c);
	struct openai_answer *a = &x->answer;
	a->run = x->placing.run;
	a->created_us = x->placing.accepted_us;
	c->stage = EXCHANGE_OVER;
	a->form->whole(a);
	reply_whole(c);
}

static void place(struct call *c, struct exchange *x)
{
	if (placing_step(c, &x->placing) != PLACING_DONE)
		return;
	if (x->ask.background)
		reply_queued(c);
	else if (c->stage == EXCHANGE_PLACE)
		c->stage = EXCHANGE_FOLLOW;
}

static void take_calls(struct call *c, struct exchange *x)
{
	if (!c->asked && answer_take_calls(&x->answer, x->row.pending_calls)) {
		ask_usage(c, x);
		return;
	}
	give_up(c, "unavailable",
		"the arguments of the client's calls could not be read: GET "
		"/v1/runs/{id} "
		"has them as pendingToolCalls");
}

static void go_on(struct call *c, struct exchange *x)
{
	if (c->stage == EXCHANGE_PREVIOUS && !take_previous(c, x))
		return;
	if (c->stage == EXCHANGE_TARGET && !find_target(c, x))
		return;
	if (c->stage == EXCHANGE_HISTORY) {
		if (!history_place(c, &x->earlier))
			return;
		c->stage = EXCHANGE_PLACE;
	}
	if (c->stage == EXCHANGE_PLACE)
		place(c, x);
	else if (c->stage == EXCHANGE_FOLLOW)
		follow_step(c->follow);
	else if (c->stage == EXCHANGE_CALLS && !c->asking)
		take_calls(c, x);
	else if (c->stage == EXCHANGE_USAGE && !c->asking)
		finish(c);
}

void exchange_step(struct call *c, const struct exchange_api *api)
{
	struct exchange *x = exchange_of(c);
	if (c->stage == EXCHANGE_READ && !x) {
		if (!begin(c, api))
			return;
		x = exchange_of(c);
	}
	if (x->answer.end == ANSWER_BROKEN && c->stage != EXCHANGE_OVER) {
		c->stage = EXCHANGE_OVER;
		reply_stream_end(c->request);
		return;
	}
	go_on(c, x);
}

void exchange_show(struct call *c, const struct exchange_api *api, struct uuid run,
		   int64_t created_us)
{
	struct exchange *x = arena_zalloc(c->request->arena, sizeof *x);
	struct sse_place start = {0};
	c->state = x;
	x->api = api;
	x->followed = run;
	answer_init(&x->answer, api->form, c->request->arena);
	x->answer.run = run;
	x->answer.created_us = created_us;
	c->stage = EXCHANGE_FOLLOW;
	follow_new(c, run, &start, &sink);
	follow_ask(c->follow);
}
