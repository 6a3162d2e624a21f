/* SPDX-License-Identifier: Apache-2.0
 * The Postgres of the API's tests, which does as the test says (db), in place of
 * edge/store.c. One program each. */
#ifndef TB_TEST_API_DB_H
#define TB_TEST_API_DB_H

#include "tests/unit/edge/bed.h"

#include "common/json.h"
#include "common/map.h"
#include "common/pg/pool.h"
#include "edge/ask.h"
#include "edge/admin.h"
#include "edge/auth.h"
#include "edge/call.h"
#include "edge/cancel.h"
#include "edge/handles.h"
#include "edge/key_store.h"
#include "edge/link.h"
#include "edge/lookup.h"
#include "edge/dead_store.h"
#include "edge/meter_store.h"
#include "edge/money.h"
#include "edge/webhook_store.h"
#include "edge/openai/store.h"
#include "edge/opener.h"
#include "edge/policy_store.h"
#include "edge/reply.h"
#include "edge/session_store.h"
#include "edge/store.h"
#include "edge/store_context.h"

#define TOKEN "0192f3a0-0000-7000-8000-000000000001"
#define OTHER "0192f3a0-0000-7000-8000-000000000002"
#define SECRET "abcdefghijklmnopqrstuvwxyz-_0123456789ABCDE"
#define AGENT "0192f3a0-0000-7000-8000-0000000000aa"
#define RUN "0192f3a0-0000-7000-8000-0000000000bb"
#define BEARER "Authorization: Bearer tb1.1." TOKEN "." SECRET "\r\n"
#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\n" BEARER "\r\n"

static struct edge edge;

static struct {
	bool away, suspended;
	unsigned scopes;
	uint32_t requests, tenant_requests; /* of the token's row; so are the next */
	int64_t token_limit, tenant_token_limit;
	const char *user;
	bool trusted;                              /* the listener's headers count */
	int tokens, agents, sessions, runs, pages; /* reads of each */
	struct run_row run, second;
	struct uuid run_id, second_id; /* theirs; run_id nil: RUN */
	struct run_page page;          /* what a list answers */
	int approvals;                 /* reads of them */
	bool pending;                  /* was the state that was asked for */
	struct approval_page approval_page;
	struct approval_filter approval_filter;
	struct approval_row approval; /* of the id RUN */
	struct run_filter filter;     /* what was asked for */
	struct agent_row agent;       /* beside id and name */
	unsigned session_mode;
	struct policy_rows policy;
	struct change policy_change; /* what a put answers */
	int policy_puts;
	char policy_doc[2000], policy_key[600]; /* of the last put; "NULL" */
	int64_t policy_expect;
	bool policy_of_agent, unsure;
	struct slice keys;      /* the tenant's, a JSON array */
	struct key_outcome key; /* what a change of one answers */
	struct key_row key_row; /* the last that was written, and what stood beside it */
	struct key_body key_body;
	char key_base_url[200];
	int key_adds, key_changes, key_removes;
	struct event_row events[100];
	unsigned event_count;
} db;

UNUSED static struct uuid id(const char *text)
{
	struct uuid u;
	assert_true(uuid_parse(slice_str(text), &u));
	return u;
}

void store_load_token(struct edge *e, struct cache_entry *entry, int64_t tenant,
		      struct uuid token)
{
	struct token_row row = {.tenant = tenant,
				.id = token,
				.scopes = db.scopes,
				.suspended = db.suspended,
				.max_running = 50,
				.max_queued = 1000,
				.weight = 100,
				.requests = db.requests,
				.tenant_requests = db.tenant_requests,
				.tokens = db.token_limit,
				.tenant_tokens = db.tenant_token_limit};
	(void)e;
	db.tokens++;
	if (db.user) {
		row.user_n = strlen(db.user);
		memcpy(row.user, db.user, row.user_n);
	}
	crypto_sha256(SLICE(SECRET), row.secret_sha256);
	if (db.away)
		cache_failed(entry, ERR_DATABASE);
	else
		cache_loaded(entry,
			     uuid_eq(token, id(TOKEN)) && tenant == 1 ? &row : NULL);
}

void store_load_agent(struct edge *e, struct cache_entry *entry, int64_t tenant,
		      struct slice word)
{
	struct agent_row row = db.agent;
	row.id = id(AGENT);
	strcpy(row.name, "default");
	(void)e, (void)tenant;
	db.agents++;
	cache_loaded(entry, slice_is(word, "") || slice_is(word, "default") ||
					    slice_is(word, AGENT)
				    ? &row
				    : NULL);
}

void store_open_sessions(struct edge *e, const struct session_open *const *rows,
			 unsigned count, store_opened_fn *done, void *arg)
{
	struct session_row out[OPENER_BATCH];
	(void)e;
	for (unsigned i = 0; i < count; i++) {
		assert_true(rows[i]->key.n > 0);
		db.sessions++;
		out[i] = (struct session_row){.id = uuid7_new(), .mode = db.session_mode};
		if (rows[i]->user.n)
			crypto_digest(rows[i]->user, out[i].user);
	}
	done(arg, db.away ? STORE_AWAY : STORE_DONE, out);
}

UNUSED static bool answer(struct call *c)
{
	c->asked = db.away ? ERR_DATABASE : ERR_OK;
	call_wake(c);
	return !db.away;
}

UNUSED static bool is_run(struct uuid run)
{
	return uuid_eq(run, uuid_is_nil(db.run_id) ? id(RUN) : db.run_id);
}

void store_get_run(struct call *c, struct uuid run, struct run_row *out)
{
	db.runs++;
	if (!answer(c))
		return;
	if (db.second.found && uuid_eq(run, db.second_id)) {
		*out = db.second;
		return;
	}
	*out = db.run;
	out->found = db.run.found && is_run(run);
}

void store_find_session(struct call *c, struct uuid agent, struct slice key,
			struct uuid *out)
{
	(void)c;
	(void)agent;
	(void)key;
	(void)out;
}

void store_list_runs(struct call *c, const struct run_filter *f, struct run_page *out)
{
	db.runs++;
	db.filter = *f;
	if (answer(c))
		*out = db.page;
}

void store_list_approvals(struct call *c, const struct approval_filter *f,
			  struct approval_page *out)
{
	db.approvals++;
	db.approval_filter = *f;
	db.pending = slice_is(f->state, "pending");
	if (answer(c))
		*out = db.approval_page;
}

void store_get_approval(struct call *c, struct uuid approval, struct approval_row *out)
{
	db.approvals++;
	if (!answer(c))
		return;
	*out = db.approval;
	out->found = db.approval.found && uuid_eq(approval, id(RUN));
}

void store_get_events(struct call *c, struct uuid run, uint32_t after,
		      struct event_page *out)
{
	db.pages++;
	if (!answer(c))
		return;
	arena_reset(out->arena);
	out->run = db.run;
	out->run.found = db.run.found && is_run(run);
	out->count = 0;
	for (unsigned i = 0; i < db.event_count && out->count < EVENT_PAGE; i++)
		if (db.events[i].seq > after)
			out->rows[out->count++] = db.events[i];
}

void policy_store_read(struct call *c, struct uuid agent, struct slice key,
		       struct policy_rows *out)
{
	assert_true(uuid_eq(agent, id(AGENT)));
	snprintf(db.policy_key, sizeof db.policy_key, "%.*s", SLICE_ARG(key));
	if (answer(c))
		*out = db.policy;
}

void policy_store_read_ceiling(struct call *c, struct policy_rows *out)
{
	if (answer(c))
		*out = db.policy;
}

void policy_store_put(struct call *c, struct uuid agent, struct slice key,
		      struct slice doc, struct change *ch)
{
	db.policy_puts++;
	db.policy_of_agent = uuid_eq(agent, id(AGENT));
	db.policy_expect = ch->expect;
	snprintf(db.policy_key, sizeof db.policy_key, "%.*s", SLICE_ARG(key));
	snprintf(db.policy_doc, sizeof db.policy_doc, "%.*s",
		 SLICE_ARG(doc.p ? doc : SLICE("NULL")));
	c->unsure = db.unsure;
	if (answer(c)) {
		ch->outcome = db.policy_change.outcome;
		ch->version = db.policy_change.version;
		if (ch->outcome == CHANGE_ABSENT)
			db.policy_change.outcome = CHANGE_DONE; /* the next finds it */
	}
}

/* Sessions are the scenario tests' affair: there is none here. */
void store_read_session(struct call *c, struct uuid session, struct uuid agent,
			struct slice key, struct session_info *out)
{
	(void)session;
	(void)agent;
	(void)key;
	if (answer(c))
		*out = (struct session_info){0};
}

void store_patch_session(struct call *c, struct uuid session,
			 const struct session_patch *p, int64_t expect,
			 struct session_patched *out)
{
	(void)p, (void)expect;
	store_read_session(c, session, session, SLICE_NONE, &out->info);
}

void store_list_sessions(struct call *c, const struct session_filter *f,
			 struct session_page *out)
{
	(void)f;
	if (answer(c))
		*out = (struct session_page){0};
}

void store_read_messages(struct call *c, struct uuid session, int64_t seq, bool up,
			 unsigned limit, struct message_page *out)
{
	(void)session;
	(void)seq;
	(void)up;
	(void)limit;
	if (answer(c))
		out->count = 0;
}

void store_search_messages(struct call *c, const struct message_search *s,
			   struct found_page *out)
{
	(void)s;
	if (answer(c))
		*out = (struct found_page){0};
}

/* What is asked or changed comes back as JSON. */
static void money(struct call *c, struct money_answer *out, const char *what)
{
	if (answer(c))
		out->json = arena_slice(c->request->arena, slice_str(what));
}

void money_usage(struct call *c, const struct usage_query *q, struct money_answer *out)
{
	money(c, out,
	      arena_printf(c->request->arena, "{\"by\":\"%.*s\",\"limit\":%u}",
			   SLICE_ARG(q->by), q->limit));
}

void money_budgets(struct call *c, struct slice scope, struct slice of,
		   struct money_answer *out)
{
	money(c, out,
	      arena_printf(c->request->arena, "[\"%.*s\",\"%.*s\"]", SLICE_ARG(scope),
			   SLICE_ARG(of)));
}

void money_set_budget(struct call *c, const struct budget_change *b,
		      struct money_answer *out)
{
	out->absent = slice_is(b->id, "nobody");
	money(c, out,
	      arena_printf(c->request->arena, "[\"%.*s\",\"%.*s\",\"%.*s\",%lld,%lld]",
			   SLICE_ARG(b->scope), SLICE_ARG(b->id), SLICE_ARG(b->period),
			   (long long)b->limit[0], (long long)b->limit[1]));
}

void money_prices(struct call *c, struct money_answer *out)
{
	money(c, out, "[]");
}

void money_set_price(struct call *c, const struct price_change *p,
		     struct money_answer *out)
{
	money(c, out,
	      arena_printf(c->request->arena, "[\"%.*s\",%lld,%lld]", SLICE_ARG(p->model),
			   (long long)p->micros[0], (long long)p->micros[2]));
}

void key_store_read(struct call *c, struct slice provider, struct uuid key,
		    struct slice *json)
{
	(void)provider, (void)key;
	if (answer(c))
		*json = arena_slice(c->request->arena, db.keys);
}

static void key_written(struct call *c, const struct key_row *row,
			const struct key_body *b, struct key_outcome *out)
{
	int64_t expect = out->change.expect;
	db.key_row = *row;
	db.key_body = *b;
	snprintf(db.key_base_url, sizeof db.key_base_url, "%.*s",
		 SLICE_ARG(row->base_url));
	if (answer(c))
		*out = db.key;
	db.key_body.priority = b->priority;
	db.policy_expect = expect;
}

void key_store_add(struct call *c, const struct key_row *row, const struct key_body *b,
		   struct key_outcome *out)
{
	db.key_adds++;
	key_written(c, row, b, out);
}

void key_store_change(struct call *c, const struct key_row *row, const struct key_body *b,
		      struct key_outcome *out)
{
	db.key_changes++;
	key_written(c, row, b, out);
}

void key_store_remove(struct call *c, struct slice provider, struct uuid key,
		      struct key_outcome *out)
{
	(void)provider, (void)key;
	db.key_removes++;
	if (answer(c))
		*out = db.key;
}

/* No session has one. */
void store_read_context(struct call *c, enum sql what, struct uuid session, int version,
			int limit, struct context_row *out)
{
	(void)what, (void)session, (void)version, (void)limit, (void)out;
	answer(c);
}

/* What was asked, and what a statement answers. */
static struct {
	int reads, changes;
	enum sql what;
	size_t count;
	struct ask_value v[8];
	char text[3][2000]; /* of the first texts and JSON among them; "NULL" */
	int64_t expect;
	struct ask_answer answer;
} asks;

static void note_ask(struct call *c, enum sql what, const struct ask_value *v, size_t n,
		     struct ask_answer *out)
{
	int texts = 0;
	asks.what = what;
	asks.count = n;
	memcpy(asks.v, v, n * sizeof *v);
	for (size_t i = 0; i < n && texts < 3; i++)
		if (v[i].kind == ASK_TEXT || v[i].kind == ASK_JSON)
			snprintf(asks.text[texts++], sizeof asks.text[0], "%.*s",
				 SLICE_ARG(v[i].none ? SLICE("NULL") : v[i].text));
	asks.expect = out->change.expect;
	if (answer(c))
		*out = asks.answer;
}

void ask_read(struct call *c, enum sql what, const struct ask_value *v, size_t n,
	      struct ask_answer *out)
{
	asks.reads++;
	note_ask(c, what, v, n, out);
}

void ask_make(struct call *c, enum sql what, const struct ask_value *v, size_t n,
	      struct ask_answer *out)
{
	asks.changes++;
	note_ask(c, what, v, n, out);
}

void ask_change(struct call *c, enum sql what, const struct ask_value *v, size_t n,
		struct ask_answer *out)
{
	asks.changes++;
	note_ask(c, what, v, n, out);
}

/* OpenAI's APIs are the scenario tests' affair. */
void store_run_usage(struct call *c, struct uuid run, struct answer_usage *out)
{
	(void)run, (void)out;
	answer(c);
}

void store_delete_response(struct call *c, struct uuid run, enum response_delete *out)
{
	(void)run, (void)out;
	answer(c);
}

void store_list_models(struct call *c, struct slice after, unsigned limit,
		       struct model_page *out)
{
	(void)after, (void)limit, (void)out;
	answer(c);
}

void store_find_model(struct call *c, struct slice name, struct model_page *out)
{
	store_list_models(c, name, 1, out);
}

#endif
