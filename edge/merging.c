/* SPDX-License-Identifier: Apache-2.0
 * From run to run. */
#include "edge/merging.h"

/* A run taken into another that was taken into another ... */
#define MERGES_MAX 32

bool merging_hides(struct merging *m, const struct sse_item *item,
		   const struct event_view *v)
{
	if (v->kind == VIEW_END && !uuid_is_nil(v->merged_into) &&
	    m->count < MERGES_MAX) {
		m->into = v->merged_into;
		m->at_us = item->at_us;
		return true;
	}
	return v->kind != VIEW_END && item->at_us < m->at_us;
}

bool merging_goes_on(struct call *c, struct merging *m, const struct follow_sink *sink,
		     struct uuid *run)
{
	struct sse_place start = {0};
	if (uuid_is_nil(m->into))
		return false;
	*run = m->into;
	m->into = (struct uuid){0};
	m->count++;
	follow_new(c, *run, &start, sink);
	follow_ask(c->follow);
	return true;
}
