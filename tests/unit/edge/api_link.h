/* SPDX-License-Identifier: Apache-2.0
 * The supervisor of the API's tests, in place of edge/link.c. */
#ifndef TB_TEST_API_LINK_H
#define TB_TEST_API_LINK_H

#include "tests/unit/edge/api_db.h"

/* ---- a supervisor */

static struct {
	int enqueues, subscribes, unsubscribes, cancels, decides, inquiries;
	struct wire_inquire inquire;
	char inquired_model[64];
	int changes; /* CHANGED of this tenant's provider keys */
	int agent_changes;
	struct wire_decide decide;
	bool away; /* the link takes nothing */
	struct wire_cancel cancel;
	struct wire_enqueue last;
	struct wire_subscribe asked;
	char body[4096], key[300];
	uint64_t sub;
	struct call *waiting;
} sup;

bool link_enqueue(struct edge *e, const struct wire_enqueue *m)
{
	if (sup.away)
		return false;
	sup.enqueues++;
	sup.last = *m;
	sup.sub = m->sub;
	snprintf(sup.body, sizeof sup.body, "%.*s", SLICE_ARG(m->body));
	snprintf(sup.key, sizeof sup.key, "%.*s", SLICE_ARG(m->idem_key));
	sup.waiting = handle_get(e->calls, m->req);
	return true;
}

/* Files are the scenario tests' affair: they need a launcher. */
bool link_files(struct edge *e, const struct wire_files_ask *m)
{
	(void)e;
	(void)m;
	return false;
}

void link_files_done(struct edge *e, uint64_t handle)
{
	(void)e;
	(void)handle;
}

bool link_manage(struct edge *e, const struct wire_manage *m)
{
	(void)e;
	(void)m;
	return !sup.away;
}

bool link_inquire(struct edge *e, const struct wire_inquire *m)
{
	(void)e;
	if (sup.away)
		return false;
	sup.inquiries++;
	sup.inquire = *m;
	snprintf(sup.inquired_model, sizeof sup.inquired_model, "%.*s",
		 SLICE_ARG(m->model));
	return true;
}

bool link_cancel(struct edge *e, const struct wire_cancel *m)
{
	(void)e;
	if (sup.away)
		return false;
	sup.cancels++;
	sup.cancel = *m;
	return true;
}

bool link_decide(struct edge *e, const struct wire_decide *m)
{
	(void)e;
	if (sup.away)
		return false;
	sup.decides++;
	sup.decide = *m;
	return true;
}

void link_changed(struct edge *e, int64_t tenant, struct slice kind, struct uuid key)
{
	(void)e, (void)key;
	sup.changes += tenant == 1 && slice_is(kind, "provider_key");
	sup.agent_changes += tenant == 1 && slice_is(kind, "agent");
}

void sub_number(struct sub *s, struct call *c)
{
	s->call = c;
	s->handle = handle_new(c->edge->subs, s);
}

void sub_open(struct sub *s, struct call *c, struct uuid run,
	      const struct sse_place *place, enum sub_want want)
{
	sub_number(s, c);
	sup.subscribes++;
	sup.sub = s->handle;
	sup.asked = (struct wire_subscribe){.run = run,
					    .tenant = c->caller.tenant,
					    .after_seq = place->seq,
					    .part_seq = place->part_seq,
					    .part_offset = place->part_offset,
					    .end_only = want == SUB_ONLY_END};
}

UNUSED static void forget(struct sub *s)
{
	handle_free(edge.subs, s->handle);
	s->handle = 0;
}

void sub_close(struct sub *s)
{
	if (s->handle)
		sup.unsubscribes++;
	if (s->handle)
		forget(s);
}

UNUSED static void say_enqueued(const char *error, unsigned state)
{
	struct wire_enqueued m = {.error = slice_str(error),
				  .run = sup.last.run,
				  .retry_after_s = *error ? 7 : 0,
				  .accepted_us = 1700000000000000,
				  .state = state};
	assert_non_null(sup.waiting);
	sup.waiting->on_enqueued(sup.waiting, &m);
}

UNUSED static struct sub *subscribed(void)
{
	struct sub *s = handle_get(edge.subs, sup.sub);
	assert_non_null(s);
	return s;
}

UNUSED static void say_state(enum sub_state state)
{
	struct sub *s = subscribed();
	if (state != SUB_LIVE)
		forget(s);
	s->on_state(s, state);
}

UNUSED static void say_event(unsigned type, uint32_t seq, const char *body)
{
	struct sub *s = subscribed();
	s->on_event(s, &(struct wire_sub_event){.seq = seq,
						.type = type,
						.durable = true,
						.at_us = 1700000000000000,
						.body = slice_str(body)});
}

UNUSED static void say_delta(uint32_t seq, uint32_t offset, const char *body)
{
	struct sub *s = subscribed();
	s->on_event(s, &(struct wire_sub_event){.seq = seq,
						.offset = offset,
						.type = EVENT_ASSISTANT,
						.at_us = 1700000000000000,
						.body = slice_str(body)});
}

UNUSED static void say_end(void)
{
	struct sub *s = subscribed();
	forget(s);
	s->on_end(s, &(struct wire_sub_end){.result = RESULT_COMPLETED});
}

UNUSED static void say_cancelled(const char *error, unsigned result)
{
	struct call *call = handle_get(edge.calls, sup.cancel.req);
	assert_non_null(call);
	call->on_cancelled(call, &(struct wire_cancelled){.error = slice_str(error),
							  .result = result});
}

#endif
