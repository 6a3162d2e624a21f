/* SPDX-License-Identifier: Apache-2.0
 * The sink of a UI message stream, and when it ends before its run. */
#include "edge/uistream/ui_call.h"

#include "edge/reply.h"

#define HEARTBEAT SLICE(": hb\n\n")

static struct ui_call *state_of(const struct call *c)
{
	return c->state;
}

static void flush(struct call *c)
{
	struct strbuf *out = &state_of(c)->out;
	reply_piece(c->request, strbuf_slice(out));
	strbuf_reset(out);
	strbuf_shrink(out, 64u << 10);
}

static void finish(struct call *c)
{
	flush(c);
	state_of(c)->is_over = true;
	reply_stream_end(c->request);
}

static void on_open(struct call *c)
{
	struct ui_call *x = state_of(c);
	char id[UUID_TEXT_LEN + 1];
	if (x->placing.agent.p)
		x->run = x->placing.run;
	uuid_format(x->run, id);
	reply_head(c->request, 200);
	reply_field(c->request, "x-run-id", slice_str(id));
	reply_field(c->request, "x-vercel-ai-ui-message-stream", SLICE("v1"));
	reply_stream(c->request, "text/event-stream", HEARTBEAT);
	ui_start(&x->chunks, x->run, x->input.message);
	flush(c);
}

/* ---- what people are asked */

static bool is_asked(const struct ui_call *x, struct slice id)
{
	return id.n && slice_find(strbuf_slice(&x->asked), id) >= 0;
}

static void note_asked(struct call *c, const struct event_view *v)
{
	struct ui_call *x = state_of(c);
	struct uuid id;
	if (!slice_is(v->approval_state, "pending") || is_asked(x, v->approval))
		return;
	strbuf_add_slice(&x->asked, v->approval);
	strbuf_add_char(&x->asked, ' ');
	for (size_t i = 0; i < x->input.decision_count; i++)
		if (uuid_parse(v->approval, &id) &&
		    uuid_eq(id, x->input.decisions[i].approval))
			x->unseen--;
	x->asks = true;
	call_wake(c);
}

/* Whether everything the run waits for was shown. */
static bool waits_for_shown(const struct ui_call *x)
{
	const struct run_row *row = &x->check;
	if (!row->found || row->ended || !row->approvals.p)
		return false;
	AUTO(auto_json_free)
	struct json_doc *doc = json_parse(row->approvals, row->approvals.n, NULL, 0);
	struct json_iter it = json_iter(json_root(doc));
	json_t a;
	size_t pending = 0;
	while ((a = json_next(&it, NULL))) {
		pending++;
		if (!is_asked(x, json_str(json_get(a, "id"))))
			return false;
	}
	return pending > 0;
}

/* ---- events */

static void on_event(struct call *c, const struct sse_item *item)
{
	struct ui_call *x = state_of(c);
	bool was_hidden = x->unseen > 0;
	struct event_view v;
	if (x->is_over)
		return;
	event_view_read(item, &v);
	if (!merging_hides(&x->merging, item, &v)) {
		ui_event(&x->chunks, &v);
		if (v.kind == VIEW_TOOL && v.approval.n)
			note_asked(c, &v);
	}
	event_view_fini(&v);
	if (was_hidden && !x->chunks.ended)
		ui_forget(&x->chunks);
	flush(c);
}

static void on_cut(struct call *c)
{
	if (!follow_is_open(c->follow)) {
		reply_err(c->request, ERR_DRAINING, NULL, NULL, 1);
		return;
	}
	ui_cut(&state_of(c)->chunks);
	finish(c);
}

static void on_end(struct call *c)
{
	struct ui_call *x = state_of(c);
	if (x->is_over || merging_goes_on(c, &x->merging, &ui_sink, &x->run))
		return;
	on_cut(c); /* says nothing to a run that has ended */
}

static void on_gone(struct call *c)
{
	struct ui_call *x = state_of(c);
	loop_timer_free(x->question.patience);
	if (x->is_ready)
		ui_fini(&x->chunks);
	strbuf_fini(&x->out);
	strbuf_fini(&x->asked);
}

const struct follow_sink ui_sink = {.open = on_open,
				    .event = on_event,
				    .end = on_end,
				    .cut = on_cut,
				    .gone = on_gone};

/* ---- for the handlers */

void ui_call_prepare(struct call *c)
{
	struct ui_call *x = state_of(c);
	ui_init(&x->chunks, &x->out);
	x->is_ready = true;
	x->unseen = x->input.decision_count;
	c->on_end = on_gone; /* until it is followed */
}

void ui_call_follow(struct call *c, struct uuid run)
{
	struct ui_call *x = state_of(c);
	struct sse_place start = {0};
	x->run = run;
	ui_call_prepare(c);
	follow_new(c, run, &start, &ui_sink);
	follow_ask(c->follow);
}

/* One question to Postgres at a time: the follower's or ours. */
void ui_call_step(struct call *c)
{
	struct ui_call *x = state_of(c);
	if (c->asking || x->is_over)
		return;
	if (x->checking) {
		x->checking = false;
		if (!c->asked && waits_for_shown(x)) {
			ui_pause(&x->chunks);
			finish(c);
			return;
		}
	}
	follow_step(c->follow);
	if (c->asking || x->is_over || !x->asks)
		return;
	x->asks = false;
	x->checking = true;
	store_get_run(c, x->run, &x->check);
}
