/* SPDX-License-Identifier: Apache-2.0
 * What stands around a run: a lane in a database that keeps its rules, a model and tools
 * that end when the test says so, and the supervisor's ear. The run machine is the real
 * one; the journal, the loader, the model's call, the tools and the link are these. */
#ifndef TB_TEST_WORLD_H
#define TB_TEST_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/alloc.h"
#include "common/attr.h"
#include "common/json.h"
#include "proto/chan.h"
#include "tests/unit/common/rand.h"
#include "common/clock.h"
#include "worker/context/render.h"
#include "worker/emit.h"
#include "worker/failover.h"
#include "worker/group.h"
#include "worker/llm/endpoints.h"
#include "worker/load.h"
#include "worker/resume.h"
#include "worker/run.h"
#include "worker/tools/registry.h"
#include "tests/unit/worker/permits.h"
#include "tests/unit/worker/requests.h"

#define MESSAGES_MOST 400
#define CALLS_AT_ONCE 10
#define WAITING_MOST 64
#define ROWS_MOST 200
#define USAGE_MOST 400
#define DB_NOW_US 4000000000000000ll /* decades from any worker's clock */

/* ---- the database */

struct line { /* of the transcript */
	int64_t seq;
	const char *role;
	int step;
	struct uuid run;
	char *content;
};
struct waiting { /* a message that waits in the lane */
	struct uuid run;
	unsigned take;           /* the bit that consumes it */
	bool taken, told, heard; /* heard: RUN_STEER came before the end's commit left */
};
struct execution {
	int step, call, attempt, starts;
	char id[40], tool[40], state[16], input[200], output[200], error[40];
};
static struct {
	struct line lines[MESSAGES_MOST];
	size_t line_count;
	struct waiting waiting[WAITING_MOST];
	size_t waiting_count;
	struct execution rows[ROWS_MOST];
	size_t row_count;
	int64_t fence, commit_no;
	int64_t floor, summary, context_set, flushed; /* of the context */
	int calls[USAGE_MOST]; /* of usage rows, step * 1000 + call */
	size_t usage_count;
	unsigned ev_seq;
	bool running, ended, retrying;
	enum run_result result;
	char code[40], error[320];
	int64_t run_at_us, active_ms;
	int clears, ends;
	bool goes_on; /* what the last commit's answer said of its lane */
} db;

/* ---- a worker's life; a killed one is drained, not heard */
struct life {
	struct worker w;
	struct run *run;
	struct commit *flying;
	struct llm_answer *asked; /* the model is asked */
	struct op *asked_op;
	bool side;                              /* for a summary */
	struct tool_call *calls[CALLS_AT_ONCE]; /* that run, in their order ... */
	struct tool_call *call;                 /* ... the first of them */
	bool loading, dead;
	char heard[4000]; /* what the supervisor was told, a word each, events aside */
	int64_t retry_at;
};

static struct loop *loop;
static struct uuid run_id, session_id, agent_id;
static int asked_in_all, loads_in_all;
static bool body_left_out;   /* of the next RUN_START */
static int64_t before_input; /* messages of the session before the run's own */
static const char *agent_config = "{}";
#define PLAIN_BODY "{\"blocks\":[{\"type\":\"text\",\"text\":\"hello\"}]}"
/* Of who has a tool of its own. */
#define CLIENT_BODY                                                                      \
	"{\"blocks\":[{\"type\":\"text\",\"text\":\"hello\"}],\"clientTools\":[{"        \
	"\"name\":"                                                                      \
	"\"ring\"}]}"
UNUSED static const char client_body[] = CLIENT_BODY;
static const char *message_body = PLAIN_BODY;
static bool calls_differ; /* or the model goes in circles */
static int summaries_in_all, compactions_in_all;

static void turn(void)
{
	for (int i = 0; i < 4; i++)
		loop_turn(loop, 0);
}

/* ---- the link */

static struct waiting *waiting_of(struct uuid run)
{
	for (size_t i = 0; i < db.waiting_count; i++)
		if (uuid_eq(db.waiting[i].run, run))
			return &db.waiting[i];
	return NULL;
}

static void hear(struct life *l, const char *word)
{
	size_t n = strlen(l->heard);
	snprintf(l->heard + n, sizeof l->heard - n, "%s%s", n ? " " : "", word);
}

static void hear_taken(struct life *l, const struct wire_run_taken *m)
{
	struct waiting *w = waiting_of(m->taken);
	assert_non_null(w);
	assert_true(w->taken); /* never before its commit */
	w->told = true;
	hear(l, "taken");
}

static void hear_done(struct life *l, const struct wire_run_done *m)
{
	assert_true(db.ended);
	assert_int_equal(m->result, db.result);
	assert_true(slice_is(m->error, db.code));
	assert_int_equal(m->goes_on, db.goes_on);
	hear(l, result_word(m->result));
}

enum err chan_send(struct chan *c, enum wire_id id, const void *m)
{
	struct life *l = (struct life *)c;
	if (l->dead)
		return ERR_OK;
	switch (id) {
	case WIRE_RUN_ACCEPTED:
	case WIRE_EVENT:
		break;
	case WIRE_RUN_TAKEN:
		hear_taken(l, m);
		break;
	case WIRE_RUN_DONE:
		hear_done(l, m);
		break;
	case WIRE_RUN_RETRY:
		assert_true(db.retrying);
		l->retry_at = ((const struct wire_run_retry *)m)->run_at_us;
		hear(l, "retry");
		break;
	case WIRE_RUN_LOST:
		hear(l, "lost");
		break;
	case WIRE_RUN_YIELDED:
		hear(l, "yielded");
		break;
	case WIRE_RUN_PROGRESS:
		hear(l, "progress");
		break;
	default:
		fail_msg("message %d", (int)id);
	}
	return ERR_OK;
}

static bool was_let_go(const struct life *l)
{
	return map_count(l->w.runs) == 0;
}

/* ---- the journal */

struct journal *journal_new(struct worker *w)
{
	return (struct journal *)w;
}

void journal_submit(struct journal *j, struct commit *c)
{
	struct life *l = (struct life *)j;
	assert_null(l->flying);
	assert_false(c->has_end && c->take);
	assert_false(c->has_end && c->has_retry);
	l->flying = c;
}

static struct line *db_add(const char *role, int step, struct uuid run,
			   struct slice content)
{
	struct line *m = &db.lines[db.line_count];
	assert_in_range(db.line_count, 0, MESSAGES_MOST - 1);
	*m = (struct line){(int64_t)++db.line_count, role, step, run,
			   xstrndup(content.p, content.n)};
	return m;
}

static void db_tool(const struct commit_tool *t)
{
	struct execution *x = NULL;
	for (size_t i = 0; i < db.row_count; i++)
		if (db.rows[i].step == t->step && db.rows[i].call == t->call)
			x = &db.rows[i];
	if (!x) {
		assert_in_range(db.row_count, 0, ROWS_MOST - 1);
		x = &db.rows[db.row_count++];
		x->step = t->step;
		x->call = t->call;
		snprintf(x->id, sizeof x->id, "%.*s", SLICE_ARG(t->call_id));
		snprintf(x->tool, sizeof x->tool, "%.*s", SLICE_ARG(t->tool));
		snprintf(x->input, sizeof x->input, "%.*s", SLICE_ARG(t->input));
	}
	x->attempt = t->attempt;
	snprintf(x->state, sizeof x->state, "%s", t->state);
	snprintf(x->output, sizeof x->output, "%.*s", SLICE_ARG(t->output));
	snprintf(x->error, sizeof x->error, "%s",
		 t->facts.error_class ? t->facts.error_class : "");
}

static void put_taken(struct json_out *o, struct waiting *w, int64_t seq,
		      const char *body)
{
	char id[UUID_TEXT_LEN + 1];
	uuid_format(w->run, id);
	json_obj(o);
	json_kv_cstr(o, "run", id);
	json_kv_i64(o, "seq", seq);
	if (body)
		json_kv_raw(o, "body", slice_str(body));
	else
		json_kv_raw(o, "body", SLICE("null"));
	json_obj_end(o);
	w->taken = true;
}

/* As tb.journal: folded ones first, as one message, then the others, each its own. */
static void db_take(unsigned take, struct strbuf *out)
{
	struct json_out o = json_out(out);
	int64_t folded = 0;
	json_arr(&o);
	for (unsigned pass = 0; pass < 2; pass++)
		for (size_t i = 0; i < db.waiting_count; i++) {
			struct waiting *w = &db.waiting[i];
			static const char body[] = "{\"blocks\":[{\"type\":\"text\","
						   "\"text\":\"in between\"}]}";
			if (w->taken || !(w->take & take) ||
			    (w->take == TAKE_FOLDED) != (pass == 0))
				continue;
			bool same = pass == 0 && folded;
			if (!same)
				db_add("user", 0, w->run, slice_str(body));
			if (pass == 0 && !folded)
				folded = (int64_t)db.line_count;
			put_taken(&o, w, (int64_t)db.line_count, same ? NULL : body);
		}
	json_arr_end(&o);
}

static void db_usage(const struct commit_usage *u)
{
	int call = u->step * 1000 + u->call;
	for (size_t i = 0; i < db.usage_count; i++)
		assert_int_not_equal(db.calls[i], call);
	assert_in_range(db.usage_count, 0, USAGE_MOST - 1);
	db.calls[db.usage_count++] = call;
}

/* As tb.act_compact and tb.act_flushed. */
static void db_act(const struct commit_act *x)
{
	AUTO(auto_json_free) struct json_doc *d = json_parse(x->data, 10000, NULL, 0);
	int64_t to, head = (int64_t)db.line_count;
	if (!strcmp(x->what, "flushed")) {
		db.flushed = head;
		return;
	}
	assert_string_equal(x->what, "compact");
	assert_true(json_i64(json_get(json_root(d), "to"), &to));
	assert_string_equal(db.lines[head - 1].role, "summary");
	assert_true(to >= db.floor && to < head);
	assert_int_not_equal(db.lines[to].role[0], 't'); /* no call is split from its
							     result */
	db.floor = to + 1;
	db.summary = db.context_set = head;
	compactions_in_all++;
}

static void db_apply(const struct commit *c, struct strbuf *taken)
{
	db.commit_no++;
	for (size_t i = 0; i < c->message_count; i++)
		db_add(c->messages[i].role, c->messages[i].step, c->run,
		       c->messages[i].content);
	for (size_t i = 0; i < c->tool_count; i++)
		db_tool(&c->tools[i]);
	for (size_t i = 0; i < c->event_count; i++)
		assert_int_equal(c->events[i].seq, ++db.ev_seq);
	for (size_t i = 0; i < c->usage_count; i++)
		db_usage(&c->usage[i]);
	for (size_t i = 0; i < c->act_count; i++)
		db_act(&c->acts[i]);
	if (c->take)
		db_take(c->take, taken);
	db.clears += c->clear;
	if (c->has_retry) {
		db.running = false;
		db.retrying = true;
		db.run_at_us = DB_NOW_US + c->retry.pause_us;
		db.active_ms = c->retry.active_ms;
		snprintf(db.code, sizeof db.code, "%s", c->retry.code);
		snprintf(db.error, sizeof db.error, "%s", c->retry.error);
	}
	if (c->has_end) {
		db.running = false;
		db.ended = true;
		db.ends++;
		db.result = c->end.result;
		snprintf(db.code, sizeof db.code, "%s", c->end.code ? c->end.code : "");
		snprintf(db.error, sizeof db.error, "%s",
			 c->end.error ? c->end.error : "");
	}
}

enum landing { SEEN, UNSEEN, REFUSED };

/* The commit under way is decided. */
static void land_as(struct life *l, enum landing how)
{
	struct commit *c = l->flying;
	AUTO(strbuf_fini) struct strbuf taken = STRBUF_INIT;
	struct commit_result res = {.outcome = COMMIT_STALE};
	assert_non_null(c);
	l->flying = NULL;
	if (how == REFUSED) {
		res.outcome = COMMIT_REFUSED;
	} else if (db.running && c->fence == db.fence && c->commit_no == db.commit_no) {
		db_apply(c, &taken);
		res = (struct commit_result){.outcome = COMMIT_LANDED,
					     .head_seq = (int64_t)db.line_count,
					     .unseen = how == UNSEEN};
		if (how == SEEN)
			res.at_us = DB_NOW_US;
		db.goes_on = res.goes_on =
			how == SEEN && db.ended && db.result == RESULT_FAILED;
		if (how == SEEN && taken.n > 2)
			res.taken = strbuf_slice(&taken);
	}
	c->done(c->arg, &res);
	turn();
}

static void land(struct life *l)
{
	land_as(l, SEEN);
}

/* ---- the loader */

int load_is_needed(const struct run *r)
{
	return !r->agent || r->session->head_seq != r->head_seq ||
	       (r->resumed && !r->past);
}

void load_run(struct run *r)
{
	struct life *l = (struct life *)r->worker->journal;
	assert_false(r->loading);
	r->loading = l->loading = true;
	loads_in_all++;
}

bool load_target_is_needed(const struct run *r)
{
	(void)r;
	return false;
}

void load_target(struct run *r)
{
	fail_msg("nothing is known to be old: run %p", (void *)r);
}

void load_permit(struct run *r)
{
	load_run(r);
}

static void load_past(struct run *r)
{
	struct resume *p = arena_zalloc(r->arena, sizeof *p);
	p->rows = arena_zalloc(r->arena, (db.row_count + 1) * sizeof *p->rows);
	for (size_t i = 0; i < db.row_count; i++) {
		const struct execution *x = &db.rows[i];
		p->rows[p->count++] = (struct resume_row){.step = x->step,
							  .call = x->call,
							  .attempt = x->attempt,
							  .call_id = slice_str(x->id),
							  .tool = slice_str(x->tool),
							  .state = slice_str(x->state),
							  .input = slice_str(x->input)};
		resume_result(&p->rows[p->count - 1], slice_str(x->output),
			      slice_str(x->error));
	}
	int last = -1;
	for (size_t i = 0; i < db.usage_count; i++)
		last = db.calls[i] > last ? db.calls[i] : last;
	r->usage.step = last < 0 ? -1 : last / 1000;
	r->usage.next_call = last < 0 ? 0 : last % 1000 + 1;
	r->past = p;
}

static void load(struct life *l)
{
	struct run *r = l->run;
	assert_true(l->loading);
	l->loading = r->loading = false;
	if (!r->agent)
		r->agent = agent_put(l->w.agents, r->tenant, r->agent_id, 1,
				     slice_str(agent_config));
	permit_give_back(r->permit);
	r->permit = permit_of("{\"profile\":\"full\"}", 1);
	if (!r->started_with)
		(r->started_with = r->permit)->users++;
	r->permit_is_old = false;
	if (r->session->head_seq != r->head_seq) {
		session_clear(r->session);
		r->session->summary_seq = db.summary;
		r->session->context_set = db.context_set;
		r->session->flushed = db.flushed;
		for (size_t i = 0; i < db.line_count; i++)
			if (db.lines[i].seq >= db.floor ||
			    db.lines[i].seq == r->input_seq)
				session_add(r->session, db.lines[i].seq,
					    slice_str(db.lines[i].seq >= db.floor
							      ? db.lines[i].role
							      : "input"),
					    db.lines[i].step, db.lines[i].run,
					    slice_str(db.lines[i].content));
	}
	if (r->resumed)
		load_past(r);
	for (size_t i = 0; r->unread && i < db.waiting_count; i++)
		if (db.waiting[i].taken)
			emit_taken(r, db.waiting[i].run);
	r->unread = false;
	run_wake(r);
	turn();
}

/* The database refuses all but the tool rows. */
UNUSED static void load_bare(struct life *l)
{
	struct run *r = l->run;
	assert_true(l->loading);
	l->loading = r->loading = false;
	load_past(r);
	r->past->bare = true;
	r->unread = false;
	run_fail(r, ERR_INTERNAL, NULL);
	run_wake(r);
	turn();
}

/* ---- the model */

static void cancel_llm(struct op *op, enum err why, void *life)
{
	struct life *l = life;
	l->asked = NULL;
	op_finish(op, why);
}

/* Whole, or a result that is too old for that: up to its call's name. */
static bool is_shown(const struct llm_message *m, const struct line *l)
{
	static const char begin[] =
		"{\"blocks\":[{\"type\":\"tool_result\",\"callId\":\"c1.1";
	return slice_is(m->content, l->content) ||
	       (*l->role == 't' &&
		slice_find(m->content, SLICE("result content cleared")) > 0 &&
		!strncmp(m->content.p, l->content, sizeof begin - 1));
}

/* The lines that the context has, the summary in force first; nothing is left out of
 * them unless they are too many and could not be compacted. */
static void check_question(const struct run *r, const struct llm_question *q)
{
	size_t at = 0, skipped = 0;
	if (before_input) { /* it only brought results: they are the last that is shown */
		assert_int_equal(q->messages[q->message_count - 1]->role, LLM_TOOL);
		return;
	}
	if (db.summary) {
		assert_true(slice_is(q->messages[at++]->content,
				     db.lines[db.summary - 1].content));
	}
	for (size_t i = db.floor ? (size_t)db.floor - 1 : 0; i < db.line_count; i++) {
		if (*db.lines[i].role == 's')
			continue;
		if (at < q->message_count && is_shown(q->messages[at], &db.lines[i]))
			at++;
		else
			skipped++;
	}
	assert_int_equal(at, q->message_count);
	if (r->context.used < r->context.window.compact)
		assert_int_equal(skipped, 0);
	size_t last = db.line_count - 1 - (db.summary == (int64_t)db.line_count);
	assert_true(is_shown(q->messages[at - 1], &db.lines[last]));
	assert_int_not_equal(db.lines[db.line_count - 1].role[0], 'a');
}

struct llm_call *llm_start(struct loop *lp, struct http_client *http,
			   const struct llm_target *t, const struct llm_question *q,
			   struct llm_answer *a, void (*on_text)(void *arg), void *arg,
			   struct op *op)
{
	struct life *l = (struct life *)http;
	(void)lp, (void)t, (void)on_text, (void)arg;
	l->side = slice_is(q->system, render_summary_system);
	summaries_in_all += l->side;
	if (!l->side)
		check_question(l->run, q);
	check_requests(q);
	l->asked = a;
	l->asked_op = op;
	asked_in_all++;
	op_start(op, cancel_llm, l, 0);
	return (struct llm_call *)l;
}

struct slice llm_body(const struct llm_call *c)
{
	(void)c;
	return SLICE("{}");
}
void llm_pause(struct llm_call *c, int paused)
{
	(void)c, (void)paused;
}

static void answer(struct life *l, enum err e, enum llm_stop stop)
{
	assert_non_null(l->asked);
	l->asked->stop = stop;
	l->asked = NULL;
	op_finish(l->asked_op, e);
	turn();
}

static void answer_text(struct life *l, const char *text)
{
	llm_add_text(l->asked, -1, slice_str(text));
	answer(l, ERR_OK, LLM_STOP_END);
}

/* 'p' pure, 'k' keyed, 'o' once, 'c' the client's, 'x' refused. */
static void answer_calls(struct life *l, const char *kinds)
{
	for (; *kinds; kinds++) {
		struct llm_part *c = llm_part_new(l->asked, LLM_CALL, 0);
		strbuf_printf(&c->id, "c%d.%zu", l->run->step_no + 1,
			      l->asked->call_count);
		strbuf_add_str(&c->name, *kinds == 'p'   ? "look"
					 : *kinds == 'k' ? "store"
					 : *kinds == 'o' ? "shout"
					 : *kinds == 'c' ? "ring"
							 : "nothing");
		strbuf_printf(&c->arguments, calls_differ ? "{\"n\":%d%zu}" : "{}",
			      l->run->step_no, l->asked->call_count);
	}
	answer(l, ERR_OK, LLM_STOP_TOOLS);
}

UNUSED static void answer_failure(struct life *l, enum err e)
{
	snprintf(l->asked->error, sizeof l->asked->error, "the model said no");
	answer(l, e, LLM_STOP_NONE);
}

/* ---- the tools */

static struct execution *execution_of(const struct tool_call *c)
{
	int step, call;
	assert_int_equal(sscanf(c->idem_key + UUID_TEXT_LEN, ":%d:%d", &step, &call), 2);
	for (size_t i = 0; i < db.row_count; i++)
		if (db.rows[i].step == step && db.rows[i].call == call)
			return &db.rows[i];
	return NULL;
}

static void runs_no_more(struct life *l, const struct op *op)
{
	size_t kept = 0;
	for (size_t i = 0; i < CALLS_AT_ONCE; i++)
		if (l->calls[i] && l->calls[i]->op != op)
			l->calls[kept++] = l->calls[i];
	while (kept < CALLS_AT_ONCE)
		l->calls[kept++] = NULL;
	l->call = l->calls[0];
}

static void cancel_tool(struct op *op, enum err why, void *life)
{
	runs_no_more(life, op);
	op_finish(op, why);
}

static void start_tool(struct tool_call *c)
{
	struct life *l = (struct life *)c->env->pool;
	struct execution *x = execution_of(c);
	bool pure = c->tool->effect == EFFECT_PURE;
	size_t n = 0;
	while (l->calls[n])
		assert_int_equal(l->calls[n++]->tool->effect, EFFECT_PURE);
	assert_true(n + 1 < CALLS_AT_ONCE);
	if (!pure) { /* intent is durable before an effect, which comes alone */
		assert_int_equal(n, 0);
		assert_non_null(x);
		assert_string_equal(x->state, "running");
	}
	if (x)
		x->starts++;
	if (c->tool->effect == EFFECT_ONCE)
		assert_int_equal(x->starts, 1);
	l->calls[n] = c;
	l->call = l->calls[0];
	op_start(c->op, pure ? cancel_tool : NULL, l, 0);
}

static const struct tool_spec world_tools[] = {
#define ROW(n, e)                                                                        \
	{                                                                                \
		.name = n, .category = "test", .description = n,                         \
		.schema = "{\"type\":\"object\",\"properties\":{}}", .effect = e,        \
		.place = PLACE_WORKER, .output_most = 1000                               \
	}
	ROW("look", EFFECT_PURE), ROW("store", EFFECT_KEYED), ROW("shout", EFFECT_ONCE)};

const struct tool_spec *tool_find(struct slice name)
{
	for (size_t i = 0; i < ARRAY_LEN(world_tools); i++)
		if (slice_is(name, world_tools[i].name))
			return &world_tools[i];
	return NULL;
}

size_t tool_count(void)
{
	return ARRAY_LEN(world_tools);
}

const struct tool_spec *tool_at(size_t i)
{
	return &world_tools[i];
}

size_t tool_index(const struct tool_spec *t)
{
	return (size_t)(t - world_tools);
}

tool_start_fn *tool_starter(const struct tool_spec *t)
{
	(void)t;
	return start_tool;
}

void tool_error(struct tool_call *c, const char *fmt, ...)
{
	(void)fmt;
	strbuf_reset(&c->output);
	strbuf_add_str(&c->output, "{\"error\":\"it failed\"}");
}

/* The n-th of those that run. */
static void tool_ends_at(struct life *l, size_t n)
{
	struct tool_call *c = l->calls[n];
	assert_non_null(c);
	runs_no_more(l, c->op);
	strbuf_add_str(&c->output, "{\"ok\":true}");
	op_finish(c->op, ERR_OK);
	turn();
}

static void tool_ends(struct life *l)
{
	tool_ends_at(l, 0);
}

/* ---- lives */

static struct life *life_new(void)
{
	struct life *l = xcalloc(1, sizeof *l);
	l->w.loop = loop;
	l->w.chan = (struct chan *)l;
	l->w.http = (struct http_client *)l;
	l->w.pool = (struct pg_pool *)l;
	l->w.journal = (struct journal *)l;
	l->w.model = SLICE("openai/test");
	l->w.endpoints = endpoints_new(SLICE("openai\thttp://nowhere\t\t\n"));
	l->w.runs = map_new();
	l->w.agents = agents_new();
	l->w.sessions = sessions_new(1u << 20);
	list_init(&l->w.speaking);
	return l;
}

static void life_free(struct life *l)
{
	void *value;
	size_t it = 0;
	assert_false(map_next(l->w.runs, &it, NULL, &value));
	turn();
	map_free(l->w.runs);
	agents_free(l->w.agents);
	sessions_free(l->w.sessions);
	endpoints_free(l->w.endpoints);
	free(l);
}

/* kill -9: what is under way is never heard of again. */
static void life_kill(struct life *l)
{
	l->dead = true;
	if (!was_let_go(l)) {
		l->run->lost = true;
		if (l->flying) {
			struct commit *c = l->flying;
			l->flying = NULL;
			c->done(c->arg, &(struct commit_result){.outcome = COMMIT_STALE});
		}
		l->loading = l->run->loading = false;
		while (l->call) {
			struct op *op = l->call->op;
			runs_no_more(l, op);
			op_finish(op, ERR_PEER_GONE);
		}
		run_wake(l->run);
		turn();
	}
	life_free(l);
}

/* The lane starts (again) on that worker; `m` says what is special about it. */
static void start(struct life *l, struct wire_run_start m)
{
	bool first = db.fence == 0;
	db.fence++;
	db.running = true;
	db.retrying = false;
	m.tenant = 1;
	m.run = run_id;
	m.session = session_id;
	m.agent = agent_id;
	m.agent_revision = 1;
	m.fence = db.fence;
	m.commit_no = db.commit_no;
	m.input_seq = 1 + before_input;
	m.cap = SLICE("cap");
	m.resumed = !first;
	m.attempt = m.attempt ? m.attempt : 1;
	m.max_attempts = m.max_attempts ? m.max_attempts : 3;
	if (first) {
		m.body = slice_str(message_body);
		m.appended = 1;
		m.ev_seq = db.ev_seq = 1;
		db_add("user", 0, run_id, m.body);
		if (body_left_out)
			m.body = SLICE_NONE;
	}
	m.ev_seq = db.ev_seq;
	m.head_seq = (int64_t)db.line_count;
	l->heard[0] = 0;
	run_begin(&l->w, &m);
	l->run = run_find(&l->w, run_id, db.fence);
	assert_non_null(l->run);
	turn();
}

static struct waiting *wait_in_lane(unsigned take)
{
	struct waiting *w = &db.waiting[db.waiting_count++];
	assert_in_range(db.waiting_count, 1, WAITING_MOST);
	*w = (struct waiting){.run = uuid7_new(), .take = take};
	return w;
}

UNUSED static void end_pause(struct life *l)
{
	loop_timer_stop(l->run->pause);
	run_wake(l->run);
	turn();
}

/* ---- what must hold of the transcript, always */

/* "u" the run's message, "t" a taken one, "a" an answer, "r" a tool's result. */
static const char *transcript(void)
{
	static char out[MESSAGES_MOST + 1];
	for (size_t i = 0; i < db.line_count; i++) {
		const struct line *m = &db.lines[i];
		out[i] = *m->role == 'a'           ? 'a'
			 : *m->role == 's'         ? 's'
			 : *m->role == 't'         ? 'r'
			 : uuid_eq(m->run, run_id) ? 'u'
						   : 't';
	}
	out[db.line_count] = 0;
	return out;
}

static size_t count_in(const char *text, const char *word)
{
	size_t n = 0;
	for (const char *p = text; (p = strstr(p, word)); p += strlen(word))
		n++;
	return n;
}

static bool is_last_answer(size_t i)
{
	while (++i < db.line_count)
		if (*db.lines[i].role == 'a')
			return false;
	return true;
}

/* Each call of an answer has its result behind it, before anything else; but those that a
 * run left to its client. */
static void check_pairs(void)
{
	for (size_t i = 0; i < db.line_count; i++) {
		const struct line *m = &db.lines[i];
		if (*m->role != 'a')
			continue;
		size_t calls = count_in(m->content, "\"tool_call\""), k = 0;
		while (i + 1 + k < db.line_count && db.lines[i + 1 + k].role[0] == 't')
			k++;
		if (db.result == RESULT_COMPLETED && is_last_answer(i))
			calls -= count_in(m->content, "\"clientSide\":true");
		if (k != calls)
			fail_msg("%s: %zu results of %zu calls", transcript(), k, calls);
	}
}

static void check_end(void)
{
	assert_int_equal(db.ends, 1);
	check_pairs();
	for (size_t i = 0; i < db.row_count; i++)
		if (!strcmp(db.rows[i].state, "running") ||
		    !strcmp(db.rows[i].state, "pending"))
			fail_msg("call %zu is %s", i, db.rows[i].state);
	for (size_t i = 0; i < db.waiting_count; i++) {
		size_t stands = 0;
		for (size_t k = 0; k < db.line_count; k++)
			stands += uuid_eq(db.lines[k].run, db.waiting[i].run);
		if (!db.waiting[i].taken)
			assert_int_equal(stands, 0);
		else
			assert_true(stands == 1 || db.waiting[i].take == TAKE_FOLDED);
		assert_int_equal(db.waiting[i].taken, db.waiting[i].told);
	}
	if (db.result == RESULT_COMPLETED) {
		size_t last = db.line_count - 1;
		while (last && *db.lines[last].role == 't')
			last--;
		const char *content = db.lines[last].content;
		bool left = count_in(content, "\"clientSide\":true") > 0;
		assert_string_equal(db.lines[last].role, "assistant");
		assert_true(left || last == db.line_count - 1);
		assert_true(left || !count_in(content, "tool_call"));
	}
}

static void world_begin(void)
{
	for (size_t i = 0; i < db.line_count; i++)
		free(db.lines[i].content);
	memset(&db, 0, sizeof db);
	run_id = uuid7_new();
	session_id = uuid7_new();
	agent_id = uuid7_new();
	asked_in_all = loads_in_all = 0;
	summaries_in_all = compactions_in_all = 0;
	agent_config = "{}";
	message_body = PLAIN_BODY;
	calls_differ = false;
	body_left_out = false;
	before_input = 0;
}

#endif
