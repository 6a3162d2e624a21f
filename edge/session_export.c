/* SPDX-License-Identifier: Apache-2.0
 * GET .../export: a transcript as lines, page by page. A page is read when the one before
 * it has left: a slow reader costs a page, however long the transcript. It is the
 * transcript as it stood at the start; one that is deleted meanwhile breaks off. */
#include "edge/reply.h"
#include "edge/session_look.h"

#define ARENA_MOST (64u << 20)
#define UNSENT_MOST (128u << 10)

enum stage { EXPORT_START, EXPORT_LOOK, EXPORT_PAGE, EXPORT_ROOM };

struct exporting {
	struct session_look look;
	struct message_page page;
	bool open; /* the answer's head is out */
};

static void on_end(struct call *c)
{
	struct exporting *x = c->state;
	arena_free(x->page.arena);
}

/* The node goes away or the token was revoked. */
static void cut(struct call *c)
{
	struct exporting *x = c->state;
	if (x->open)
		reply_abort(c->request);
	else
		reply_err(c->request, ERR_DRAINING, NULL, NULL, 1);
}

static void ask(struct call *c, struct exporting *x)
{
	int64_t left = x->look.info.head - x->page.last;
	c->stage = EXPORT_PAGE;
	store_read_messages(c, x->look.info.id, x->page.last, true,
			    left < PAGE_MAX ? (unsigned)left : PAGE_MAX, &x->page);
}

static void on_room(struct request *r)
{
	struct call *c = r->owner;
	c->stage = EXPORT_LOOK;
	call_wake(c);
}

static void show_page(struct call *c, struct exporting *x)
{
	if (!x->open) {
		x->open = true;
		reply_head(c->request, 200);
		reply_stream(c->request, "application/jsonl", SLICE_NONE);
	}
	for (unsigned i = 0; i < x->page.count; i++) {
		reply_piece(c->request, x->page.lines[i]);
		reply_piece(c->request, SLICE("\n"));
	}
	if (x->page.last == x->look.info.head) {
		reply_stream_end(c->request);
	} else if (!x->page.count) {
		reply_abort(c->request);
	} else if (reply_unsent(c->request) > UNSENT_MOST) {
		c->stage = EXPORT_ROOM;
		c->request->on_room = on_room;
	} else {
		ask(c, x);
	}
}

static void failed(struct call *c, const struct exporting *x)
{
	if (x->open)
		reply_abort(c->request);
	else
		reply_err(c->request, c->asked, NULL, NULL, 0);
}

static bool begin(struct call *c)
{
	struct exporting *x = arena_zalloc(c->request->arena, sizeof *x);
	c->state = x;
	if (!call_may_wait(c))
		return false;
	x->page.arena = arena_new(ARENA_MOST);
	c->on_end = on_end;
	c->cut = cut;
	c->stage = EXPORT_LOOK;
	return true;
}

void session_export(struct call *c)
{
	struct exporting *x;
	if (c->asking)
		return;
	if (c->stage == EXPORT_START && !begin(c))
		return;
	x = c->state;
	if (c->stage == EXPORT_LOOK) {
		if (session_look(c, &x->look, false))
			ask(c, x);
	} else if (c->stage == EXPORT_PAGE) {
		if (c->asked)
			failed(c, x);
		else
			show_page(c, x);
	}
}
