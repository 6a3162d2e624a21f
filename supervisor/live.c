/* SPDX-License-Identifier: Apache-2.0
 * Event rings and listeners. */
#include "supervisor/live.h"

#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/loop.h"
#include "supervisor/children.h"
#include "supervisor/sup.h"

#define RING_MOST (256u << 10)
#define RINGS_MOST (32u << 20)
/* Of one listener in a row, while others wait. */
#define SLICE_BYTES LIMIT_EVENT_BYTES

struct sub {
	struct list by_live, by_edge;
	struct list lag; /* in edge->lag while events wait for room on the link */
	struct live *live;
	struct child *edge;
	uint64_t id;
	uint64_t at;   /* the place in the stream of what it is told next */
	uint32_t seen; /* the last durable event it has */
	bool end_only;
};

/* One event inside a ring, followed by its body. */
struct entry {
	uint32_t seq, offset, body_len;
	uint8_t type, durable;
	int64_t at_us;
};

static size_t rings_bytes; /* of the whole node */

struct live *live_find(struct sup *s, struct uuid run)
{
	return map_get(s->lives, uuid_slice(&run));
}

struct live *live_get(struct sup *s, struct uuid run, int64_t tenant)
{
	struct live *l = live_find(s, run);
	if (l)
		return l;
	l = xcalloc(1, sizeof *l);
	l->run = run;
	l->tenant = tenant;
	list_init(&l->subs);
	map_put(s->lives, uuid_slice(&run), l);
	return l;
}

/* ---- the ring */

static void ring_drop_first(struct live *l, size_t bytes)
{
	size_t at = 0;
	struct entry e;
	while (at < l->ring.n && at < bytes) {
		memcpy(&e, l->ring.p + at, sizeof e);
		if (e.seq > l->floor_seq && e.durable)
			l->floor_seq = e.seq;
		at += sizeof e + e.body_len;
	}
	rings_bytes -= at;
	l->ring_at += at;
	strbuf_eat(&l->ring, at);
}

static void ring_add(struct live *l, const struct wire_event *e)
{
	struct entry entry = {.seq = e->seq,
			      .offset = e->offset,
			      .body_len = (uint32_t)e->body.n,
			      .type = (uint8_t)e->type,
			      .durable = e->durable,
			      .at_us = e->at_us};
	if (l->ring.n + sizeof entry + e->body.n > RING_MOST)
		ring_drop_first(l, l->ring.n / 2);
	if (rings_bytes > RINGS_MOST)
		ring_drop_first(l, l->ring.n);
	strbuf_add(&l->ring, &entry, sizeof entry);
	strbuf_add_slice(&l->ring, e->body);
	rings_bytes += sizeof entry + e->body.n;
}

/* ---- listeners */

static void sub_free(struct sub *sub)
{
	uint64_t id = sub->id;
	map_take(sub->edge->subs_by_id, slice_of(&id, sizeof id));
	list_remove(&sub->by_live);
	list_remove(&sub->by_edge);
	list_remove(&sub->lag);
	free(sub);
}

static void send_away(struct sub *sub)
{
	struct wire_sub_state gap = {.sub = sub->id, .state = SUB_GAP};
	child_send(sub->edge, WIRE_SUB_STATE, &gap);
	sub_free(sub);
}

/* The entry at its place, unless it has that event; and one place on. */
static size_t tell_next(struct sub *sub)
{
	const char *p = sub->live->ring.p + (sub->at - sub->live->ring_at);
	struct entry e;
	memcpy(&e, p, sizeof e);
	sub->at += sizeof e + e.body_len;
	if (e.seq <= sub->seen) /* pieces it has seen in part, the edge cuts */
		return 0;
	if (e.durable)
		sub->seen = e.seq;
	struct wire_sub_event m = {.sub = sub->id,
				   .seq = e.seq,
				   .offset = e.offset,
				   .type = e.type,
				   .durable = e.durable,
				   .at_us = e.at_us,
				   .body = slice_of(p + sizeof e, e.body_len)};
	child_send(sub->edge, WIRE_SUB_EVENT, &m);
	return e.body_len;
}

static bool is_behind(const struct sub *sub)
{
	return sub->at < sub->live->ring_at + sub->live->ring.n;
}

/* What there is for it while the link has room, and at most a slice while others wait;
 * then it stands behind these. Nothing is copied for one that lags: what leaves the
 * ring meanwhile is read from Postgres, and of pieces only the edge finds that some are
 * missing. */
static void advance(struct sub *sub)
{
	struct live *l = sub->live;
	size_t told = 0;
	list_remove(&sub->lag);
	if (sub->seen < l->floor_seq) {
		send_away(sub);
		return;
	}
	if (sub->at < l->ring_at)
		sub->at = l->ring_at;
	while (is_behind(sub) && child_has_room(sub->edge) &&
	       (told < SLICE_BYTES || list_is_empty(&sub->edge->lag)))
		told += tell_next(sub);
	if (is_behind(sub))
		list_push(&sub->edge->lag, &sub->lag);
}

void live_go_on(void *sup)
{
	struct sup *s = sup;
	list_each (n, &s->children) {
		struct child *edge = list_entry(n, struct child, node);
		if (edge->role != ROLE_EDGE || list_is_empty(&edge->lag) ||
		    !child_has_room(edge))
			continue;
		while (!list_is_empty(&edge->lag) && child_has_room(edge))
			advance(list_entry(edge->lag.next, struct sub, lag));
		loop_again(s->loop); /* the links' turn is over */
	}
}

void live_resume(struct live *l, uint32_t ev_seq)
{
	if (l->last_seq >= ev_seq)
		return;
	ring_drop_first(l, l->ring.n);
	l->floor_seq = l->last_seq = ev_seq;
	list_each (n, &l->subs) {
		struct sub *sub = list_entry(n, struct sub, by_live);
		if (!sub->end_only)
			send_away(sub);
	}
}

void live_event(struct sup *s, struct live *l, const struct wire_event *e)
{
	(void)s;
	ring_add(l, e);
	if (e->durable)
		l->last_seq = e->seq;
	list_each (n, &l->subs) {
		struct sub *sub = list_entry(n, struct sub, by_live);
		if (!sub->end_only && list_is_empty(&sub->lag))
			advance(sub);
	}
}

/* Who lags reads the rest from Postgres. */
void live_end(struct sup *s, struct live *l, const struct wire_sub_end *end)
{
	if (!l)
		return;
	for (struct list *n; !list_is_empty(&l->subs);) {
		n = l->subs.next;
		struct sub *sub = list_entry(n, struct sub, by_live);
		struct wire_sub_end m = *end;
		m.sub = sub->id;
		child_send(sub->edge, WIRE_SUB_END, &m);
		sub_free(sub);
	}
	map_take(s->lives, uuid_slice(&l->run));
	rings_bytes -= l->ring.n;
	strbuf_fini(&l->ring);
	free(l);
}

void live_subscribe(struct sup *s, struct live *l, struct child *edge,
		    const struct wire_subscribe *m)
{
	(void)s;
	struct wire_sub_state state = {.sub = m->sub, .state = SUB_LIVE};
	if (!m->end_only && m->after_seq < l->floor_seq) {
		state.state = SUB_GAP;
		child_send(edge, WIRE_SUB_STATE, &state);
		return;
	}
	struct sub *sub = xcalloc(1, sizeof *sub);
	*sub = (struct sub){.live = l,
			    .edge = edge,
			    .id = m->sub,
			    .at = l->ring_at,
			    .seen = m->after_seq,
			    .end_only = m->end_only};
	list_init(&sub->lag);
	list_push(&l->subs, &sub->by_live);
	list_push(&edge->subs, &sub->by_edge);
	map_put(edge->subs_by_id, slice_of(&sub->id, sizeof sub->id), sub);
	child_send(edge, WIRE_SUB_STATE, &state);
	if (!m->end_only)
		advance(sub);
}

void live_subscribe_run(struct sup *s, struct child *edge, const struct wire_subscribe *m)
{
	const struct lq_run *r = lq_find(s->lq, m->run);
	bool lives = r && lq_run_tenant(r) == m->tenant && !lq_run_is_gone(r) &&
		     lq_run_state(r) != LQ_S_ENQUEUEING;
	if (lives) {
		live_subscribe(s, live_get(s, m->run, m->tenant), edge, m);
		return;
	}
	struct wire_sub_state gone = {.sub = m->sub, .state = SUB_GONE};
	child_send(edge, WIRE_SUB_STATE, &gone);
}

void live_unsubscribe(struct child *edge, uint64_t id)
{
	struct sub *sub = map_get(edge->subs_by_id, slice_of(&id, sizeof id));
	if (sub)
		sub_free(sub);
}

void live_drop_edge(struct child *edge)
{
	while (!list_is_empty(&edge->subs))
		sub_free(list_entry(edge->subs.next, struct sub, by_edge));
}
