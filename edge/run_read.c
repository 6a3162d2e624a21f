/* SPDX-License-Identifier: Apache-2.0
 * GET /v1/runs/{id}, its /wait and its /events. */
#include "common/json.h"
#include "edge/call.h"
#include "edge/link.h"
#include "edge/reply.h"
#include "edge/run_json.h"
#include "edge/store.h"
#include "edge/stream.h"

#define WAIT_DEFAULT_MS 30000
#define WAIT_MAX_MS 600000
/* Between two looks when the supervisor does not know a run that Postgres holds. */
#define RETRY_US 250000
/* A run taken into another that was taken into another ... */
#define MERGES_MAX 32

enum stage {
	READ_START,
	READ_ASKED, /* Postgres */
	READ_SUBSCRIBED
};

struct reading {
	struct uuid run, first; /* first: as asked for; run: where merges led */
	struct run_row row;
	struct sub sub;
	struct loop_timer *timer; /* of the retry, or the end of the wait */
	int64_t until_us;
	unsigned merges;
	bool timed_out;
	bool unknown; /* the supervisor did not know the run */
};

static void reply_json(struct call *c, struct strbuf *b)
{
	strbuf_add_char(b, '\n');
	reply_head(c->request, 200);
	reply_body(c->request, "application/json", strbuf_slice(b));
}

/* ---- GET /v1/runs/{id} */

static struct reading *begin(struct call *c)
{
	struct reading *r = arena_zalloc(c->request->arena, sizeof *r);
	c->state = r;
	if (!call_run_id(c, 0, &r->run))
		return NULL;
	r->first = r->run;
	return r;
}

static void ask(struct call *c, struct reading *r)
{
	c->stage = READ_ASKED;
	store_get_run(c, r->run, &r->row);
}

/* true: the row is there; else answered. */
static bool have_row(struct call *c, const struct reading *r)
{
	if (c->asked)
		reply_err(c->request, c->asked, NULL, NULL, 0);
	else if (!r->row.found)
		reply_err(c->request, ERR_NOT_FOUND, NULL, "there is no such run", 0);
	return !c->asked && r->row.found;
}

void run_get(struct call *c)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	struct reading *r = c->state ? c->state : begin(c);
	if (!r || c->asking)
		return;
	if (c->stage == READ_START) {
		ask(c, r);
		return;
	}
	if (!have_row(c, r))
		return;
	json_obj(&o);
	run_put(&o, r->run, &r->row);
	json_obj_end(&o);
	reply_json(c, &b);
}

/* ---- GET /v1/runs/{id}/wait */

static void on_wait_end(struct call *c)
{
	struct reading *r = c->state;
	sub_close(&r->sub);
	loop_timer_free(r->timer);
}

static void reply_wait(struct call *c, const char *status, const struct run_row *row)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	const struct reading *r = c->state;
	json_obj(&o);
	run_put_id(&o, "runId", r->first);
	json_kv_cstr(&o, "status", status);
	if (r->merges)
		run_put_id(&o, "mergedInto", r->run);
	if (row) {
		run_put_time(&o, "startedAt", row->started_us);
		run_put_time(&o, "endedAt", row->ended_us);
		run_put_outcome(&o, row);
	}
	json_obj_end(&o);
	reply_json(c, &b);
}

static void cut_wait(struct call *c)
{
	reply_wait(c, "timeout", NULL);
}

static void on_wait_timer(void *arg)
{
	struct call *c = arg;
	struct reading *r = c->state;
	r->timed_out = loop_now_us(c->edge->loop) >= r->until_us;
	call_wake(c);
}

static void start_timer(struct call *c, struct reading *r, int64_t at_most_us)
{
	int64_t left = r->until_us - loop_now_us(c->edge->loop);
	left = left < 0 ? 0 : left;
	loop_timer_start(r->timer, left < at_most_us ? left : at_most_us);
}

static void on_wait_state(struct sub *s, enum sub_state state)
{
	struct reading *r = s->call->state;
	r->unknown = state != SUB_LIVE;
	if (r->unknown)
		call_wake(s->call);
}

static void on_wait_sub_end(struct sub *s, const struct wire_sub_end *end)
{
	(void)end;
	call_wake(s->call);
}

/* A run that lives in Postgres alone is on its way in or out: a pause, then another
 * look. */
static void subscribe(struct call *c, struct reading *r)
{
	struct sse_place nowhere = {0};
	c->stage = READ_SUBSCRIBED;
	if (r->unknown) {
		r->unknown = false;
		start_timer(c, r, RETRY_US);
		return;
	}
	start_timer(c, r, WAIT_MAX_MS * 1000LL);
	sub_open(&r->sub, c, r->run, &nowhere, SUB_ONLY_END);
}

static bool begin_wait(struct call *c)
{
	struct reading *r = begin(c);
	long long ms = WAIT_DEFAULT_MS;
	struct slice text = http_query(&c->request->head, "timeoutMs", c->request->arena);
	if (!r)
		return false;
	if (text.p && (!slice_to_i64(text, &ms) || ms < 0 || ms > WAIT_MAX_MS)) {
		reply_err(c->request, ERR_BAD_REQUEST, "timeoutMs",
			  "timeoutMs must be an integer from 0 to 600000", 0);
		return false;
	}
	if (!call_may_wait(c))
		return false;
	r->until_us = loop_now_us(c->edge->loop) + ms * 1000;
	r->sub.on_state = on_wait_state;
	r->sub.on_end = on_wait_sub_end;
	r->timer = loop_timer_new(c->edge->loop, on_wait_timer, c);
	c->on_end = on_wait_end;
	c->cut = cut_wait;
	ask(c, r);
	return true;
}

/* Postgres answered. */
static void take_row(struct call *c, struct reading *r)
{
	if (!have_row(c, r))
		return;
	if (!r->row.ended) {
		if (r->timed_out || loop_now_us(c->edge->loop) >= r->until_us)
			reply_wait(c, "timeout", NULL);
		else
			subscribe(c, r);
		return;
	}
	if (slice_is(r->row.state, "superseded") && r->merges < MERGES_MAX) {
		r->merges++;
		r->run = r->row.merged_into;
		ask(c, r);
		return;
	}
	reply_wait(c, result_wait_word(result_from_word(r->row.state)), &r->row);
}

void run_wait(struct call *c)
{
	struct reading *r = c->state;
	if (c->asking)
		return;
	if (c->stage == READ_START) {
		begin_wait(c);
	} else if (c->stage == READ_ASKED) {
		take_row(c, r);
	} else if (r->timed_out) {
		reply_wait(c, "timeout", NULL);
	} else if (!r->sub.handle) {
		ask(c, r);
	} else if (!loop_timer_is_running(r->timer)) {
		/* It fired a moment before its time: the loop's clock is that of the
		 * turn's start, the timer's is not. */
		start_timer(c, r, WAIT_MAX_MS * 1000LL);
	}
}

/* ---- GET /v1/runs/{id}/events */

static bool read_place(struct call *c, struct sse_place *place)
{
	struct slice id = http_field(&c->request->head, "last-event-id");
	*place = (struct sse_place){0};
	if (!id.p)
		id = http_query(&c->request->head, "lastEventId", c->request->arena);
	if (!id.p || id.n == 0 || sse_parse_id(id, place))
		return true;
	reply_err(c->request, ERR_BAD_REQUEST, "Last-Event-ID",
		  "Last-Event-ID must be an id of this stream, such as 7 or 2.120", 0);
	return false;
}

/* By a stream token of a session: of which one the run is, Postgres knows. */
static bool is_of_session(struct call *c, struct uuid run)
{
	struct reading *r = c->state;
	if (uuid_is_nil(c->caller.session))
		return true;
	if (c->stage == READ_START) {
		c->state = r = arena_zalloc(c->request->arena, sizeof *r);
		r->run = run;
		ask(c, r);
		return false;
	}
	if (c->asking || !have_row(c, r))
		return false;
	if (uuid_eq(r->row.session, c->caller.session))
		return true;
	reply_err(c->request, ERR_NOT_FOUND, NULL, "there is no such run", 0);
	return false;
}

void run_events(struct call *c)
{
	struct uuid run;
	struct sse_place place;
	if (c->follow) {
		follow_step(c->follow);
		return;
	}
	if (!call_run_id(c, 0, &run) || !read_place(c, &place) ||
	    !is_of_session(c, run) || !call_may_wait(c))
		return;
	follow_ask(follow_new(c, run, &place, &stream_sink));
}
