/* SPDX-License-Identifier: Apache-2.0
 * Items that Postgres writes: a window of rows, of which those are shown that fit. */
#include "edge/json_page.h"
#include "edge/store_call.h"

static void on_page(void *arg, const struct pg_answer *a)
{
	void *out;
	struct call *c = store_answered(arg, a, &out);
	struct json_page *page = out;
	if (!c)
		return;
	const struct pg_result *r = a->results[1];
	for (int i = 0; i < pg_rows(r) && page->count < page->limit; i++) {
		if (!pg_is_null(r, i, 1))
			page->rows[page->count++] =
				store_keep(c->request->arena, r, i, 1);
		if (pg_get_bool(r, i, 2) ||
		    (page->count == page->limit && i + 1 < pg_rows(r)))
			page->next = pg_get_uuid(r, i, 0);
	}
}

void json_page_submit(struct call *c, struct pg_request *r, struct json_page *out)
{
	out->count = 0;
	out->next = (struct uuid){{0}};
	store_submit(c, r, on_page, out);
}

static void on_one(void *arg, const struct pg_answer *a)
{
	void *out;
	struct call *c = store_answered(arg, a, &out);
	if (!c)
		return;
	const struct pg_result *r = a->results[1];
	*(struct slice *)out =
		pg_rows(r) ? store_keep(c->request->arena, r, 0, 0) : SLICE_NONE;
}

void json_one_submit(struct call *c, struct pg_request *r, struct slice *out)
{
	*out = SLICE_NONE;
	store_submit(c, r, on_one, out);
}
