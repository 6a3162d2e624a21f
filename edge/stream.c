/* SPDX-License-Identifier: Apache-2.0
 * Following a run: live, by replay, and the seam between the two. */
#include "edge/stream.h"

#include "common/json.h"
#include "edge/reply.h"
#include "edge/store.h"

#define REPLAY_ARENA_MAX (64u << 20)
/* Between two tries when the supervisor and Postgres disagree about a run. */
#define RETRY_US 250000
#define HEARTBEAT SLICE(": hb\n\n")

enum stream_stage {
	STREAM_ASKING, /* SUBSCRIBE or ENQUEUE is on its way */
	STREAM_LIVE,
	STREAM_REPLAY, /* a page is to be asked for */
	STREAM_PAGE,   /* a page was asked for */
	STREAM_ROOM,   /* the output has to drain first */
	STREAM_PAUSE,  /* before asking again */
	STREAM_DONE
};

struct stream {
	struct call *call;
	struct sub sub;
	struct uuid run;
	struct sse_place place;
	enum stream_stage stage;
	bool open;      /* the answer's head is out */
	bool hole;      /* bytes of the message being built were missed */
	bool exhausted; /* the last page came, the run is live: ask again */
	bool ended;     /* the last durable event shown ends the run */
	bool cancels;   /* a client that leaves cancels the run */
	void (*add_fields)(struct call *c);
	struct loop_timer *retry;
	struct event_page *page;
};

/* Nobody waits for the answer; a run that has ended stays as it is. */
static void cancel_run(const struct stream *st)
{
	struct wire_cancel m = {.tenant = st->call->caller.tenant, .run = st->run};
	link_cancel(st->call->edge, &m);
}

static void on_end(struct call *c)
{
	struct stream *st = c->stream;
	st->stage = STREAM_DONE;
	if (st->cancels && c->request->gone)
		cancel_run(st);
	sub_close(&st->sub);
	loop_timer_free(st->retry);
	if (st->page)
		arena_free(st->page->arena);
}

static void finish(struct stream *st)
{
	reply_stream_end(st->call->request);
}

/* The node goes away or the token was revoked: the client may come back. */
static void cut(struct call *c)
{
	struct stream *st = c->stream;
	if (!st->open) {
		reply_err(c->request, ERR_DRAINING, NULL, NULL, 1);
		return;
	}
	reply_piece(c->request, SLICE("retry: 1000\n\n"));
	finish(st);
}

static void open_answer(struct stream *st)
{
	struct call *c = st->call;
	if (st->open)
		return;
	st->open = true;
	c->cut = cut;
	reply_head(c->request, 200);
	if (st->add_fields)
		st->add_fields(c);
	reply_stream(c->request, "text/event-stream", HEARTBEAT);
}

/* ---- showing an event */

/* Whether the text composed last is this very event: then it is not composed again for
 * the next subscriber. */
static bool is_composed(const struct strbuf *b, const struct sse_item *item,
			const struct sse_item *last)
{
	struct slice body = item->body;
	return b->n > body.n + 1 && last->seq == item->seq &&
	       last->offset == item->offset && last->durable == item->durable &&
	       last->at_us == item->at_us && last->type == item->type &&
	       uuid_eq(last->run, item->run) && last->body.n == body.n && body.n > 2 &&
	       memcmp(b->p + b->n - 2 - body.n + 1, body.p + 1, body.n - 1) == 0;
}

static void show(struct stream *st, const struct sse_item *item)
{
	static struct sse_item last;
	struct strbuf *b = &st->call->edge->scratch;
	if (!is_composed(b, item, &last)) {
		strbuf_reset(b);
		sse_write(b, item);
		last = *item;
	}
	reply_piece(st->call->request, strbuf_slice(b));
	if (b->n > (64u << 10)) {
		strbuf_reset(b);
		strbuf_shrink(b, 4096);
	}
}

/* The item with the part the client has already seen left out. */
static void show_rest(struct stream *st, struct sse_item item)
{
	AUTO(strbuf_fini) struct strbuf body = STRBUF_INIT;
	uint32_t seen = st->place.part_seq == item.seq ? st->place.part_offset : 0;
	if (seen) {
		sse_cut_content(&body, item.body, seen);
		item.body = strbuf_slice(&body);
	}
	show(st, &item);
}

/* Whether a durable event is a run's last. */
static bool is_last(const char *type, struct slice body)
{
	if (strcmp(type, event_word(EVENT_LIFECYCLE)) != 0)
		return false;
	AUTO(auto_json_free)
	struct json_doc *doc = json_parse(body, LIMIT_EVENT_BYTES, NULL, 0);
	struct slice phase =
		doc ? json_str(json_get(json_root(doc), "phase")) : SLICE_NONE;
	return slice_is(phase, "end") || slice_is(phase, "error");
}

static void passed(struct stream *st, uint32_t seq)
{
	st->place = (struct sse_place){.seq = seq};
	st->hole = false;
}

/* ---- replay from Postgres */

static void ask_page(struct stream *st)
{
	struct call *c = st->call;
	if (!st->page) {
		st->page = arena_zalloc(c->request->arena, sizeof *st->page);
		st->page->arena = arena_new(REPLAY_ARENA_MAX);
	}
	st->stage = STREAM_PAGE;
	store_get_events(c, st->run, st->place.seq, st->page);
}

/* The live view is no good any more: read on from the place reached. */
static void replay(struct stream *st)
{
	sub_close(&st->sub);
	st->hole = false;
	st->stage = STREAM_REPLAY;
	call_wake(st->call);
}

/* An assistant's body that was cut for its size, made whole from the transcript. */
static struct slice whole_body(struct arena *a, struct slice text)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	json_obj(&o);
	json_kv_str(&o, "content", text);
	json_obj_end(&o);
	return arena_slice(a, strbuf_slice(&b));
}

static void show_row(struct stream *st, const struct event_row *row)
{
	struct slice body =
		row->whole.p ? whole_body(st->page->arena, row->whole) : row->body;
	show_rest(st, (struct sse_item){.run = st->run,
					.seq = row->seq,
					.durable = true,
					.type = row->type,
					.at_us = row->at_us,
					.body = body});
	passed(st, row->seq);
	st->ended = is_last(row->type, body);
}

/* Into which run a superseded one went, as a further member; "" for another. */
static const char *merged_member(struct arena *a, struct uuid into)
{
	char text[UUID_TEXT_LEN + 1];
	if (uuid_is_nil(into))
		return "";
	uuid_format(into, text);
	return arena_printf(a, ",\"mergedInto\":\"%s\"", text);
}

/* Past the events' retention the archive still knows how the run went. */
static void show_archive(struct stream *st)
{
	const struct run_row *run = &st->page->run;
	struct arena *a = st->page->arena;
	bool completed = slice_is(run->state, "completed");
	const char *merged = merged_member(a, run->merged_into);
	struct event_row row = {1, "lifecycle", run->started_us,
				SLICE("{\"phase\":\"start\"}"), SLICE_NONE};
	if (run->started_us)
		show_row(st, &row);
	if (run->text.p) {
		row = (struct event_row){2, "assistant", run->ended_us, SLICE("{}"),
					 run->text};
		show_row(st, &row);
	}
	const char *phase = completed || merged[0] ? "end" : "error";
	const char *body = arena_printf(a,
					"{\"phase\":\"%s\",\"metadata\":"
					"{\"result\":\"%.*s\"%s,\"rebuilt\":true}}",
					phase, SLICE_ARG(run->state), merged);
	row = (struct event_row){st->place.seq + 1, "lifecycle", run->ended_us,
				 slice_str(body), SLICE_NONE};
	show_row(st, &row);
}

static void pause_and_ask(struct stream *st);

static void take_page(struct stream *st)
{
	struct event_page *page = st->page;
	bool fresh = st->place.seq == 0 && !st->place.part_seq;
	open_answer(st);
	for (unsigned i = 0; i < page->count; i++)
		show_row(st, &page->rows[i]);
	if (page->count)
		st->exhausted = false;
	if (page->count == EVENT_PAGE) {
		st->stage = STREAM_ROOM;
		return;
	}
	if (!page->run.ended) {
		pause_and_ask(st);
		return;
	}
	if (fresh && page->count == 0)
		show_archive(st);
	finish(st);
}

static void on_room(struct request *r)
{
	struct call *c = r->owner;
	struct stream *st = c->stream;
	st->stage = STREAM_REPLAY;
	call_wake(c);
}

static void on_page(struct stream *st)
{
	struct call *c = st->call;
	if (c->asking)
		return;
	if (c->asked && st->open) {
		pause_and_ask(st);
	} else if (c->asked) {
		reply_err(c->request, c->asked, NULL, NULL, 0);
	} else if (!st->page->run.found && !st->open) {
		reply_err(c->request, ERR_NOT_FOUND, NULL, "there is no such run", 0);
	} else if (!st->page->run.found) {
		finish(st);
	} else {
		take_page(st);
		if (st->stage == STREAM_ROOM)
			c->request->on_room = on_room;
	}
}

/* ---- live */

static void deliver_delta(struct stream *st, const struct wire_sub_event *ev,
			  struct sse_item *item)
{
	struct sse_place *at = &st->place;
	uint32_t bytes = (uint32_t)sse_content_bytes(ev->body);
	if (ev->seq <= at->seq)
		return;
	if (sse_is_reset(ev->body) || ev->seq != at->part_seq) {
		at->part_seq = ev->seq;
		at->part_offset = 0;
		st->hole = false;
	}
	if (ev->offset > at->part_offset || st->hole) {
		st->hole = true;
		return;
	}
	item->offset = ev->offset + bytes;
	if (bytes && item->offset <= at->part_offset)
		return;
	if (ev->offset < at->part_offset) {
		AUTO(strbuf_fini) struct strbuf rest = STRBUF_INIT;
		sse_cut_content(&rest, ev->body, at->part_offset - ev->offset);
		item->body = strbuf_slice(&rest);
		show(st, item);
	} else {
		show(st, item);
	}
	at->part_offset = item->offset;
}

/* A committed event. A message's own event carries only what was not streamed: its
 * offset says how much was. */
static void deliver_durable(struct stream *st, const struct wire_sub_event *ev,
			    const struct sse_item *item)
{
	struct sse_place *at = &st->place;
	uint32_t seen = at->part_seq == ev->seq ? at->part_offset : 0;
	if (ev->seq <= at->seq)
		return;
	if (ev->seq != at->seq + 1 || ev->offset > seen ||
	    (st->hole && at->part_seq == ev->seq)) {
		replay(st);
		return;
	}
	show(st, item);
	passed(st, ev->seq);
	st->ended = is_last(item->type, item->body);
}

static void on_event(struct sub *s, const struct wire_sub_event *ev)
{
	struct stream *st = s->call->stream;
	struct sse_item item = {.run = st->run,
				.seq = ev->seq,
				.durable = ev->durable,
				.type = event_word(ev->type),
				.at_us = ev->at_us,
				.body = ev->body};
	open_answer(st);
	st->stage = STREAM_LIVE;
	st->exhausted = false;
	if (ev->durable)
		deliver_durable(st, ev, &item);
	else
		deliver_delta(st, ev, &item);
}

static void on_state(struct sub *s, enum sub_state state)
{
	struct stream *st = s->call->stream;
	if (state == SUB_LIVE) {
		open_answer(st);
		st->stage = STREAM_LIVE;
		return;
	}
	replay(st);
}

/* Not every run's end comes as an event: one that never started, or whose worker died,
 * got its last events from Postgres's own hand. */
static void on_sub_end(struct sub *s, const struct wire_sub_end *end)
{
	struct stream *st = s->call->stream;
	(void)end;
	if (st->open && !st->hole && st->ended)
		finish(st);
	else
		replay(st);
}

static void subscribe(struct stream *st)
{
	st->stage = STREAM_ASKING;
	sub_open(&st->sub, st->call, st->run, &st->place, SUB_EVERYTHING);
}

static void on_retry(void *arg)
{
	struct stream *st = arg;
	st->stage = STREAM_ASKING;
	st->exhausted = true;
	call_wake(st->call);
}

/* Postgres has no more and the run goes on: back to the supervisor. A pause from the
 * second time on, so that a disagreement does not spin. */
static void pause_and_ask(struct stream *st)
{
	if (!st->exhausted) {
		st->exhausted = true;
		subscribe(st);
		return;
	}
	st->stage = STREAM_PAUSE;
	if (!st->retry)
		st->retry = loop_timer_new(st->call->edge->loop, on_retry, st);
	loop_timer_start(st->retry, RETRY_US);
}

/* ---- for handlers */

struct stream *stream_new(struct call *c, struct uuid run, const struct sse_place *place,
			  void (*add_fields)(struct call *c))
{
	struct stream *st = c->stream;
	if (st)
		sub_close(&st->sub);
	else
		st = arena_zalloc(c->request->arena, sizeof *st);
	st->call = c;
	st->run = run;
	st->place = *place;
	st->add_fields = add_fields;
	st->ended = false;
	st->sub.on_state = on_state;
	st->sub.on_event = on_event;
	st->sub.on_end = on_sub_end;
	c->stream = st;
	c->on_end = on_end;
	return st;
}

void stream_cancels(struct stream *st)
{
	st->cancels = true;
}

void stream_ask(struct stream *st)
{
	st->call->cut = cut;
	subscribe(st);
}

uint64_t stream_expect(struct stream *st)
{
	sub_number(&st->sub, st->call);
	return st->sub.handle;
}

void stream_accept(struct stream *st)
{
	open_answer(st);
	if (st->stage == STREAM_ASKING)
		st->stage = STREAM_LIVE;
	else if (st->stage == STREAM_REPLAY) /* it ended before this was known */
		call_wake(st->call);
}

void stream_follow(struct stream *st, struct uuid run)
{
	sub_close(&st->sub);
	st->run = run;
	subscribe(st);
}

void stream_step(struct stream *st)
{
	if (st->stage == STREAM_REPLAY)
		ask_page(st);
	else if (st->stage == STREAM_PAGE)
		on_page(st);
	else if (st->stage == STREAM_ASKING && !st->sub.handle)
		subscribe(st);
}
