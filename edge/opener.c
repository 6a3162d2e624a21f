/* SPDX-License-Identifier: Apache-2.0
 * Batches of session openings. */
#include "edge/opener.h"

#include <stdlib.h>

#include "common/alloc.h"
#include "common/list.h"
#include "common/log.h"
#include "edge/cache.h"

struct opening {
	struct list node;
	struct cache_entry *entry;
	struct session_open open; /* user: a copy */
};

struct opener {
	struct edge *edge;
	struct list waiting, flight;
	unsigned in_flight;  /* rows of the batch under way */
	unsigned one_by_one; /* so many more batches of one row each */
};

void opener_add(struct opener *o, struct cache_entry *entry,
		const struct session_open *open)
{
	struct opening *x = xmalloc(sizeof *x);
	*x = (struct opening){.entry = entry, .open = *open};
	if (open->user.n)
		x->open.user =
			slice_of(xmemdup(open->user.p, open->user.n), open->user.n);
	list_push(&o->waiting, &x->node);
	loop_again(o->edge->loop);
}

static void opening_free(struct opening *x)
{
	list_remove(&x->node);
	if (x->open.user.n)
		free((char *)(uintptr_t)x->open.user.p);
	free(x);
}

static void fail_all(struct list *of)
{
	list_each (n, of) {
		struct opening *x = list_entry(n, struct opening, node);
		cache_failed(x->entry, ERR_DATABASE);
		opening_free(x);
	}
}

/* Before what came meanwhile, in the old order. */
static void put_back(struct opener *o)
{
	struct list *at = o->waiting.next;
	for (struct list *n; (n = list_pop(&o->flight));)
		list_insert_before(at, n);
}

static void deliver(struct opener *o, const struct session_row *rows)
{
	unsigned i = 0;
	list_each (n, &o->flight) {
		struct opening *x = list_entry(n, struct opening, node);
		const struct session_row *row = &rows[i++];
		cache_loaded(x->entry, uuid_is_nil(row->id) ? NULL : row);
		opening_free(x);
	}
}

static void on_opened(void *arg, enum store_fate fate, const struct session_row *rows)
{
	struct opener *o = arg;
	unsigned count = o->in_flight;
	o->in_flight = 0;
	if (fate == STORE_DONE) {
		deliver(o, rows);
	} else if (fate == STORE_REFUSED && count > 1) {
		log_warn("session-batch-refused", "rows=%u", count);
		o->one_by_one += count;
		put_back(o);
	} else {
		fail_all(&o->flight);
		if (fate == STORE_AWAY)
			fail_all(&o->waiting);
	}
	loop_again(o->edge->loop);
}

/* LOOP_STEPS: before the pool writes. */
static void on_turn(void *arg)
{
	struct opener *o = arg;
	const struct session_open *rows[OPENER_BATCH];
	unsigned most = o->one_by_one ? 1 : OPENER_BATCH;
	if (o->in_flight || list_is_empty(&o->waiting))
		return;
	while (o->in_flight < most && !list_is_empty(&o->waiting)) {
		struct opening *x =
			list_entry(list_pop(&o->waiting), struct opening, node);
		list_push(&o->flight, &x->node);
		rows[o->in_flight++] = &x->open;
	}
	if (o->one_by_one)
		o->one_by_one--;
	store_open_sessions(o->edge, rows, o->in_flight, on_opened, o);
}

struct opener *opener_new(struct edge *e)
{
	struct opener *o = xcalloc(1, sizeof *o);
	o->edge = e;
	list_init(&o->waiting);
	list_init(&o->flight);
	loop_hook(e->loop, LOOP_STEPS, on_turn, o);
	return o;
}

void opener_free(struct opener *o)
{
	loop_unhook(o->edge->loop, on_turn, o);
	list_each (n, &o->flight)
		opening_free(list_entry(n, struct opening, node));
	list_each (n, &o->waiting)
		opening_free(list_entry(n, struct opening, node));
	free(o);
}
