/* SPDX-License-Identifier: Apache-2.0
 * What a model was asked with in a step: written again by the code that wrote it, from
 * the transcript as it stood, the agent's revision and what was kept of the question
 * (asked.h), and compared by its digest. */
#include "worker/inquiry.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/alloc.h"
#include "common/attr.h"
#include "common/crypto.h"
#include "common/json.h"
#include "common/log.h"
#include "common/pg/pool.h"
#include "worker/keys.h"
#include "worker/llm/endpoints.h"
#include "worker/llm/request.h"
#include "worker/redact.h"
#include "worker/run.h"
#include "worker/sql.h"
#include "worker/tools/registry.h"

#define NOTE_MOST (64u << 10)
#define SESSION_BYTES (64u << 20)
#define DIFFERENCES 4

struct again {
	struct inquiry *inquiry;
	struct run run; /* none of the worker's: what the builder reads */
	struct sessions *home;
	struct json_doc *note, *context;
	json_t asked; /* in note */
	struct strbuf beside;
	int64_t head, window;
	int step;
	bool under_way, failed;
	struct redact *redact;
	struct uuid key;
	bool own_address;
	struct strbuf base_url, version;
	const char *differs[DIFFERENCES];
	size_t differ_count;
};

static void free_again(void *p)
{
	struct again *x = p;
	struct run *r = &x->run;
	asking_fini(&r->asking);
	if (r->agent)
		agent_give_back(r->agent);
	if (r->session)
		session_give_back(r->session);
	sessions_free(x->home);
	arena_free(r->arena);
	json_free(x->note);
	json_free(x->context);
	redact_free(x->redact);
	strbuf_fini(&x->beside);
	strbuf_fini(&x->base_url);
	strbuf_fini(&x->version);
	free(x);
}

static void differ(struct again *x, const char *what)
{
	if (x->differ_count < DIFFERENCES)
		x->differs[x->differ_count++] = what;
}

static int64_t number(json_t from, const char *key)
{
	int64_t n = 0;
	json_i64(json_get(from, key), &n);
	return n > 0 ? n : 0;
}

/* ---- the question */

static void fill_tools(struct again *x, struct llm_question *q)
{
	struct run *r = &x->run;
	const char *hex = json_cstr(json_get(x->asked, "tools"), "0");
	uint64_t set = strtoull(hex, NULL, 16);
	const struct client_tools *client = &r->asking.client;
	const struct llm_tool **tools =
		arena_alloc(r->arena, (tool_count() + client->count) * sizeof *tools);
	size_t n = 0;
	for (size_t i = 0; i < tool_count(); i++)
		if (set >> i & 1)
			tools[n++] = agent_tool(r->agent, i);
	if (tool_count() < 64 && set >> tool_count())
		differ(x, "tools: this build does not have all that there were");
	for (size_t i = 0; i < client->count; i++)
		tools[n++] = &client->tools[i];
	q->tools = tools;
	q->tool_count = n;
	q->foreign = client->count;
	r->step_no = x->step - 1; /* as it was when this was asked */
	q->choice = client_tools_choice(r);
}

static void fill(struct again *x, struct llm_question *q)
{
	struct run *r = &x->run;
	struct slice said = asking_system(r), beside = strbuf_slice(&x->beside);
	int64_t limited = number(x->asked, "maxTokens");
	*q = (struct llm_question){.model = r->model, .params = asking_params(r)};
	q->system = slice_str(arena_printf(r->arena, "%.*s%.*s", SLICE_ARG(said),
					   (int)beside.n, beside.n ? beside.p : ""));
	if (limited)
		q->params.max_tokens = limited;
	fill_tools(x, q);
	context_show_again(r, q, x->window, number(x->asked, "most"));
}

/* ---- the answer */

static void put_url(struct again *x, struct json_out *o, const struct llm_question *q)
{
	AUTO(strbuf_fini) struct strbuf url = STRBUF_INIT;
	struct llm_target t = x->run.target;
	/* Where the operator sends it is not the tenant's to know. */
	if (t.base_url.n && !x->own_address)
		t.base_url = SLICE("[platform]");
	llm_put_url(&url, &t, q);
	redact_text(x->redact, &url);
	json_kv_str(o, "url", strbuf_slice(&url));
}

static void put_headers(const struct again *x, struct json_out *o)
{
	struct llm_lines h;
	struct llm_target t = x->run.target;
	t.api_key = SLICE(REDACT_MASK);
	llm_lines_fill(&h, &t, true);
	json_key(o, "headers");
	json_arr(o);
	for (size_t i = 0; i < h.count; i++) {
		struct slice value = slice_str(h.line[i]);
		struct slice name = slice_cut(&value, ':');
		json_obj(o);
		json_kv_str(o, "name", name);
		json_kv_str(o, "value", slice_trim(value));
		json_obj_end(o);
	}
	json_arr_end(o);
	llm_lines_wipe(&h);
}

static bool is_exact(struct again *x, struct slice body)
{
	uint8_t digest[CRYPTO_DIGEST], was[CRYPTO_DIGEST];
	crypto_digest(body, digest);
	if (crypto_unhex(json_str(json_get(x->asked, "digest")), was, sizeof was) &&
	    crypto_equal(digest, was, sizeof was))
		return true;
	if (!x->differ_count)
		differ(x, "something that is not kept: another build wrote it, or a "
			  "schema whose members stood in another order");
	return false;
}

static void put_differences(const struct again *x, struct json_out *o)
{
	json_key(o, "differs");
	json_arr(o);
	for (size_t i = 0; i < x->differ_count; i++)
		json_put_cstr(o, x->differs[i]);
	json_arr_end(o);
}

static void put_body(struct again *x, struct json_out *o, const struct llm_question *q)
{
	AUTO(strbuf_fini) struct strbuf body = STRBUF_INIT;
	uint8_t sha[32];
	char hex[2 * sizeof sha + 1];
	x->run.target.provider->write_request(&body, q);
	crypto_sha256(strbuf_slice(&body), sha);
	crypto_hex(sha, sizeof sha, hex);
	bool exact = is_exact(x, strbuf_slice(&body));
	json_kv_bool(o, "exact", exact);
	if (!exact)
		put_differences(x, o);
	json_kv_cstr(o, "bodySha256", hex);
	json_kv_i64(o, "bodyBytes", (int64_t)body.n);
	json_kv_bool(o, "redacted", redact_text(x->redact, &body));
	json_kv_raw(o, "body", strbuf_slice(&body));
}

static void finish(struct again *x)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	struct llm_question q;
	char run[UUID_TEXT_LEN + 1], key[UUID_TEXT_LEN + 1];
	uuid_format(x->inquiry->object, run);
	uuid_format(x->key, key);
	fill(x, &q);
	json_obj(&o);
	json_kv_cstr(&o, "run", run);
	json_kv_i64(&o, "step", x->step);
	json_kv_cstr(&o, "state",
		     x->under_way ? "asked"
		     : x->failed  ? "failed"
				  : "answered");
	json_kv_cstr(&o, "provider", x->run.target.provider->name);
	json_kv_str(&o, "model", x->run.model);
	json_kv_cstr(&o, "key", uuid_is_nil(x->key) ? NULL : key);
	json_kv_cstr(&o, "method", "POST");
	put_url(x, &o, &q);
	put_headers(x, &o);
	put_body(x, &o, &q);
	json_obj_end(&o);
	strbuf_add_char(&b, '\n');
	inquiry_finish(x->inquiry, &b);
}

/* ---- what it is made of */

static void take_messages(struct again *x, const struct pg_result *m)
{
	struct session *s = x->run.session;
	int64_t from = number(x->asked, "from"), first = 0;
	for (int i = 0; i < pg_rows(m); i++) {
		int64_t seq = pg_get_i64(m, i, 0);
		if (!first && seq >= from)
			first = seq;
		session_add(s, seq, pg_get_text(m, i, 1), (int)pg_get_i64(m, i, 2),
			    pg_get_uuid(m, i, 3), pg_get_text(m, i, 4));
	}
	if (first != from || s->head_seq != x->head)
		differ(x, "transcript: not all of its messages are there any more");
}

static void take_text(struct again *x, const struct pg_result *t)
{
	struct slice text = pg_rows(t) ? pg_get_text(t, 0, 0) : SLICE_NONE;
	if (!json_str(json_get(x->asked, "beside")).n || x->beside.n)
		return;
	strbuf_add_slice(&x->beside, text);
	if (!text.n)
		differ(x, "memory or skills: what they were then is not kept any more");
}

/* Where the key was for, as it is now; without it the node's own. */
static void take_key(struct again *x, const struct pg_result *rows, int i)
{
	if (!uuid_eq(pg_get_uuid(rows, i, 1), x->key))
		return;
	x->own_address = pg_get_i64(rows, i, 0) != 0 && pg_get_text(rows, i, 3).n;
	strbuf_add_slice(&x->base_url, pg_get_text(rows, i, 3));
	strbuf_add_slice(&x->version, pg_get_text(rows, i, 4));
	x->run.target.bearer = pg_get_bool(rows, i, 5);
}

static void take_keys(struct again *x, const struct pg_result *rows)
{
	struct worker *w = x->inquiry->worker;
	struct llm_target t;
	x->redact = redact_new(w);
	for (int i = 0; i < pg_rows(rows); i++) {
		struct provider_key *k = keys_open_row(w, rows, i);
		if (k)
			redact_add(x->redact, key_secret(k));
		key_give_back(k);
		take_key(x, rows, i);
	}
	endpoints_find(w->endpoints, x->run.target.provider, &t);
	t.bearer = x->run.target.bearer;
	if (x->base_url.n)
		t.base_url = strbuf_slice(&x->base_url);
	if (x->version.n)
		t.version = strbuf_slice(&x->version);
	x->run.target = t;
}

static void on_parts(void *arg, const struct pg_answer *a)
{
	struct again *x = arg;
	struct inquiry *i = x->inquiry;
	if (a->err) {
		log_warn("inquiry-read-failed", "sqlstate=%s message=\"%s\"", a->sqlstate,
			 a->message ? a->message : "");
		inquiry_fail(i, ERR_DATABASE, "the transcript cannot be read; try again");
	} else if (!i->over) {
		take_messages(x, a->results[0]);
		take_text(x, a->results[1]);
		take_keys(x, a->results[2]);
		if (asking_read(&x->run))
			finish(x);
		else
			inquiry_fail(i, ERR_CONFLICT, "%s", x->run.failure_text);
	}
	inquiry_release(i);
}

static void read_parts(struct again *x)
{
	struct inquiry *i = x->inquiry;
	struct pg_request *q = pg_begin(i->worker->pool);
	struct pg_params *p = pg_add(q, SQL_INQUIRY_MESSAGES);
	pg_text(p, slice_str(i->cap));
	pg_uuid(p, x->run.session_id);
	pg_i64(p, number(x->asked, "from"));
	pg_i64(p, x->head);
	pg_i64(p, number(x->asked, "summary"));
	p = pg_add(q, SQL_INQUIRY_TEXT);
	pg_text(p, slice_str(i->cap));
	pg_text(p, slice_str(json_cstr(json_get(x->asked, "beside"), "")));
	pg_text(pg_add(q, SQL_INQUIRY_KEYS), slice_str(i->cap));
	inquiry_hold(i);
	pg_submit(q, CONN_READS, 0, on_parts, x);
}

/* ---- which question */

static const struct run *held(const struct again *x)
{
	size_t it = 0;
	void *value;
	while (map_next(x->inquiry->worker->runs, &it, NULL, &value)) {
		const struct run *r = value;
		if (uuid_eq(r->id, x->inquiry->object) && r->tenant == x->inquiry->tenant)
			return r;
	}
	return NULL;
}

/* The step under way of a run that this worker has: nothing of it is stored yet. */
static bool take_held(struct again *x)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	const struct run *r = held(x);
	unsigned step = x->inquiry->step;
	if (!r || !asked_is_open(r) || (step && step != (unsigned)r->asked.step))
		return false;
	json_obj(&o);
	asked_put(r, &o, true);
	json_obj_end(&o);
	x->note = json_parse(strbuf_slice(&b), NOTE_MOST, NULL, 0);
	x->asked = json_get(json_root(x->note), "asked");
	x->head = r->asked.head;
	x->step = r->asked.step;
	x->window = r->asked.window;
	x->under_way = true;
	strbuf_add_slice(&x->beside, r->asked.beside);
	return true;
}

static void take_stored(struct again *x, const struct pg_result *s)
{
	struct slice context = pg_get_text(s, 0, 9);
	x->note = json_parse(pg_get_text(s, 0, 8), NOTE_MOST, NULL, 0);
	x->context = json_parse(context, NOTE_MOST, NULL, 0);
	x->asked = json_root(x->note);
	x->step = (int)pg_get_i64(s, 0, 6);
	x->head = pg_get_i64(s, 0, 7);
	x->failed = pg_get_bool(s, 0, 10);
	x->window = number(json_root(x->context), "window");
}

/* What the builder reads of a run. False: the agent's revision is gone. */
static bool make_run(struct again *x, const struct pg_result *s)
{
	struct run *r = &x->run;
	struct inquiry *i = x->inquiry;
	struct slice input = pg_get_text(s, 0, 5);
	if (pg_is_null(s, 0, 3))
		return false;
	r->worker = i->worker;
	r->tenant = i->tenant;
	r->id = i->object;
	r->session_id = pg_get_uuid(s, 0, 0);
	r->agent_id = pg_get_uuid(s, 0, 1);
	r->agent_revision = (int)pg_get_i64(s, 0, 2);
	r->agent = agent_put(i->worker->agents, r->tenant, r->agent_id, r->agent_revision,
			     pg_get_text(s, 0, 3));
	r->input_seq = pg_get_i64(s, 0, 4);
	x->home = sessions_new(SESSION_BYTES);
	r->session = session_take(x->home, r->tenant, r->session_id);
	r->session->summary_seq = number(x->asked, "summary");
	if (input.n && r->input_seq < number(x->asked, "from"))
		session_add(r->session, r->input_seq, SLICE("input"), 0, r->id, input);
	return true;
}

static bool take_names(struct again *x)
{
	struct run *r = &x->run;
	json_t context = x->under_way ? x->asked : json_root(x->context);
	struct slice model = json_str(json_get(context, "model"));
	r->target.provider = llm_provider_named(json_str(json_get(x->asked, "provider")));
	r->model = arena_slice(r->arena, model);
	uuid_parse(json_str(json_get(x->asked, "key")), &x->key);
	return r->target.provider && model.n;
}

static void on_step(void *arg, const struct pg_answer *a)
{
	struct again *x = arg;
	struct inquiry *i = x->inquiry;
	const struct pg_result *s = a->err ? NULL : a->results[0];
	if (a->err) {
		log_warn("inquiry-read-failed", "sqlstate=%s message=\"%s\"", a->sqlstate,
			 a->message ? a->message : "");
		inquiry_fail(i, ERR_DATABASE, "the run cannot be read; try again");
	} else if (!pg_rows(s)) {
		inquiry_fail(i, ERR_NOT_FOUND, "there is no such run");
	} else if (!i->over) {
		if (!take_held(x))
			take_stored(x, s);
		if (!x->asked)
			inquiry_fail(i, ERR_NOT_FOUND,
				     "the run has no such step, or nothing is kept of "
				     "it: no model was asked over the network");
		else if (!make_run(x, s) || !take_names(x))
			inquiry_fail(i, ERR_NOT_FOUND,
				     "the agent's revision that the run had, or the "
				     "provider, is not there any more");
		else
			read_parts(x);
	}
	inquiry_release(i);
}

void step_request_begin(struct inquiry *i)
{
	struct again *x = xcalloc(1, sizeof *x);
	struct pg_request *q = pg_begin(i->worker->pool);
	x->inquiry = i;
	x->run.arena = arena_new(RUN_ARENA_BYTES);
	i->work = x;
	i->free_work = free_again;
	pg_text(pg_add(q, SQL_INQUIRY_STEP), slice_str(i->cap));
	inquiry_hold(i);
	pg_submit(q, CONN_READS, 0, on_step, x);
}
