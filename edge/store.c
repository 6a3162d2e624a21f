/* SPDX-License-Identifier: Apache-2.0
 * The edge's reads of Postgres. */
#include "edge/store.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/alloc.h"
#include "edge/cache.h"
#include "edge/store_call.h"
#include "proto/wire.h"

const struct pg_stmt *store_stmts(void)
{
	static const struct pg_stmt stmts[SQL__COUNT] = {
#define SQL(NAME, text) [SQL_##NAME] = {#NAME, text},
#include "edge/sql.tbl"
#undef SQL
	};
	return stmts;
}

/* ---- caches */

static void take_rest(const struct pg_result *r, struct token_row *row)
{
	struct slice sha = pg_get_bytea(r, 0, 10), user = pg_get_text(r, 0, 12);
	if (sha.n == sizeof row->previous_sha256)
		memcpy(row->previous_sha256, sha.p, sha.n);
	row->previous_until_us = pg_get_time(r, 0, 11);
	row->user_n = user.n < sizeof row->user ? user.n : sizeof row->user;
	if (row->user_n)
		memcpy(row->user, user.p, row->user_n);
	row->requests = (uint32_t)pg_get_i64(r, 0, 13);
	row->tokens = pg_get_i64(r, 0, 14);
	row->tenant_requests = (uint32_t)pg_get_i64(r, 0, 15);
	row->tenant_tokens = pg_get_i64(r, 0, 16);
}

static void on_token(void *arg, const struct pg_answer *a)
{
	struct cache_entry *e = arg;
	struct token_row row = {0};
	if (a->err) {
		store_note_failure("token", a);
		cache_failed(e, ERR_DATABASE);
		return;
	}
	const struct pg_result *r = a->results[1];
	struct slice key = cache_entry_key(e);
	if (pg_rows(r) == 0) {
		cache_loaded(e, NULL);
		return;
	}
	memcpy(&row.tenant, key.p, 8);
	memcpy(row.id.b, key.p + 8, 16);
	struct slice sha = pg_get_bytea(r, 0, 0);
	memcpy(row.secret_sha256, sha.p, sha.n < 32 ? sha.n : 32);
	for (int i = 0; i < 4; i++)
		row.scopes |= pg_get_bool(r, 0, 1 + i) ? 1u << i : 0u;
	row.expires_us = pg_get_time(r, 0, 5);
	row.suspended = pg_get_bool(r, 0, 6);
	row.max_running = (uint32_t)pg_get_i64(r, 0, 7);
	row.max_queued = (uint32_t)pg_get_i64(r, 0, 8);
	row.weight = (uint32_t)pg_get_i64(r, 0, 9);
	take_rest(r, &row);
	cache_loaded(e, &row);
}

void store_load_token(struct edge *e, struct cache_entry *entry, int64_t tenant,
		      struct uuid id)
{
	struct pg_request *r = store_begin(e, tenant);
	struct pg_params *p = pg_add(r, SQL_TOKEN);
	pg_i64(p, tenant);
	pg_uuid(p, id);
	store_submit_load(r, on_token, entry);
}

/* A number of an agent's configuration, within bounds. */
static uint32_t setting(struct slice json, long long min, long long max,
			uint32_t otherwise)
{
	long long v;
	return slice_to_i64(json, &v) && v >= min && v <= max ? (uint32_t)v : otherwise;
}

static void take_lane_settings(const struct pg_result *r, struct agent_row *row)
{
	row->mode = mode_from_word(pg_get_text(r, 0, 3));
	if (row->mode == MODE_ANNOUNCE)
		row->mode = 0;
	row->lane_cap =
		setting(pg_get_text(r, 0, 4), 1, AGENT_LANE_CAP_MAX, LIMIT_LANE_WAITING);
	row->drop = drop_from_word(pg_get_text(r, 0, 5));
	if (!row->drop)
		row->drop = DROP_REJECT;
	row->debounce_ms = setting(pg_get_text(r, 0, 6), 0, AGENT_DEBOUNCE_MAX_MS,
				   AGENT_DEBOUNCE_MS);
}

static void take_workspace(const struct pg_result *r, struct agent_row *row)
{
	long long bytes, files;
	row->by_session = slice_is(pg_get_text(r, 0, 7), "session");
	if (slice_to_i64(pg_get_text(r, 0, 8), &bytes) && bytes > 0)
		row->workspace_bytes = (uint64_t)bytes;
	if (slice_to_i64(pg_get_text(r, 0, 9), &files) && files > 0)
		row->workspace_files = (uint64_t)files;
}

static void take_embedding_model(const struct pg_result *r, struct agent_row *row)
{
	struct slice model = pg_get_text(r, 0, 10);
	if (model.n < sizeof row->embedding_model)
		memcpy(row->embedding_model, model.p ? model.p : "", model.n);
}

static void on_agent(void *arg, const struct pg_answer *a)
{
	struct cache_entry *e = arg;
	struct agent_row row = {0};
	if (a->err) {
		store_note_failure("agent", a);
		cache_failed(e, ERR_DATABASE);
		return;
	}
	const struct pg_result *r = a->results[1];
	if (pg_rows(r) == 0) {
		cache_loaded(e, NULL);
		return;
	}
	row.id = pg_get_uuid(r, 0, 0);
	snprintf(row.name, sizeof row.name, "%.*s", SLICE_ARG(pg_get_text(r, 0, 1)));
	row.max_running = (uint32_t)pg_get_i64(r, 0, 2);
	take_lane_settings(r, &row);
	take_workspace(r, &row);
	take_embedding_model(r, &row);
	cache_loaded(e, &row);
}

void store_load_agent(struct edge *e, struct cache_entry *entry, int64_t tenant,
		      struct slice word)
{
	struct uuid id;
	bool by_id = uuid_parse(word, &id);
	struct pg_request *r = store_begin(e, tenant);
	struct pg_params *p = pg_add(r, by_id    ? SQL_AGENT_BY_ID
					: word.n ? SQL_AGENT
						 : SQL_AGENT_DEFAULT);
	pg_i64(p, tenant);
	if (by_id)
		pg_uuid(p, id);
	else if (word.n)
		pg_text(p, word);
	store_submit_load(r, on_agent, entry);
}

/* ---- sessions */

struct opening {
	store_opened_fn *done;
	void *arg;
	unsigned count;
};

static void on_opened(void *arg, const struct pg_answer *a)
{
	struct opening o = *(struct opening *)arg;
	struct session_row rows[LIMIT_BATCH_RUNS] = {0};
	free(arg);
	if (a->err) {
		store_note_failure("sessions", a);
		o.done(o.arg, a->fate == PG_ROLLED_BACK ? STORE_REFUSED : STORE_AWAY,
		       NULL);
		return;
	}
	const struct pg_result *r = a->results[0];
	for (int i = 0; i < pg_rows(r); i++) {
		int64_t n = pg_get_i64(r, i, 0);
		unsigned mode = mode_from_word(pg_get_text(r, i, 2));
		if (n < 1 || n > o.count)
			continue;
		rows[n - 1].id = pg_get_uuid(r, i, 1);
		rows[n - 1].mode = mode == MODE_ANNOUNCE ? 0 : mode;
		if (pg_get_text(r, i, 3).n)
			crypto_digest(pg_get_text(r, i, 3), rows[n - 1].user);
	}
	o.done(o.arg, STORE_DONE, rows);
}

#define COLUMN(p, type, rows, count, put)                                                \
	do {                                                                             \
		pg_array(p, type);                                                       \
		for (unsigned i = 0; i < (count); i++) {                                 \
			const struct session_open *row = (rows)[i];                      \
			put;                                                             \
		}                                                                        \
		pg_array_end(p);                                                         \
	} while (0)

void store_open_sessions(struct edge *e, const struct session_open *const *rows,
			 unsigned count, store_opened_fn *done, void *arg)
{
	struct opening *o = xmalloc(sizeof *o);
	struct pg_request *r = pg_begin(e->pool);
	struct pg_params *p = pg_add(r, SQL_OPEN_SESSIONS);
	*o = (struct opening){done, arg, count};
	COLUMN(p, PG_INT8, rows, count, pg_i64(p, row->tenant));
	COLUMN(p, PG_UUID, rows, count, pg_uuid(p, row->agent));
	COLUMN(p, PG_TEXT, rows, count, pg_text(p, row->key));
	COLUMN(p, PG_UUID, rows, count, ((void)row, pg_uuid(p, uuid7_new())));
	COLUMN(p, PG_INT2, rows, count, pg_i16(p, (int16_t)row->slot));
	COLUMN(p, PG_TEXT, rows, count, pg_text(p, row->user.n ? row->user : SLICE_NONE));
	pg_submit(r, PG_ANY, STORE_QUEUE_MS, on_opened, o);
}

/* ---- reads of a call */

static void add_run_reads(struct pg_request *r, int64_t tenant, struct uuid run)
{
	for (int i = SQL_RUN_LIVE; i <= SQL_RUN_ENDED; i++) {
		struct pg_params *p = pg_add(r, i);
		pg_i64(p, tenant);
		pg_uuid(p, run);
	}
}

static void take_run(struct arena *a, const struct pg_result *r, bool ended,
		     struct run_row *out)
{
	*out = (struct run_row){.found = true, .ended = ended};
	out->session = pg_get_uuid(r, 0, 0);
	out->agent = pg_get_uuid(r, 0, 1);
	out->agent_name = store_keep(a, r, 0, 2);
	out->session_key = store_keep(a, r, 0, 3);
	out->state = store_keep(a, r, 0, 4);
	out->attempts = pg_get_i64(r, 0, 6);
	out->accepted_us = pg_get_time(r, 0, 7);
	out->started_us = pg_get_time(r, 0, 8);
}

static void take_live(struct arena *a, const struct pg_result *r, struct run_row *out)
{
	take_run(a, r, false, out);
	out->cancelling = pg_get_bool(r, 0, 5);
	out->position = pg_get_i64(r, 0, 9);
	out->approvals = store_keep(a, r, 0, 10);
	out->builder = pg_get_bool(r, 0, 11);
}

static void take_ended(struct arena *a, const struct pg_result *r, struct run_row *out)
{
	take_run(a, r, true, out);
	out->merged_into = pg_get_uuid(r, 0, 5);
	out->ended_us = pg_get_time(r, 0, 9);
	out->error_code = store_keep(a, r, 0, 10);
	out->error = store_keep(a, r, 0, 11);
	out->output_seq = pg_get_i64(r, 0, 12);
	out->text = store_keep(a, r, 0, 13);
	out->steps = pg_get_i64(r, 0, 14);
	out->tool_calls = pg_get_i64(r, 0, 15);
	out->tokens_in = pg_get_i64(r, 0, 16);
	out->tokens_out = pg_get_i64(r, 0, 17);
	out->cost_micros = pg_is_null(r, 0, 18) ? -1 : pg_get_i64(r, 0, 18);
	out->model_calls = pg_get_i64(r, 0, 19);
	out->unpriced_calls = pg_get_i64(r, 0, 20);
	out->model_ms = pg_get_i64(r, 0, 21);
	out->has_cost = true;
	out->pending_calls = store_keep(a, r, 0, 22);
	out->stop =
		out->pending_calls.p ? SLICE("client_tools") : store_keep(a, r, 0, 23);
	out->builder = pg_get_bool(r, 0, 24);
	out->response_deleted = pg_get_bool(r, 0, 25);
}

static void take_either(struct arena *a, const struct pg_answer *answer,
			struct run_row *out)
{
	*out = (struct run_row){0};
	if (pg_rows(answer->results[2]) > 0)
		take_ended(a, answer->results[2], out);
	else if (pg_rows(answer->results[1]) > 0)
		take_live(a, answer->results[1], out);
}

static void on_run(void *arg, const struct pg_answer *a)
{
	void *out;
	struct call *c = store_answered(arg, a, &out);
	if (c)
		take_either(c->request->arena, a, out);
}

void store_get_run(struct call *c, struct uuid run, struct run_row *out)
{
	struct pg_request *r = store_begin(c->edge, c->caller.tenant);
	add_run_reads(r, c->caller.tenant, run);
	store_submit(c, r, on_run, out);
}

/* ---- a session that is there */

static void on_session(void *arg, const struct pg_answer *a)
{
	void *out;
	if (store_answered(arg, a, &out) && pg_rows(a->results[1]))
		*(struct uuid *)out = pg_get_uuid(a->results[1], 0, 0);
}

void store_find_session(struct call *c, struct uuid agent, struct slice key,
			struct uuid *out)
{
	struct pg_request *r = store_begin(c->edge, c->caller.tenant);
	struct pg_params *p = pg_add(r, SQL_SESSION);
	pg_i64(p, c->caller.tenant);
	pg_uuid(p, agent);
	pg_text(p, key);
	store_submit(c, r, on_session, out);
}

/* ---- a page of runs */

struct listing {
	struct run_page *page;
	unsigned limit;
	int live, ended; /* which results of the answer, -1: not asked */
};
/* Where the merge stands in one of the two. */
struct source {
	const struct pg_result *rows; /* NULL: not asked */
	int at;
	bool ended;
};

enum { LIST_FITS = 9, LIST_LAST = 10, LIST_OWN = 11 };

static void take_listed(struct arena *a, const struct pg_result *r, int i, bool ended,
			struct run_row *out)
{
	*out = (struct run_row){.found = true, .ended = ended, .position = -1};
	out->session = pg_get_uuid(r, i, 1);
	out->agent = pg_get_uuid(r, i, 2);
	out->agent_name = store_keep(a, r, i, 3);
	out->session_key = store_keep(a, r, i, 4);
	out->state = store_keep(a, r, i, 5);
	out->attempts = pg_get_i64(r, i, 6);
	out->accepted_us = pg_get_time(r, i, 7);
	out->started_us = pg_get_time(r, i, 8);
	if (!ended) {
		out->cancelling = pg_get_bool(r, i, LIST_OWN);
		return;
	}
	out->merged_into = pg_get_uuid(r, i, LIST_OWN);
	out->ended_us = pg_get_time(r, i, LIST_OWN + 1);
	out->error_code = store_keep(a, r, i, LIST_OWN + 2);
	out->error = store_keep(a, r, i, LIST_OWN + 3);
	out->steps = pg_get_i64(r, i, LIST_OWN + 4);
	out->tool_calls = pg_get_i64(r, i, LIST_OWN + 5);
	out->tokens_in = pg_get_i64(r, i, LIST_OWN + 6);
	out->tokens_out = pg_get_i64(r, i, LIST_OWN + 7);
}

static bool has_more(const struct source *s)
{
	return s->rows && s->at < pg_rows(s->rows);
}

static struct uuid head_id(const struct source *s)
{
	return pg_get_uuid(s->rows, s->at, 0);
}

/* The source whose head is the newest; the archive's before the queue's. NULL: both are
 * at their end. */
static struct source *newest(struct source *live, struct source *ended)
{
	if (!has_more(live) || !has_more(ended))
		return has_more(live) ? live : has_more(ended) ? ended : NULL;
	struct uuid a = head_id(live), b = head_id(ended);
	return memcmp(a.b, b.b, sizeof a.b) > 0 ? live : ended;
}

/* Goes on behind this run, if it stands here. *last: set at the window's end. */
static void pass(struct source *s, struct uuid id, bool *last)
{
	if (has_more(s) && uuid_eq(head_id(s), id))
		*last |= pg_get_bool(s->rows, s->at++, LIST_LAST);
}

/* Merges the two by id, the newest first. A run that ended between the two reads stands
 * in both: the archive is right. What lies below the end of either window waits for the
 * next page. */
static void merge_page(struct arena *a, const struct listing *l,
		       const struct pg_answer *answer)
{
	struct run_page *page = l->page;
	struct source live = {l->live < 0 ? NULL : answer->results[l->live], 0, false};
	struct source ended = {l->ended < 0 ? NULL : answer->results[l->ended], 0, true};
	struct source *s;
	bool last = false;
	*page = (struct run_page){0};
	while (!last && (s = newest(&live, &ended))) {
		struct uuid id = head_id(s);
		if (page->count == l->limit) {
			page->next = page->rows[page->count - 1].id;
			return;
		}
		if (pg_get_bool(s->rows, s->at, LIST_FITS)) {
			page->rows[page->count].id = id;
			take_listed(a, s->rows, s->at, s->ended,
				    &page->rows[page->count++].run);
		}
		pass(&live, id, &last);
		pass(&ended, id, &last);
		if (last)
			page->next = id;
	}
}

static void on_list(void *arg, const struct pg_answer *a)
{
	void *out;
	struct call *c = store_answered(arg, a, &out);
	if (c)
		merge_page(c->request->arena, out, a);
}

static void add_list(struct pg_request *r, int stmt, const struct call *c,
		     const struct run_filter *f)
{
	struct pg_params *p = pg_add(r, stmt);
	store_add_page(p, c, &f->page);
	pg_text(p, f->status);
	pg_i64(p, (int64_t)f->page.limit + 1);
	pg_i64(p, stmt == SQL_RUNS_LIVE ? PAGE_WINDOW_LIVE : PAGE_WINDOW);
	if (stmt == SQL_RUNS_ENDED_OF_USER)
		pg_text(p, c->caller.user);
}

/* The index in which few others lie between. */
static int ended_by(const struct call *c, const struct run_filter *f)
{
	if (!uuid_is_nil(f->page.session))
		return SQL_RUNS_ENDED_OF_SESSION;
	return c->caller.user.n ? SQL_RUNS_ENDED_OF_USER : SQL_RUNS_ENDED;
}

/* The live ones are asked before the ended ones: a run that ends in between is found. */
void store_list_runs(struct call *c, const struct run_filter *f, struct run_page *out)
{
	struct listing *l = arena_zalloc(c->request->arena, sizeof *l);
	struct pg_request *r = store_begin(c->edge, c->caller.tenant);
	int next = 1;
	*l = (struct listing){out, f->page.limit, -1, -1};
	if (!f->status.p || !result_from_word(f->status)) {
		add_list(r, SQL_RUNS_LIVE, c, f);
		l->live = next++;
	}
	if (!f->status.p || result_from_word(f->status)) {
		add_list(r, ended_by(c, f), c, f);
		l->ended = next;
	}
	store_submit(c, r, on_list, l);
}

/* ---- a page of events */

static const char *type_word(struct slice type)
{
	unsigned number = event_from_word(type);
	return number ? event_word(number) : "error";
}

static void on_events(void *arg, const struct pg_answer *a)
{
	void *out;
	struct call *c = store_answered(arg, a, &out);
	if (!c)
		return;
	struct event_page *page = out;
	const struct pg_result *r = a->results[3];
	arena_reset(page->arena);
	take_either(page->arena, a, &page->run);
	page->count = (unsigned)pg_rows(r);
	for (unsigned i = 0; i < page->count && i < EVENT_PAGE; i++) {
		struct event_row *row = &page->rows[i];
		row->seq = (uint32_t)pg_get_i64(r, (int)i, 0);
		row->type = type_word(pg_get_text(r, (int)i, 1));
		row->at_us = pg_get_time(r, (int)i, 2);
		row->body = store_keep(page->arena, r, (int)i, 3);
		row->whole = store_keep(page->arena, r, (int)i, 4);
	}
}

void store_get_events(struct call *c, struct uuid run, uint32_t after,
		      struct event_page *out)
{
	struct pg_request *r = store_begin(c->edge, c->caller.tenant);
	add_run_reads(r, c->caller.tenant, run);
	struct pg_params *p = pg_add(r, SQL_EVENTS);
	pg_i64(p, c->caller.tenant);
	pg_uuid(p, run);
	pg_i32(p, (int32_t)after);
	pg_i32(p, EVENT_PAGE);
	store_submit(c, r, on_events, out);
}
