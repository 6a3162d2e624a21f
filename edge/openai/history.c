/* SPDX-License-Identifier: Apache-2.0
 * Part by part. */
#include "edge/openai/history.h"

#include "common/crypto.h"
#include "edge/link.h"
#include "edge/lookup.h"
#include "edge/reply.h"

static void enqueued(struct call *c, const struct wire_enqueued *m)
{
	struct history **at = c->state; /* the first member of the call's state */
	struct history *h = *at;
	struct arena *a = c->request->arena;
	if (!c->at_supervisor || !h->sent)
		return;
	c->at_supervisor = false;
	h->answered = true;
	h->error = m->error.n ? err_from_code(arena_slice(a, m->error).p) : ERR_OK;
	h->message = m->message.n ? arena_slice(a, m->message).p : NULL;
	h->retry_after_s = m->retry_after_s;
	call_wake(c);
}

/* A request that comes again under its key must not write its history again; the time
 * that stands in each line is no part of what makes two the same: the key's hash is. */
static struct slice key_of(struct call *c, const struct history *h, uint8_t hash[32])
{
	if (!h->idem_key.p)
		return SLICE_NONE;
	crypto_sha256(h->idem_key, hash);
	const char *text = arena_printf(c->request->arena, "openai-history:%zu:", h->at);
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	strbuf_add_str(&b, text);
	for (int i = 0; i < 32; i++)
		strbuf_printf(&b, "%02x", hash[i]);
	return arena_slice(c->request->arena, strbuf_slice(&b));
}

static void send_part(struct call *c, struct history *h,
		      const struct session_row *session, unsigned slot)
{
	uint8_t hash[32];
	struct slice key = key_of(c, h, hash);
	struct wire_enqueue m = {
		.req = c->handle,
		.tenant = c->caller.tenant,
		.run = uuid7_new(),
		.session = session->id,
		.agent = h->agent->id,
		.slot = slot,
		.mode = MODE_IMPORT,
		.tenant_max_running = c->caller.max_running,
		.tenant_max_queued = c->caller.max_queued,
		.tenant_weight = c->caller.weight,
		.agent_max_running = h->agent->max_running,
		/* the lane is this request's: the body's size bounds it */
		.lane_cap = UINT32_MAX,
		.drop = DROP_REJECT,
		.user = h->user,
		.idem_key = key,
		.body_hash = key.n ? slice_of(hash, 32) : SLICE_NONE,
		.body = strbuf_slice(&h->parts[h->at].body)};
	h->sent = true;
	h->answered = false;
	c->on_enqueued = enqueued;
	if (!link_enqueue(c->edge, &m))
		reply_err(c->request, ERR_UNAVAILABLE, NULL, NULL, 1);
	else
		c->at_supervisor = true;
}

/* False: answered. */
static bool take_answer(struct call *c, struct history *h)
{
	h->sent = false;
	if (h->error) {
		reply_err(c->request, h->error, NULL, h->message, h->retry_after_s);
		return false;
	}
	strbuf_fini(&h->parts[h->at++].body);
	return true;
}

bool history_place(struct call *c, struct history *h)
{
	struct session_row session;
	unsigned slot;
	if (h->sent && !h->answered)
		return false;
	if (h->sent && !take_answer(c, h))
		return false;
	if (h->at == h->count)
		return true;
	if (c->edge->draining) {
		reply_err(c->request, ERR_DRAINING, NULL, NULL, 1);
		return false;
	}
	if (lookup_found(c,
			 lookup_session(c, h->agent->id, h->session_key, h->user,
					&session, &slot),
			 NULL, "there is no such agent"))
		send_part(c, h, &session, slot);
	return false;
}

void history_fini(struct history *h)
{
	talk_free_parts(h->parts, h->count);
	h->parts = NULL;
	h->count = h->at = 0;
}
