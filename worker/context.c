/* SPDX-License-Identifier: Apache-2.0
 * Plans over a session's cached messages. What is read of a message, and its shorter
 * forms, are kept with it: a question costs a walk over small records, and copies
 * nothing. */
#include "worker/context.h"

#include <stdlib.h>

#include "common/alloc.h"
#include "common/json.h"
#include "worker/bootstrap.h"
#include "worker/context/prune.h"
#include "worker/context/tokens.h"
#include "worker/run.h"

static struct tokens_model *learned(struct run *r)
{
	uint64_t hash = plan_hash(r->model);
	return tokens_model(&r->worker->models, hash ? hash : 1);
}

/* What was refused is told of the agent's model alone: another tenant may mean another
 * server by the same name. */
static struct tokens_model *refused_by(struct run *r)
{
	uint64_t hash = plan_hash(r->model) ^
			plan_hash(slice_of(&r->agent_id, sizeof r->agent_id)) ^
			(uint64_t)r->tenant;
	return tokens_model(&r->worker->models, hash ? hash : 1);
}

int64_t context_scaled(struct run *r, int64_t estimate)
{
	return tokens_scaled(estimate, learned(r)->ratio);
}

int64_t context_unscaled(struct run *r, int64_t tokens)
{
	return tokens_unscaled(tokens, learned(r)->ratio);
}

/* A model that refused less than its window is believed to have less. */
static struct window window_now(struct run *r)
{
	int64_t size = window_size(r->model, r->agent->config.context_window);
	int64_t refused = refused_by(r)->refused;
	return window_of(refused && refused < size ? refused : size);
}

/* ---- items and forms */

static void read_message(struct message *m)
{
	if (m->item.whole)
		return;
	m->item.seq = m->seq;
	plan_read(&m->item, m->llm.content);
}

const struct plan_item *const *context_items(struct run *r, size_t *count)
{
	const struct session *s = r->session;
	const struct plan_item **items =
		arena_alloc(r->arena, (s->count + 1) * sizeof *items);
	for (size_t i = 0; i < s->count; i++) {
		read_message(s->messages[i]);
		items[i] = &s->messages[i]->item;
	}
	*count = s->count;
	return items;
}

static struct llm_message *form_of(struct message *m, enum plan_form form)
{
	if (form == PLAN_WHOLE)
		return &m->llm;
	enum prune_form shorter =
		form == PLAN_TRIMMED ? PRUNE_TRIMMED : PRUNE_RESULT_CLEARED;
	struct llm_message **kept = &m->shorter[shorter];
	if (!*kept) {
		struct strbuf text = STRBUF_INIT;
		prune_content(&text, m->llm.content, shorter);
		*kept = xcalloc(1, sizeof **kept);
		(*kept)->role = m->llm.role;
		(*kept)->content = strbuf_slice(&text); /* freed with the message */
	}
	return *kept;
}

/* ---- measuring */

/* The answer whose report says how large the context was then, if it still says so: the
 * model is the same, and the context began where it begins now. */
static const struct plan_item *last_report(const struct run *r,
					   const struct plan_item *const *items,
					   size_t count, size_t *at)
{
	for (size_t i = count; i-- > 0;) {
		if (items[i]->role != PLAN_ASSISTANT)
			continue;
		*at = i;
		return items[i]->used && items[i]->seq > r->session->context_set &&
				       items[i]->model == plan_hash(r->model)
			       ? items[i]
			       : NULL;
	}
	return NULL;
}

static int64_t used_now(struct run *r, const struct plan_item *const *items, size_t count,
			const uint8_t *form, int64_t estimate)
{
	size_t at;
	int64_t since = 0;
	const struct plan_item *report = last_report(r, items, count, &at);
	if (!report)
		return context_scaled(r, estimate);
	for (size_t i = at + 1; i < count; i++)
		since += form[i] == PLAN_OUT ? 0 : items[i]->whole;
	return report->used + context_scaled(r, since);
}

static struct plan_limits limits_of(struct run *r, int64_t most)
{
	const struct context *c = &r->context;
	struct plan_limits l = {.summary_seq = r->session->summary_seq,
				.window = c->window.size};
	if (most) {
		l.most = context_unscaled(r, most - c->system - c->memory - c->skills -
						     c->tools);
		if (l.most < 1)
			l.most = 1;
	}
	return l;
}

struct slice context_system(struct run *r)
{
	struct slice said = asking_system(r), skills = skills_text(r),
		     memory = bootstrap_text(r);
	if (!memory.n && !skills.n)
		return said;
	return slice_str(arena_printf(r->arena, "%.*s%.*s%.*s", SLICE_ARG(said),
				      SLICE_ARG(skills), SLICE_ARG(memory)));
}

void context_measure(struct run *r, const struct llm_question *q)
{
	struct context *c = &r->context;
	struct plan_sum sum;
	size_t count;
	const struct plan_item *const *items = context_items(r, &count);
	uint8_t *form = arena_alloc(r->arena, count + 1);
	int64_t memory = tokens_of_text(bootstrap_text(r));
	int64_t skills = tokens_of_text(skills_text(r));
	int64_t system = tokens_of_text(q->system) - memory - skills, tools = 0;
	*c = (struct context){.window = window_now(r)};
	for (size_t i = 0; i < q->tool_count - q->foreign; i++)
		tools += agent_tool_tokens(r->agent, q->tools[i]);
	if (q->foreign)
		tools += r->asking.client.tokens;
	struct plan_limits limits = limits_of(r, 0);
	plan_make(items, count, &limits, form, &sum);
	c->estimate = system + memory + skills + tools + sum.tokens;
	c->system = context_scaled(r, system > 0 ? system : 0);
	c->memory = context_scaled(r, memory);
	c->skills = context_scaled(r, skills);
	c->tools = context_scaled(r, tools);
	c->summary = context_scaled(r, sum.summary_tokens);
	c->pruned = context_scaled(r, sum.pruned);
	c->used = used_now(r, items, count, form, c->estimate);
}

/* In the estimate's terms, which may be larger than what the provider reports. */
static int64_t limit_of(struct run *r, int64_t most)
{
	const struct context *c = &r->context;
	int64_t scaled = context_scaled(r, c->estimate);
	if (!most && c->used < c->window.compact)
		return 0;
	most = most ? most : c->window.compact;
	return c->used > 0 && scaled > c->used ? most * scaled / c->used : most;
}

static void show(struct run *r, struct llm_question *q, const struct plan_limits *limits,
		 size_t extra)
{
	const struct session *s = r->session;
	struct plan_sum sum;
	size_t count, n = 0;
	const struct plan_item *const *items = context_items(r, &count);
	uint8_t *form = arena_alloc(r->arena, count + 1);
	struct llm_message **list =
		arena_alloc(r->arena, (count + extra + 1) * sizeof(struct llm_message *));
	plan_make(items, count, limits, form, &sum);
	if (sum.summary != SIZE_MAX)
		list[n++] = &s->messages[sum.summary]->llm;
	for (size_t i = 0; i < count; i++)
		if (form[i] != PLAN_OUT && i != sum.summary)
			list[n++] = form_of(s->messages[i], form[i]);
	q->messages = list;
	q->message_count = n;
}

void context_fill(struct run *r, struct llm_question *q, int64_t most, size_t extra)
{
	struct plan_limits limits = limits_of(r, limit_of(r, most));
	r->context.most = limits.most;
	show(r, q, &limits, extra);
}

void context_show_again(struct run *r, struct llm_question *q, int64_t window,
			int64_t most)
{
	struct plan_limits limits = {
		.summary_seq = r->session->summary_seq, .window = window, .most = most};
	show(r, q, &limits, 0);
}

/* ---- what the provider says */

void context_learn(struct run *r)
{
	struct tokens_model *m = learned(r);
	int64_t in = r->answer.usage.in;
	m->ratio = tokens_learn(m->ratio, r->context.estimate, in);
	if (in > refused_by(r)->refused)
		refused_by(r)->refused = 0;
}

/* Nine tenths of it may do. */
void context_refused(struct run *r)
{
	struct tokens_model *m = refused_by(r);
	int64_t used = r->context.used * 9 / 10;
	if (used > WINDOW_LEAST && (!m->refused || used < m->refused))
		m->refused = used;
}

void context_put_note(const struct run *r, struct json_out *o, int64_t used)
{
	const struct context *c = &r->context;
	json_key(o, "context");
	json_obj(o);
	json_kv_str(o, "model", r->model);
	json_kv_i64(o, "window", c->window.size);
	json_kv_i64(o, "reserve", c->window.reserve);
	json_kv_i64(o, "used", used);
	json_kv_i64(o, "system", c->system);
	json_kv_i64(o, "memory", c->memory);
	json_kv_i64(o, "skills", c->skills);
	json_kv_i64(o, "tools", c->tools);
	json_kv_i64(o, "summary", c->summary);
	json_kv_i64(o, "pruned", c->pruned);
	json_obj_end(o);
}
