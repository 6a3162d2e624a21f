/* SPDX-License-Identifier: Apache-2.0
 * What runs ask people, as the edge reads it. */
#include "common/pg/pool.h"
#include "edge/store.h"
#include "edge/store_call.h"

struct approval_listing {
	struct approval_page *page;
	unsigned limit;
};

static void on_approvals(void *arg, const struct pg_answer *a)
{
	void *out;
	struct call *c = store_answered(arg, a, &out);
	if (!c)
		return;
	const struct approval_listing *l = out;
	const struct pg_result *r = a->results[1];
	struct approval_page *page = l->page;
	*page = (struct approval_page){0};
	for (int i = 0; i < pg_rows(r); i++) {
		struct uuid id = pg_get_uuid(r, i, 0);
		bool fits = !pg_is_null(r, i, 1);
		if (page->count == l->limit)
			return;
		if (fits)
			page->rows[page->count++] =
				store_keep(c->request->arena, r, i, 1);
		if (pg_get_bool(r, i, 2) ||
		    (page->count == l->limit && i + 1 < pg_rows(r)))
			page->next = id;
	}
}

void store_list_approvals(struct call *c, const struct approval_filter *f,
			  struct approval_page *out)
{
	struct approval_listing *l = arena_zalloc(c->request->arena, sizeof *l);
	struct pg_request *r = store_begin(c->edge, c->caller.tenant);
	bool of_user = c->caller.user.n;
	struct pg_params *p = pg_add(r, of_user ? SQL_APPROVALS_OF_USER : SQL_APPROVALS);
	*l = (struct approval_listing){out, f->page.limit};
	store_add_page(p, c, &f->page);
	store_add_filter(p, f->run);
	pg_text(p, f->state);
	pg_i64(p, (int64_t)f->page.limit + 1);
	pg_i64(p, PAGE_WINDOW);
	if (of_user)
		pg_text(p, c->caller.user);
	store_submit(c, r, on_approvals, l);
}

static void on_approval(void *arg, const struct pg_answer *a)
{
	void *out;
	struct call *c = store_answered(arg, a, &out);
	struct approval_row *row = out;
	if (!c)
		return;
	const struct pg_result *r = a->results[1];
	*row = (struct approval_row){0};
	if (pg_rows(r) == 0)
		return;
	*row = (struct approval_row){.found = true,
				     .body = store_keep(c->request->arena, r, 0, 1),
				     .run = pg_get_uuid(r, 0, 2),
				     .session = pg_get_uuid(r, 0, 3),
				     .builder = pg_get_bool(r, 0, 4)};
}

void store_get_approval(struct call *c, struct uuid id, struct approval_row *out)
{
	struct pg_request *r = store_begin(c->edge, c->caller.tenant);
	struct pg_params *p = pg_add(r, SQL_APPROVAL);
	pg_i64(p, c->caller.tenant);
	pg_uuid(p, id);
	store_submit(c, r, on_approval, out);
}
