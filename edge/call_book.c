/* SPDX-License-Identifier: Apache-2.0
 * Entries by the model's id. */
#include "edge/call_book.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/alloc.h"
#include "common/map.h"
#include "common/strbuf.h"

void call_book_init(struct call_book *b)
{
	*b = (struct call_book){.by_id = map_new()};
}

void call_book_fini(struct call_book *b)
{
	for (struct told_call *c; (c = b->all);) {
		b->all = c->next;
		free(c->id);
		free(c->tool);
		free(c);
	}
	map_free(b->by_id);
	b->by_id = NULL;
}

static struct told_call *enter(struct call_book *b, const struct event_view *v,
			       struct slice id)
{
	struct told_call *c = xcalloc(1, sizeof *c);
	c->id = xstrndup(id.p, id.n);
	c->tool = xstrndup(v->tool.p ? v->tool.p : "", v->tool.n);
	c->step = v->step;
	c->next = b->all;
	b->all = c;
	map_put(b->by_id, id, c);
	return c;
}

/* The model's own id, unless the reader knows a call of another step by it. */
struct told_call *call_book_get(struct call_book *b, const struct event_view *v)
{
	AUTO(strbuf_fini) struct strbuf other = STRBUF_INIT;
	struct told_call *c = map_get(b->by_id, v->call_id);
	if (!c)
		return enter(b, v, v->call_id);
	if (c->step == v->step)
		return c;
	strbuf_printf(&other, "%.*s~%lld", SLICE_ARG(v->call_id), (long long)v->step);
	c = map_get(b->by_id, strbuf_slice(&other));
	return c ? c : enter(b, v, strbuf_slice(&other));
}
