/* SPDX-License-Identifier: Apache-2.0
 * Reads of one call. */
#include "edge/openai/store.h"

#include "edge/store_call.h"

static void on_usage(void *arg, const struct pg_answer *a)
{
	void *out;
	if (!store_answered(arg, a, &out))
		return;
	struct answer_usage *u = out;
	const struct pg_result *r = a->results[1];
	if (pg_is_null(r, 0, 0)) /* nothing was asked of a model */
		return;
	*u = (struct answer_usage){pg_get_i64(r, 0, 0), pg_get_i64(r, 0, 1),
				   pg_get_i64(r, 0, 2), pg_get_i64(r, 0, 3)};
}

void store_run_usage(struct call *c, struct uuid run, struct answer_usage *out)
{
	struct pg_request *r = store_begin(c->edge, c->caller.tenant);
	struct pg_params *p = pg_add(r, SQL_RUN_USAGE);
	pg_i64(p, c->caller.tenant);
	pg_uuid(p, run);
	store_submit(c, r, on_usage, out);
}

static void on_deleted(void *arg, const struct pg_answer *a)
{
	void *out;
	if (!store_answered(arg, a, &out))
		return;
	struct slice word = pg_get_text(a->results[1], 0, 0);
	*(enum response_delete *)out = slice_is(word, "done")   ? RESPONSE_DELETED
				       : slice_is(word, "live") ? RESPONSE_LIVE
								: RESPONSE_ABSENT;
}

void store_delete_response(struct call *c, struct uuid run, enum response_delete *out)
{
	struct pg_request *r = store_begin(c->edge, c->caller.tenant);
	pg_uuid(pg_add(r, SQL_RESPONSE_DELETE), run);
	*out = RESPONSE_ABSENT;
	store_submit(c, r, on_deleted, out);
}

static void on_models(void *arg, const struct pg_answer *a)
{
	void *out;
	struct call *c = store_answered(arg, a, &out);
	if (!c)
		return;
	struct model_page *page = out;
	const struct pg_result *r = a->results[1];
	page->count = (unsigned)pg_rows(r);
	for (unsigned i = 0; i < page->count; i++) {
		page->rows[i].name = store_keep(c->request->arena, r, (int)i, 0);
		page->rows[i].created_us = pg_get_time(r, (int)i, 1);
	}
}

static void ask_models(struct call *c, struct slice name, struct slice after,
		       unsigned limit, struct model_page *out)
{
	struct pg_request *r = store_begin(c->edge, c->caller.tenant);
	struct pg_params *p = pg_add(r, SQL_MODELS);
	pg_i64(p, c->caller.tenant);
	pg_text(p, name);
	pg_text(p, after);
	pg_i64(p, limit);
	*out = (struct model_page){0};
	store_submit(c, r, on_models, out);
}

void store_list_models(struct call *c, struct slice after, unsigned limit,
		       struct model_page *out)
{
	ask_models(c, SLICE_NONE, after, limit + 1, out);
}

void store_find_model(struct call *c, struct slice name, struct model_page *out)
{
	ask_models(c, name, SLICE(""), 1, out);
}
