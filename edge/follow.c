/* SPDX-License-Identifier: Apache-2.0
 * Following a run: live, by replay, and the seam between the two. */
#include "edge/follow.h"

#include "common/json.h"
#include "edge/reply.h"
#include "edge/store.h"

#define REPLAY_ARENA_MAX (64u << 20)
/* Between two tries when the supervisor and Postgres disagree about a run. */
#define RETRY_US 250000

enum follow_stage {
	FOLLOW_ASKING, /* SUBSCRIBE or ENQUEUE is on its way */
	FOLLOW_LIVE,
	FOLLOW_REPLAY, /* a page is to be asked for */
	FOLLOW_PAGE,   /* a page was asked for */
	FOLLOW_ROOM,   /* the output has to drain first */
	FOLLOW_PAUSE,  /* before asking again */
	FOLLOW_DONE
};

struct follow {
	struct call *call;
	struct sub sub;
	struct uuid run;
	struct sse_place place;
	enum follow_stage stage;
	bool open;      /* the answer's head is out */
	bool hole;      /* bytes of the message being built were missed */
	bool exhausted; /* the last page came, the run is live: ask again */
	bool ended;     /* the last durable event shown ends the run */
	bool cancels;   /* a client that leaves cancels the run */
	const struct follow_sink *sink;
	struct loop_timer *retry;
	struct event_page *page;
};

/* Nobody waits for the answer; a run that has ended stays as it is. */
static void cancel_run(const struct follow *f)
{
	struct wire_cancel m = {.tenant = f->call->caller.tenant, .run = f->run};
	link_cancel(f->call->edge, &m);
}

static void on_end(struct call *c)
{
	struct follow *f = c->follow;
	f->stage = FOLLOW_DONE;
	if (f->cancels && c->request->gone)
		cancel_run(f);
	sub_close(&f->sub);
	loop_timer_free(f->retry);
	if (f->page)
		arena_free(f->page->arena);
	if (f->sink->gone)
		f->sink->gone(c);
}

/* Nothing is touched after it: the sink may end the answer, or follow another run. */
static void finish(struct follow *f)
{
	sub_close(&f->sub);
	f->stage = FOLLOW_DONE;
	f->sink->end(f->call);
}

/* The node goes away or the token was revoked: the client may come back. */
static void cut(struct call *c)
{
	c->follow->sink->cut(c);
}

static void open_answer(struct follow *f)
{
	struct call *c = f->call;
	if (f->open)
		return;
	f->open = true;
	c->cut = cut;
	if (f->sink->open)
		f->sink->open(c);
}

/* ---- showing an event */

static void show(struct follow *f, const struct sse_item *item)
{
	f->sink->event(f->call, item);
}

/* The item with the part the client has already seen left out. */
static void show_rest(struct follow *f, struct sse_item item)
{
	AUTO(strbuf_fini) struct strbuf body = STRBUF_INIT;
	uint32_t seen = f->place.part_seq == item.seq ? f->place.part_offset : 0;
	if (seen) {
		sse_cut_content(&body, item.body, seen);
		item.body = strbuf_slice(&body);
	}
	show(f, &item);
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

static void passed(struct follow *f, uint32_t seq)
{
	f->place = (struct sse_place){.seq = seq};
	f->hole = false;
}

/* ---- replay from Postgres */

static void ask_page(struct follow *f)
{
	struct call *c = f->call;
	if (!f->page) {
		f->page = arena_zalloc(c->request->arena, sizeof *f->page);
		f->page->arena = arena_new(REPLAY_ARENA_MAX);
	}
	f->stage = FOLLOW_PAGE;
	store_get_events(c, f->run, f->place.seq, f->page);
}

/* The live view is no good any more: read on from the place reached. */
static void replay(struct follow *f)
{
	sub_close(&f->sub);
	f->hole = false;
	f->stage = FOLLOW_REPLAY;
	call_wake(f->call);
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

static void show_row(struct follow *f, const struct event_row *row)
{
	struct slice body =
		row->whole.p ? whole_body(f->page->arena, row->whole) : row->body;
	show_rest(f, (struct sse_item){.run = f->run,
				       .seq = row->seq,
				       .durable = true,
				       .type = row->type,
				       .at_us = row->at_us,
				       .body = body});
	passed(f, row->seq);
	f->ended = is_last(row->type, body);
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
static void show_archive(struct follow *f)
{
	const struct run_row *run = &f->page->run;
	struct arena *a = f->page->arena;
	bool completed = slice_is(run->state, "completed");
	const char *merged = merged_member(a, run->merged_into);
	struct event_row row = {1, "lifecycle", run->started_us,
				SLICE("{\"phase\":\"start\"}"), SLICE_NONE};
	if (run->started_us)
		show_row(f, &row);
	if (run->text.p) {
		row = (struct event_row){2, "assistant", run->ended_us, SLICE("{}"),
					 run->text};
		show_row(f, &row);
	}
	const char *phase = completed || merged[0] ? "end" : "error";
	const char *body = arena_printf(a,
					"{\"phase\":\"%s\",\"metadata\":"
					"{\"result\":\"%.*s\"%s,\"rebuilt\":true}}",
					phase, SLICE_ARG(run->state), merged);
	row = (struct event_row){f->place.seq + 1, "lifecycle", run->ended_us,
				 slice_str(body), SLICE_NONE};
	show_row(f, &row);
}

static void pause_and_ask(struct follow *f);

static void take_page(struct follow *f)
{
	struct event_page *page = f->page;
	bool fresh = f->place.seq == 0 && !f->place.part_seq;
	if (!f->open && !fresh && !page->count && page->run.ended && f->sink->over) {
		sub_close(&f->sub);
		f->stage = FOLLOW_DONE;
		f->sink->over(f->call);
		return;
	}
	open_answer(f);
	for (unsigned i = 0; i < page->count; i++)
		show_row(f, &page->rows[i]);
	if (page->count)
		f->exhausted = false;
	if (page->count == EVENT_PAGE) {
		f->stage = FOLLOW_ROOM;
		return;
	}
	if (!page->run.ended) {
		pause_and_ask(f);
		return;
	}
	if (fresh && page->count == 0)
		show_archive(f);
	finish(f);
}

static void on_room(struct request *r)
{
	struct call *c = r->owner;
	struct follow *f = c->follow;
	f->stage = FOLLOW_REPLAY;
	call_wake(c);
}

static void on_page(struct follow *f)
{
	struct call *c = f->call;
	if (c->asking)
		return;
	if (c->asked && f->open) {
		pause_and_ask(f);
	} else if (c->asked) {
		reply_err(c->request, c->asked, NULL, NULL, 0);
	} else if (!f->page->run.found && !f->open) {
		reply_err(c->request, ERR_NOT_FOUND, NULL, "there is no such run", 0);
	} else if (!f->page->run.found) {
		finish(f);
	} else {
		take_page(f);
		if (f->stage == FOLLOW_ROOM && reply_unsent(c->request) > 0)
			c->request->on_room = on_room;
		else if (f->stage == FOLLOW_ROOM) /* its sink writes nothing yet */
			on_room(c->request);
	}
}

/* ---- live */

static void deliver_delta(struct follow *f, const struct wire_sub_event *ev,
			  struct sse_item *item)
{
	struct sse_place *at = &f->place;
	uint32_t bytes = (uint32_t)sse_content_bytes(ev->body);
	if (ev->seq <= at->seq)
		return;
	if (sse_is_reset(ev->body) || ev->seq != at->part_seq) {
		at->part_seq = ev->seq;
		at->part_offset = 0;
		f->hole = false;
	}
	if (ev->offset > at->part_offset || f->hole) {
		f->hole = true;
		return;
	}
	item->offset = ev->offset + bytes;
	if (bytes && item->offset <= at->part_offset)
		return;
	if (ev->offset < at->part_offset) {
		AUTO(strbuf_fini) struct strbuf rest = STRBUF_INIT;
		sse_cut_content(&rest, ev->body, at->part_offset - ev->offset);
		item->body = strbuf_slice(&rest);
		show(f, item);
	} else {
		show(f, item);
	}
	at->part_offset = item->offset;
}

/* A committed event. A message's own event carries only what was not streamed: its
 * offset says how much was. */
static void deliver_durable(struct follow *f, const struct wire_sub_event *ev,
			    const struct sse_item *item)
{
	struct sse_place *at = &f->place;
	uint32_t seen = at->part_seq == ev->seq ? at->part_offset : 0;
	if (ev->seq <= at->seq)
		return;
	if (ev->seq != at->seq + 1 || ev->offset > seen ||
	    (f->hole && at->part_seq == ev->seq)) {
		replay(f);
		return;
	}
	show(f, item);
	passed(f, ev->seq);
	f->ended = is_last(item->type, item->body);
}

static void on_event(struct sub *s, const struct wire_sub_event *ev)
{
	struct follow *f = s->call->follow;
	struct sse_item item = {.run = f->run,
				.seq = ev->seq,
				.durable = ev->durable,
				.type = event_word(ev->type),
				.at_us = ev->at_us,
				.body = ev->body};
	open_answer(f);
	f->stage = FOLLOW_LIVE;
	f->exhausted = false;
	if (ev->durable)
		deliver_durable(f, ev, &item);
	else
		deliver_delta(f, ev, &item);
}

static void on_state(struct sub *s, enum sub_state state)
{
	struct follow *f = s->call->follow;
	if (state == SUB_LIVE) {
		open_answer(f);
		f->stage = FOLLOW_LIVE;
		return;
	}
	replay(f);
}

/* Not every run's end comes as an event: one that never started, or whose worker died,
 * got its last events from Postgres's own hand. */
static void on_sub_end(struct sub *s, const struct wire_sub_end *end)
{
	struct follow *f = s->call->follow;
	(void)end;
	if (f->open && !f->hole && f->ended)
		finish(f);
	else
		replay(f);
}

static void subscribe(struct follow *f)
{
	f->stage = FOLLOW_ASKING;
	sub_open(&f->sub, f->call, f->run, &f->place, SUB_EVERYTHING);
}

static void on_retry(void *arg)
{
	struct follow *f = arg;
	f->stage = FOLLOW_ASKING;
	f->exhausted = true;
	call_wake(f->call);
}

/* Postgres has no more and the run goes on: back to the supervisor. A pause from the
 * second time on, so that a disagreement does not spin. */
static void pause_and_ask(struct follow *f)
{
	if (!f->exhausted) {
		f->exhausted = true;
		subscribe(f);
		return;
	}
	f->stage = FOLLOW_PAUSE;
	if (!f->retry)
		f->retry = loop_timer_new(f->call->edge->loop, on_retry, f);
	loop_timer_start(f->retry, RETRY_US);
}

/* ---- for handlers */

struct follow *follow_new(struct call *c, struct uuid run, const struct sse_place *place,
			  const struct follow_sink *sink)
{
	struct follow *f = c->follow;
	if (f)
		sub_close(&f->sub);
	else
		f = arena_zalloc(c->request->arena, sizeof *f);
	f->call = c;
	f->run = run;
	f->place = *place;
	f->sink = sink;
	f->stage = FOLLOW_ASKING;
	f->ended = f->hole = f->exhausted = false;
	f->sub.on_state = on_state;
	f->sub.on_event = on_event;
	f->sub.on_end = on_sub_end;
	c->follow = f;
	c->on_end = on_end;
	return f;
}

bool follow_is_open(const struct follow *f)
{
	return f->open;
}

void follow_cancels(struct follow *f)
{
	f->cancels = true;
}

void follow_ask(struct follow *f)
{
	f->call->cut = cut;
	if (f->call->caller.user
		    .n) /* Postgres knows whose it is, the supervisor does not */
		replay(f);
	else
		subscribe(f);
}

uint64_t follow_expect(struct follow *f)
{
	sub_number(&f->sub, f->call);
	return f->sub.handle;
}

void follow_accept(struct follow *f)
{
	open_answer(f);
	if (f->stage == FOLLOW_ASKING)
		f->stage = FOLLOW_LIVE;
	else if (f->stage == FOLLOW_REPLAY) /* it ended before this was known */
		call_wake(f->call);
}

void follow_other(struct follow *f, struct uuid run)
{
	sub_close(&f->sub);
	f->run = run;
	subscribe(f);
}

void follow_step(struct follow *f)
{
	if (f->stage == FOLLOW_REPLAY)
		ask_page(f);
	else if (f->stage == FOLLOW_PAGE)
		on_page(f);
	else if (f->stage == FOLLOW_ASKING && !f->sub.handle)
		subscribe(f);
}
