/* SPDX-License-Identifier: Apache-2.0
 * Events to the link. Bodies are built here; ids and times are the edge's to add. */
#include "worker/emit.h"

#include <errno.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/die.h"
#include "common/json.h"
#include "proto/chan.h"
#include "worker/run.h"

/* Of content in one delta: escaped, six times that stays below LIMIT_EVENT_BYTES. */
#define PIECE_BYTES 2048
/* Deltas leave at most that often: a frame costs each process on its way several
 * wake-ups, whatever is in it (docs/performance.md). */
#define FLUSH_EVERY_US 500

/* A link that cannot take a message goes down, and the process with it. */
static void send_message(struct worker *w, enum wire_id id, const void *m)
{
	enum err e = chan_send(w->chan, id, m);
	(void)e;
}

void emit_accepted(struct run *r)
{
	struct wire_run_accepted m = {.run = r->id, .fence = r->fence};
	send_message(r->worker, WIRE_RUN_ACCEPTED, &m);
}

/* ---- deltas */

static size_t piece_at(const struct strbuf *text, size_t at)
{
	size_t n = text->n - at;
	if (n <= PIECE_BYTES)
		return n;
	n = PIECE_BYTES;
	while (n > 1 && ((unsigned char)text->p[at + n] & 0xC0) == 0x80)
		n--;
	return n;
}

void emit_deltas(struct run *r, unsigned most)
{
	const struct strbuf *text = &r->answer.text;
	while (text->n - r->shown > most) {
		AUTO(strbuf_fini) struct strbuf body = STRBUF_INIT;
		struct json_out o = json_out(&body);
		size_t n = piece_at(text, r->shown);
		json_obj(&o);
		json_kv_str(&o, "content", slice_of(text->p + r->shown, n));
		json_obj_end(&o);
		struct wire_event m = {.run = r->id,
				       .fence = r->fence,
				       .seq = r->ev_seq + 1,
				       .offset = (uint32_t)r->shown,
				       .type = EVENT_ASSISTANT,
				       .at_us = clock_real_us(),
				       .body = strbuf_slice(&body)};
		send_message(r->worker, WIRE_EVENT, &m);
		r->shown += n;
	}
}

/* Bytes of the text as its reader gets it, who counts them to say where he is. */
static size_t content_bytes(struct slice body)
{
	AUTO(auto_json_free)
	struct json_doc *d = json_parse(body, LIMIT_EVENT_BYTES, NULL, 0);
	return json_str(json_get(json_root(d), "content")).n;
}

static void put_printed(struct json_out *o, const struct run_call *c, int stream,
			struct slice text, uint64_t offset)
{
	json_obj(o);
	json_kv_str(o, "toolName", c->name);
	json_kv_cstr(o, "toolState", "running");
	json_kv_str(o, "content", text);
	json_key(o, "metadata");
	json_obj(o);
	json_kv_str(o, "callId", c->id);
	json_kv_i64(o, "step", c->run->step_no);
	json_kv_i64(o, "call", (int64_t)(c - c->run->calls));
	json_kv_cstr(o, "stream", stream == 1 ? "stdout" : "stderr");
	json_kv_i64(o, "offset", (int64_t)offset);
	json_obj_end(o);
	json_obj_end(o);
}

bool emit_printed(struct run_call *c, int stream, struct slice text, uint64_t offset)
{
	AUTO(strbuf_fini) struct strbuf body = STRBUF_INIT;
	struct json_out o = json_out(&body);
	struct run *r = c->run;
	if (r->worker->congested || r->lost)
		return false;
	if (r->printed_seq != r->ev_seq) { /* pieces of another part of the stream */
		r->printed_seq = r->ev_seq;
		r->printed_shown = 0;
	}
	put_printed(&o, c, stream, text, offset);
	struct wire_event m = {.run = r->id,
			       .fence = r->fence,
			       .seq = r->ev_seq + 1,
			       .offset = (uint32_t)r->printed_shown,
			       .type = EVENT_TOOL,
			       .at_us = clock_real_us(),
			       .body = strbuf_slice(&body)};
	send_message(r->worker, WIRE_EVENT, &m);
	r->printed_shown += content_bytes(m.body);
	return true;
}

void emit_text_grew(struct run *r)
{
	list_remove(&r->speaking);
	list_push(&r->worker->speaking, &r->speaking);
}

static void flush(struct worker *w)
{
	for (struct list *n; (n = list_pop(&w->speaking));) {
		struct run *r = list_entry(n, struct run, speaking);
		if (r->step == STEP_ANSWERED && op_is_active(&r->op))
			emit_deltas(r, 0);
	}
}

/* It wakes the loop: the turn's end looks at the clock again. */
static void on_flush_due(void *arg, int what)
{
	struct worker *w = arg;
	uint64_t times;
	(void)what;
	if (read(w->flush_fd, &times, sizeof times) < 0 && errno != EAGAIN)
		fatal("a timer cannot be read: %s", strerror(errno));
	w->flush_waits = false;
}

static void flush_later(struct worker *w, int64_t us)
{
	struct itimerspec at = {.it_value = {.tv_nsec = us * 1000}};
	if (w->flush_waits)
		return;
	if (timerfd_settime(w->flush_fd, 0, &at, NULL))
		fatal("a timer cannot be set: %s", strerror(errno));
	w->flush_waits = true;
}

/* An answer that came whole within one turn needs no deltas: its durable event brings the
 * text. */
static void on_turn_end(void *arg)
{
	struct worker *w = arg;
	if (list_is_empty(&w->speaking))
		return;
	int64_t now = clock_mono_us(), left = w->flushed_us + FLUSH_EVERY_US - now;
	if (left > 0) {
		flush_later(w, left);
		return;
	}
	w->flushed_us = now;
	flush(w);
}

void emit_init(struct worker *w)
{
	list_init(&w->speaking);
	w->flush_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (w->flush_fd < 0)
		fatal("no timer can be made: %s", strerror(errno));
	loop_fd_new(w->loop, w->flush_fd, LOOP_READ, on_flush_due, w);
	loop_hook(w->loop, LOOP_STEPS, on_turn_end, w);
}

/* ---- the rest */

void emit_durable(struct run *r, const struct commit_event *e)
{
	struct wire_event m = {.run = r->id,
			       .fence = r->fence,
			       .seq = e->seq,
			       .offset = e->type == EVENT_ASSISTANT ? (uint32_t)r->shown
								    : 0,
			       .type = e->type,
			       .durable = true,
			       .at_us = e->at_us,
			       .body = e->shown};
	send_message(r->worker, WIRE_EVENT, &m);
}

void emit_done(struct run *r)
{
	struct wire_run_done m = {.run = r->id,
				  .fence = r->fence,
				  .result = r->result,
				  .error =
					  r->failure ? slice_str(run_code(r)) : SLICE(""),
				  .ended_us = r->ended_us,
				  .goes_on = r->goes_on};
	send_message(r->worker, WIRE_RUN_DONE, &m);
}

void emit_lost(struct run *r)
{
	struct wire_run_lost m = {.run = r->id, .fence = r->fence};
	send_message(r->worker, WIRE_RUN_LOST, &m);
}

void emit_taken(struct run *r, struct uuid taken)
{
	struct wire_run_taken m = {.run = r->id, .fence = r->fence, .taken = taken};
	send_message(r->worker, WIRE_RUN_TAKEN, &m);
}

void emit_agent_changed(const struct run *r, struct uuid agent)
{
	struct wire_agent_changed m = {.run = r->id, .fence = r->fence, .agent = agent};
	send_message(r->worker, WIRE_AGENT_CHANGED, &m);
}

void emit_yielded(struct run *r)
{
	struct wire_run_yielded m = {.run = r->id, .fence = r->fence};
	send_message(r->worker, WIRE_RUN_YIELDED, &m);
}

void emit_retry(struct run *r, int64_t run_at_us)
{
	struct wire_run_retry m = {
		.run = r->id, .fence = r->fence, .run_at_us = run_at_us};
	send_message(r->worker, WIRE_RUN_RETRY, &m);
}

void emit_asks(struct run *r, int64_t until_us)
{
	struct wire_run_asks m = {.run = r->id, .fence = r->fence, .until_us = until_us};
	send_message(r->worker, WIRE_RUN_ASKS, &m);
}

void emit_progress(struct run *r)
{
	struct wire_run_progress m = {.run = r->id, .fence = r->fence};
	send_message(r->worker, WIRE_RUN_PROGRESS, &m);
}

void emit_workspace_ask(struct run *r)
{
	struct wire_workspace_ask m = {.run = r->id,
				       .fence = r->fence,
				       .by_session = r->agent->config.by_session,
				       .most_bytes = r->agent->config.workspace_bytes,
				       .most_files = r->agent->config.workspace_files};
	send_message(r->worker, WIRE_WORKSPACE_ASK, &m);
}
