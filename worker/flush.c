/* SPDX-License-Identifier: Apache-2.0
 * The memory flush: before older messages give way to a summary, the model may save to
 * its memory what would be lost. A conversation on the side: it sees what it would see
 * now, and a notice; it may call the memory tools alone, and nothing of it enters the
 * transcript. A worker that dies in it does it again: its calls have keys of their own in
 * this cycle, so that what was saved is saved once. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/attr.h"
#include "common/json.h"
#include "common/log.h"
#include "worker/compaction.h"
#include "worker/commit.h"
#include "worker/context/render.h"
#include "worker/tools/args.h"
#include "worker/tools/registry.h"

#define ROUNDS_MOST 3
#define CALLS_MOST 8 /* of a round */
/* Messages after a compaction before there is anything new to save. */
#define NEW_LEAST 4

static const char *const flush_tools[] = {"memory_store", "memory_get"};

struct flush {
	struct arena *arena;
	/* What was said in it: notice, answers, results. */
	struct llm_message *said[1 + ROUNDS_MOST * (1 + CALLS_MOST)];
	size_t said_count;
	int rounds, made, saved;
	const char *problem;
	/* of the round under way */
	size_t call, calls;
	struct tool_call work;
};

static bool may_use(const struct run *r, const char *name)
{
	const struct tool_spec *t = tool_find(slice_str(name));
	return t && permit_judge(r, tool_index(t), NULL) == POLICY_ALLOW;
}

bool flush_is_wanted(const struct run *r)
{
	const struct session *s = r->session;
	return s->flushed <= s->context_set &&
	       s->head_seq >= s->context_set + (s->context_set ? NEW_LEAST : 0) &&
	       may_use(r, "memory_store");
}

void flush_free(struct flush *f)
{
	if (!f)
		return;
	for (size_t i = 0; i < f->said_count; i++)
		strbuf_fini(&f->said[i]->wire);
	strbuf_fini(&f->work.output);
	free(f);
}

static void say(struct flush *f, enum llm_role role, struct slice content)
{
	struct llm_message *m = arena_zalloc(f->arena, sizeof *m);
	m->role = role;
	m->content = arena_slice(f->arena, content);
	f->said[f->said_count++] = m;
}

static void say_notice(struct flush *f)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	json_obj(&o);
	json_key(&o, "blocks");
	json_arr(&o);
	json_obj(&o);
	json_kv_cstr(&o, "type", "text");
	json_kv_cstr(&o, "text", render_flush_request);
	json_obj_end(&o);
	json_arr_end(&o);
	json_obj_end(&o);
	say(f, LLM_USER, strbuf_slice(&b));
}

enum step_verdict flush_ask(struct run *r)
{
	struct compact *c = r->compact;
	struct llm_question q = {.model = r->model,
				 .system = context_system(r),
				 .params = asking_params(r)};
	const struct llm_tool *tools[ARRAY_LEN(flush_tools)];
	if (!c->flush) {
		c->flush = xcalloc(1, sizeof *c->flush);
		c->flush->arena = c->arena;
		say_notice(c->flush);
	}
	struct flush *f = c->flush;
	for (size_t i = 0; i < ARRAY_LEN(flush_tools); i++)
		if (may_use(r, flush_tools[i]))
			tools[q.tool_count++] = agent_tool(
				r->agent,
				tool_index(tool_find(slice_str(flush_tools[i]))));
	q.tools = tools;
	q.params.schema = SLICE_NONE; /* what it says is for nobody */
	context_fill(r, &q,
		     c->wish.why == COMPACT_OVERFLOW ? r->context.window.compact / 2 : 0,
		     f->said_count);
	struct llm_message **list =
		arena_alloc(r->arena, (q.message_count + f->said_count) * sizeof *list);
	memcpy(list, q.messages, q.message_count * sizeof *list);
	memcpy(list + q.message_count, f->said, f->said_count * sizeof *list);
	q.messages = list;
	q.message_count += f->said_count;
	return compact_ask(r, &q);
}

/* ---- its calls */

/* The position of a call among the answer's parts. */
static struct slice call_id(const struct run *r, size_t i, char *own, size_t size)
{
	const struct llm_part *p = llm_call_at(&r->compact->answer, i);
	snprintf(own, size, "flush_%d_%zu", r->compact->flush->rounds, i);
	return p->id.n && slice_is_utf8(strbuf_slice(&p->id)) ? strbuf_slice(&p->id)
							      : slice_str(own);
}

static struct json_doc *arguments_of(const struct run *r, size_t i)
{
	struct slice text =
		slice_trim(strbuf_slice(&llm_call_at(&r->compact->answer, i)->arguments));
	return json_parse_unique(text.n ? text : SLICE("{}"), COMPACT_TEXT_MOST, NULL, 0);
}

static void put_call(const struct run *r, struct json_out *o, size_t i)
{
	char own[40];
	AUTO(auto_json_free) struct json_doc *d = arguments_of(r, i);
	json_obj(o);
	json_kv_cstr(o, "type", "tool_call");
	json_kv_str(o, "callId", call_id(r, i, own, sizeof own));
	json_kv_str(o, "name", strbuf_slice(&llm_call_at(&r->compact->answer, i)->name));
	json_key(o, "arguments");
	if (json_kind(json_root(d)) == JSON_OBJECT)
		json_put_value(o, json_root(d));
	else
		json_put_raw(o, SLICE("{}"));
}

static void say_answer(struct run *r)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct compact *c = r->compact;
	struct json_out o = json_out(&b);
	size_t call = 0;
	json_obj(&o);
	json_key(&o, "blocks");
	json_arr(&o);
	for (size_t i = 0; i < c->answer.part_count; i++) {
		const struct llm_part *p = &c->answer.parts[i];
		if (p->kind == LLM_TEXT) {
			json_obj(&o);
			json_kv_cstr(&o, "type", "text");
			json_kv_str(&o, "text", llm_part_text(&c->answer, p));
		} else if (p->kind == LLM_REASONING) {
			json_obj(&o);
			json_kv_cstr(&o, "type", "reasoning");
			json_kv_str(&o, "text", strbuf_slice(&p->thought));
		} else if (call < c->flush->calls) {
			put_call(r, &o, call++);
		} else {
			continue;
		}
		if (p->opaque.n) {
			json_kv_cstr(&o, "provider", r->target.provider->name);
			json_kv_raw(&o, "opaque", strbuf_slice(&p->opaque));
		}
		json_obj_end(&o);
	}
	json_arr_end(&o);
	json_obj_end(&o);
	say(c->flush, LLM_ASSISTANT, strbuf_slice(&b));
}

static void say_result(struct run *r, struct slice text, bool failed)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	char own[40];
	struct flush *f = r->compact->flush;
	struct json_out o = json_out(&b);
	json_obj(&o);
	json_key(&o, "blocks");
	json_arr(&o);
	json_obj(&o);
	json_kv_cstr(&o, "type", "tool_result");
	json_kv_str(&o, "callId", call_id(r, f->call, own, sizeof own));
	json_kv_str(&o, "name",
		    strbuf_slice(&llm_call_at(&r->compact->answer, f->call)->name));
	json_kv_bool(&o, "isError", failed);
	json_kv_str(&o, "text", text);
	json_obj_end(&o);
	json_arr_end(&o);
	json_obj_end(&o);
	say(f, LLM_TOOL, strbuf_slice(&b));
	f->call++;
}

static const struct tool_spec *tool_of(const struct run *r, struct slice name)
{
	for (size_t i = 0; i < ARRAY_LEN(flush_tools); i++)
		if (slice_is(name, flush_tools[i]) && may_use(r, flush_tools[i]))
			return tool_find(name);
	return NULL;
}

static void free_doc(void *d)
{
	json_free(d);
}

static void start(struct run *r, const struct tool_spec *t, struct json_doc *args)
{
	struct flush *f = r->compact->flush;
	char id[UUID_TEXT_LEN + 1];
	uuid_format(r->id, id);
	arena_cleanup(f->arena, free_doc, args);
	strbuf_reset(&f->work.output);
	f->work.facts = (struct tool_facts){0};
	f->work.tool = t;
	f->work.env = &r->env;
	f->work.args = json_root(args);
	/* The same in each life of the run, another one in each cycle. */
	f->work.idem_key = arena_printf(f->arena, "%s:flush%lld:%d", id,
					(long long)r->session->context_set, f->made++);
	f->work.op = &r->op;
	f->work.arena = f->arena;
	op_init(&r->op, r->worker->loop, run_op_done, r);
	tool_starter(t)(&f->work);
}

/* The next call that can be made has begun; false: none is left. */
static bool start_next(struct run *r)
{
	struct flush *f = r->compact->flush;
	while (f->call < f->calls) {
		char why[320];
		const struct tool_spec *t = tool_of(
			r,
			strbuf_slice(&llm_call_at(&r->compact->answer, f->call)->name));
		struct json_doc *args = arguments_of(r, f->call);
		AUTO(auto_json_free)
		struct json_doc *schema =
			t ? json_parse(slice_str(t->schema), COMPACT_TEXT_MOST, NULL, 0)
			  : NULL;
		if (!t || !args)
			snprintf(
				why, sizeof why, "%s",
				t ? "the arguments are not JSON"
				  : "only memory_store and memory_get may be called now");
		if (t && args &&
		    !args_check(json_root(schema), json_root(args), why, sizeof why)) {
			start(r, t, args);
			return true;
		}
		json_free(args);
		say_result(r, slice_str(why), true);
	}
	return false;
}

bool flush_answered(struct run *r, enum err e)
{
	struct compact *c = r->compact;
	struct flush *f = c->flush;
	if (e) {
		f->problem = err_text(e);
		return false;
	}
	f->calls = c->answer.call_count < CALLS_MOST ? c->answer.call_count : CALLS_MOST;
	f->call = 0;
	if (!f->calls || f->rounds >= ROUNDS_MOST)
		return false;
	say_answer(r);
	f->rounds++;
	r->step = start_next(r) ? STEP_SAVING : STEP_COMPACT;
	return true;
}

bool flush_saved(struct run *r)
{
	struct flush *f = r->compact->flush;
	struct slice name =
		strbuf_slice(&llm_call_at(&r->compact->answer, f->call)->name);
	f->saved += !r->op_result && slice_is(name, "memory_store");
	say_result(r, strbuf_slice(&f->work.output), r->op_result != ERR_OK);
	strbuf_reset(&f->work.output);
	return start_next(r);
}

void flush_commit(struct run *r)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	const struct flush *f = r->compact->flush;
	struct json_out o = json_out(&b);
	json_obj(&o);
	json_kv_i64(&o, "saved", f->saved);
	if (f->problem)
		json_kv_cstr(&o, "problem", f->problem);
	json_obj_end(&o);
	commit_phase(r, "memory_flushed", strbuf_slice(&b));
	commit_act(r, "flushed", SLICE("{}"));
	log_info("memory-flushed", "saved=%d problem=\"%s\"", f->saved,
		 f->problem ? f->problem : "");
}
