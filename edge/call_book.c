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

/* The model's own id, unless the reader knows another call by it. */
static char *told_id(const struct event_view *v, bool is_used)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	strbuf_add_slice(&b, v->call_id);
	if (is_used)
		strbuf_printf(&b, "~%lld", (long long)v->step);
	return xstrndup(b.p, b.n);
}

struct told_call *call_book_get(struct call_book *b, const struct event_view *v)
{
	struct told_call *c = map_get(b->by_id, v->call_id);
	if (c && c->step == v->step)
		return c;
	struct told_call *made = xcalloc(1, sizeof *made);
	made->id = told_id(v, c);
	made->tool = xstrndup(v->tool.p ? v->tool.p : "", v->tool.n);
	made->step = v->step;
	made->next = b->all;
	b->all = made;
	map_put(b->by_id, v->call_id, made);
	return made;
}
