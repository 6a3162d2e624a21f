/* SPDX-License-Identifier: Apache-2.0
 * Arrays of tb.enqueue, tb.claim and tb.cap_grant from a batch. */
#include "supervisor/journal_item.h"

#include "supervisor/children.h"
#include "supervisor/sup.h"

/* One array parameter: `put` for each item of the batch. */
#define COLUMN(p, type, items, put)                                                      \
	do {                                                                             \
		pg_array(p, type);                                                       \
		list_each (at_, items) {                                                 \
			const struct item *it = list_entry(at_, struct item, node);      \
			put;                                                             \
		}                                                                        \
		pg_array_end(p);                                                         \
	} while (0)

static void text_or_null(struct pg_params *p, struct slice s)
{
	pg_text(p, s.n ? s : SLICE_NONE);
}

static void bytes_or_null(struct pg_params *p, struct slice s)
{
	pg_bytea(p, s.n ? s : SLICE_NONE);
}

static void time_or_null(struct pg_params *p, int64_t us)
{
	if (us)
		pg_time(p, us);
	else
		pg_null(p, PG_TIMESTAMPTZ);
}

static void put_worker(struct pg_params *p, const struct item *it)
{
	if (it->worker >= 0)
		pg_i16(p, (int16_t)it->worker);
	else
		pg_null(p, PG_INT2);
}

static void put_cap(struct pg_params *p, const struct item *it)
{
	pg_bytea(p, it->worker >= 0 ? slice_of(it->cap.sha256, 32) : SLICE_NONE);
}

static void put_victim(struct pg_params *p, const struct item *it)
{
	if (uuid_is_nil(it->victim))
		pg_null(p, PG_UUID);
	else
		pg_uuid(p, it->victim);
}

void item_put_enqueues(struct pg_params *p, struct sup *s, struct list *items)
{
	bool resend = false;
	list_each (n, items)
		resend |= list_entry(n, struct item, node)->resend;
	pg_uuid(p, s->node);
	pg_bool(p, resend);
	COLUMN(p, PG_INT8, items, pg_i64(p, it->tenant));
	COLUMN(p, PG_UUID, items, pg_uuid(p, it->run_id));
	COLUMN(p, PG_UUID, items, pg_uuid(p, it->session));
	COLUMN(p, PG_UUID, items, pg_uuid(p, it->enqueue.agent));
	COLUMN(p, PG_INT2, items, pg_i16(p, (int16_t)it->enqueue.slot));
	COLUMN(p, PG_TEXT, items,
	       pg_text(p, mode_is_job(it->enqueue.mode) ? SLICE("job") : SLICE("turn")));
	COLUMN(p, PG_TEXT, items, pg_text(p, slice_str(mode_word(it->enqueue.mode))));
	COLUMN(p, PG_INT2, items, pg_i16(p, (int16_t)it->enqueue.priority));
	COLUMN(p, PG_INT8, items, pg_i64(p, it->order_us));
	COLUMN(p, PG_TIMESTAMPTZ, items, time_or_null(p, it->enqueue.run_at_us));
	COLUMN(p, PG_TIMESTAMPTZ, items, time_or_null(p, it->enqueue.deadline_us));
	COLUMN(p, PG_JSONB, items, pg_jsonb(p, item_text(it, it->body)));
	COLUMN(p, PG_UUID, items, pg_null(p, PG_UUID); (void)it);
	COLUMN(p, PG_TEXT, items, text_or_null(p, item_text(it, it->user)));
	COLUMN(p, PG_TEXT, items, text_or_null(p, item_text(it, it->key)));
	COLUMN(p, PG_BYTEA, items, bytes_or_null(p, item_text(it, it->hash)));
	COLUMN(p, PG_INT2, items, put_worker(p, it));
	COLUMN(p, PG_BYTEA, items, put_cap(p, it));
	COLUMN(p, PG_UUID, items, put_victim(p, it));
	COLUMN(p, PG_BOOL, items, pg_bool(p, it->fold));
}

void item_put_claims(struct pg_params *p, struct sup *s, struct list *items)
{
	pg_uuid(p, s->node);
	COLUMN(p, PG_INT8, items, pg_i64(p, it->tenant));
	COLUMN(p, PG_UUID, items, pg_uuid(p, it->run_id));
	COLUMN(p, PG_UUID, items, pg_uuid(p, it->session));
	COLUMN(p, PG_INT2, items, put_worker(p, it));
	COLUMN(p, PG_BYTEA, items, put_cap(p, it));
	COLUMN(p, PG_BOOL, items, pg_bool(p, it->crashed));
}

/* The item's live capability; NULL: of a former life of its worker. */
static struct cap *cap_of(struct sup *s, const struct item *it)
{
	struct child *w = it->worker >= 0 ? child_worker(s, it->worker) : NULL;
	return w && uuid_eq(w->incarnation, it->worker_life) ? cap_get(w, it->tenant)
							     : NULL;
}

/* Two items of one tenant and one worker's life name the same capability once: ON
 * CONFLICT may not meet a row twice. An item of the worker's former life names none. */
static bool is_first(struct list *items, const struct item *it)
{
	list_each (n, items) {
		const struct item *other = list_entry(n, struct item, node);
		if (other == it)
			break;
		if (other->worker == it->worker && other->tenant == it->tenant &&
		    uuid_eq(other->worker_life, it->worker_life))
			return false;
	}
	return true;
}

unsigned item_mark_grants(struct sup *s, struct list *items)
{
	unsigned marked = 0;
	list_each (n, items) {
		struct item *it = list_entry(n, struct item, node);
		const struct cap *cap = cap_of(s, it);
		it->grants = cap && cap_is_due(cap) && is_first(items, it);
		marked += it->grants;
	}
	return marked;
}

void item_put_grants(struct pg_params *p, struct sup *s, struct list *items)
{
	pg_uuid(p, s->node);
	COLUMN(p, PG_UUID, items, if (it->grants) pg_uuid(p, it->worker_life));
	COLUMN(p, PG_INT8, items, if (it->grants) pg_i64(p, it->tenant));
	COLUMN(p, PG_BYTEA, items,
	       if (it->grants) pg_bytea(p, slice_of(it->cap.sha256, 32)));
}

void item_note_grants(struct sup *s, struct list *items, int64_t then_us)
{
	list_each (n, items) {
		const struct item *it = list_entry(n, struct item, node);
		struct cap *cap = it->grants ? cap_of(s, it) : NULL;
		if (cap)
			cap->granted_us = then_us;
	}
}
