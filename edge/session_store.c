/* SPDX-License-Identifier: Apache-2.0
 * Sessions, their messages, and the search in them. */
#include "edge/session_store.h"

#include "common/clock.h"
#include "common/json.h"
#include "common/pg/pool.h"
#include "edge/change.h"
#include "edge/run_json.h"
#include "edge/store_call.h"

/* ---- one session */

static void take_info(struct arena *a, const struct pg_result *r,
		      struct session_info *out)
{
	*out = (struct session_info){0};
	if (pg_rows(r) == 0)
		return;
	*out = (struct session_info){.found = true,
				     .id = pg_get_uuid(r, 0, 0),
				     .agent = pg_get_uuid(r, 0, 1),
				     .slot = (unsigned)pg_get_i64(r, 0, 2),
				     .key = store_keep(a, r, 0, 3),
				     .json = store_keep(a, r, 0, 4),
				     .head = pg_get_i64(r, 0, 5),
				     .version = pg_get_i64(r, 0, 6)};
}

static void on_info(void *arg, const struct pg_answer *a)
{
	void *out;
	struct call *c = store_answered(arg, a, &out);
	if (c)
		take_info(c->request->arena, a->results[1], out);
}

void store_read_session(struct call *c, struct uuid id, struct uuid agent,
			struct slice key, struct session_info *out)
{
	struct pg_request *r = store_begin(c->edge, c->caller.tenant);
	struct pg_params *p = pg_add(r, key.p ? SQL_SESSION_BY_KEY : SQL_SESSION_BY_ID);
	pg_i64(p, c->caller.tenant);
	pg_uuid(p, key.p ? agent : id);
	if (key.p)
		pg_text(p, key);
	store_submit(c, r, on_info, out);
}

static void on_patched(void *arg, const struct pg_answer *a)
{
	void *at;
	struct call *c = store_answered(arg, a, &at);
	struct session_patched *out = at;
	if (!c)
		return;
	out->done = pg_rows(a->results[1]) > 0;
	take_info(c->request->arena, a->results[2], &out->info);
}

void store_patch_session(struct call *c, struct uuid id, const struct session_patch *s,
			 int64_t expect, struct session_patched *out)
{
	struct pg_request *r = store_begin(c->edge, c->caller.tenant);
	struct pg_params *p = pg_add(r, SQL_SESSION_PATCH);
	pg_i64(p, c->caller.tenant);
	pg_uuid(p, id);
	pg_bool(p, s->has_title);
	pg_text(p, s->title);
	if (s->meta.p)
		pg_jsonb(p, s->meta);
	else
		pg_null(p, PG_JSONB);
	pg_bool(p, s->has_mode);
	pg_text(p, s->mode);
	change_add_expected(p, expect);
	p = pg_add(r, SQL_SESSION_BY_ID);
	pg_i64(p, c->caller.tenant);
	pg_uuid(p, id);
	store_submit(c, r, on_patched, out);
}

/* ---- a page of sessions */

static void put_before(struct pg_params *p, const struct time_place *at)
{
	/* A time of the year 2262 is behind all. */
	pg_time(p, at->us < INT64_MAX / 1000 ? at->us : INT64_MAX / 1000);
}

struct session_listing {
	struct session_page *page;
	unsigned limit;
};

static void on_sessions(void *arg, const struct pg_answer *a)
{
	void *out;
	struct call *c = store_answered(arg, a, &out);
	if (!c)
		return;
	const struct session_listing *l = out;
	const struct pg_result *r = a->results[1];
	struct session_page *page = l->page;
	*page = (struct session_page){0};
	for (int i = 0; i < pg_rows(r); i++) {
		if (page->count == l->limit) {
			page->more = true;
			return;
		}
		if (!pg_is_null(r, i, 2))
			page->rows[page->count++] =
				store_keep(c->request->arena, r, i, 2);
		page->next = (struct time_place){.us = pg_get_time(r, i, 1),
						 .id = pg_get_uuid(r, i, 0)};
		page->more = pg_get_bool(r, i, 3);
	}
}

void store_list_sessions(struct call *c, const struct session_filter *f,
			 struct session_page *out)
{
	struct session_listing *l = arena_zalloc(c->request->arena, sizeof *l);
	struct pg_request *r = store_begin(c->edge, c->caller.tenant);
	bool of_user = c->caller.user.n, of_agent = !uuid_is_nil(f->agent);
	struct pg_params *p = pg_add(r, of_user    ? SQL_SESSIONS_OF_USER
					: of_agent ? SQL_SESSIONS_OF_AGENT
						   : SQL_SESSIONS);
	*l = (struct session_listing){out, f->limit};
	pg_i64(p, c->caller.tenant);
	put_before(p, &f->before);
	pg_uuid(p, f->before.id);
	pg_text(p, f->status);
	pg_i64(p, (int64_t)f->limit + 1);
	pg_i64(p, PAGE_WINDOW);
	if (of_agent || of_user)
		store_add_filter(p, f->agent);
	if (of_user)
		pg_text(p, c->caller.user);
	store_submit(c, r, on_sessions, l);
}

/* ---- messages */

static void on_messages(void *arg, const struct pg_answer *a)
{
	void *out;
	struct call *c = store_answered(arg, a, &out);
	struct message_page *page = out;
	if (!c)
		return;
	const struct pg_result *r = a->results[1];
	struct arena *arena = page->arena ? page->arena : c->request->arena;
	if (page->arena)
		arena_reset(arena);
	page->count = 0;
	for (int i = 0; i < pg_rows(r) && i < PAGE_MAX; i++) {
		page->last = pg_get_i64(r, i, 0);
		page->lines[page->count++] = store_keep(arena, r, i, 1);
	}
}

void store_read_messages(struct call *c, struct uuid session, int64_t seq, bool up,
			 unsigned limit, struct message_page *out)
{
	struct pg_request *r = store_begin(c->edge, c->caller.tenant);
	struct pg_params *p = pg_add(r, up ? SQL_MESSAGES_AFTER : SQL_MESSAGES_BEFORE);
	pg_i64(p, c->caller.tenant);
	pg_uuid(p, session);
	pg_i64(p, seq);
	pg_i32(p, (int32_t)limit);
	pg_i64(p, MESSAGE_PAGE_BYTES);
	store_submit(c, r, on_messages, out);
}

/* ---- search */

struct searching {
	struct found_page *page;
	unsigned limit;
};

static struct slice found_json(struct arena *a, const struct pg_result *r, int row)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	json_obj(&o);
	run_put_id(&o, "sessionId", pg_get_uuid(r, row, 0));
	json_kv_str(&o, "sessionKey", pg_get_text(r, row, 1));
	json_kv_i64(&o, "seq", pg_get_i64(r, row, 2));
	json_kv_str(&o, "role", pg_get_text(r, row, 3));
	run_put_id(&o, "runId", pg_get_uuid(r, row, 4));
	run_put_time(&o, "createdAt", pg_get_time(r, row, 5));
	json_kv_str(&o, "excerpt", pg_get_text(r, row, 6));
	json_obj_end(&o);
	return arena_slice(a, strbuf_slice(&b));
}

/* The first row says how far the search is. */
static void on_found(void *arg, const struct pg_answer *a)
{
	void *out;
	struct call *c = store_answered(arg, a, &out);
	if (!c)
		return;
	const struct searching *s = out;
	const struct pg_result *r = a->results[1];
	struct found_page *page = s->page;
	*page = (struct found_page){.complete = pg_get_bool(r, 0, 7)};
	for (int i = 1; i < pg_rows(r); i++) {
		if (page->count == s->limit) {
			page->more = true;
			return;
		}
		page->rows[page->count++] = found_json(c->request->arena, r, i);
		page->next = (struct time_place){.us = pg_get_time(r, i, 5),
						 .seq = pg_get_i64(r, i, 2)};
	}
}

void store_search_messages(struct call *c, const struct message_search *s,
			   struct found_page *out)
{
	struct searching *x = arena_zalloc(c->request->arena, sizeof *x);
	struct pg_request *r = store_begin(c->edge, c->caller.tenant);
	struct pg_params *p = pg_add(r, SQL_MESSAGE_SEARCH);
	*x = (struct searching){out, s->limit};
	store_add_filter(p, s->session);
	store_add_filter(p, s->agent);
	pg_text(p, s->text);
	put_before(p, &s->before);
	pg_i64(p, s->before.seq);
	pg_i32(p, (int32_t)s->limit + 1);
	store_submit(c, r, on_found, x);
}
