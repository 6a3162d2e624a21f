/* SPDX-License-Identifier: Apache-2.0
 * The summary of a compaction: what it is of, the questions for it, and its commit. A
 * conversation that does not fit one question is summarised piece by piece, each time
 * with the summary so far. */
#include <stdlib.h>
#include <string.h>

#include "common/attr.h"
#include "common/crypto.h"
#include "common/json.h"
#include "common/log.h"
#include "worker/commit.h"
#include "worker/compaction.h"
#include "worker/context/render.h"
#include "worker/context/tokens.h"
#include "worker/llm/blocks.h"

#define SUMMARY_TOKENS 4000
#define SUMMARY_LEAST 200
/* Of the question for a summary beside conversation and summary so far. */
#define REQUEST_TOKENS 450
#define TEXT_BYTES_MOST 24000u

/* ---- what of */

/* Of the window, what a question for a summary may take. After an overflow nobody knows
 * how large the window is: but less than what was refused. */
static int64_t room(const struct run *r)
{
	const struct compact *c = r->compact;
	int64_t compact = r->context.window.compact;
	return c->wish.why == COMPACT_OVERFLOW && c->before / 2 < compact ? c->before / 2
									  : compact;
}

static int64_t target(const struct run *r)
{
	int64_t most = room(r) / 6;
	int64_t wished = r->compact->wish.target_tokens;
	int64_t tokens = wished ? wished : SUMMARY_TOKENS;
	tokens = tokens < most ? tokens : most;
	return tokens > SUMMARY_LEAST ? tokens : SUMMARY_LEAST;
}

/* What is kept fits beside the rest of the question and the summary, so that the next
 * compaction is some way off. */
static int64_t keep(const struct run *r)
{
	const struct context *x = &r->context;
	int64_t free = (room(r) - x->system - x->memory - x->skills - x->tools) / 2;
	return free < x->window.keep ? free > 0 ? free : 0 : x->window.keep;
}

bool summary_choose(struct run *r)
{
	struct compact *c = r->compact;
	size_t count, cut;
	int64_t gain = 0;
	const struct plan_item *const *items = context_items(r, &count);
	cut = plan_cut(items, count, context_unscaled(r, keep(r)), c->wish.keep_messages);
	for (size_t i = 0; i < cut; i++)
		if (items[i]->role != PLAN_SUMMARY && items[i]->role != PLAN_MARK)
			gain += items[i]->trimmed;
	if (!gain || (c->wish.why == COMPACT_FULL &&
		      context_scaled(r, gain) < r->context.window.size / 50))
		return false;
	c->to = items[cut]->seq - 1;
	c->next = 0;
	return true;
}

static const struct message *summary_in_force(const struct run *r)
{
	const struct session *s = r->session;
	for (size_t i = 0; s->summary_seq && i < s->count; i++)
		if (s->messages[i]->seq == s->summary_seq)
			return s->messages[i];
	return NULL;
}

/* ---- questions */

/* The messages from c->next on, as many as fit. One that alone does not fit has been cut
 * to fit. */
static void render_piece(struct run *r, struct strbuf *out, int64_t tokens)
{
	struct compact *c = r->compact;
	const struct session *s = r->session;
	size_t most = tokens > 0 ? (size_t)tokens : 0;
	most = most < TEXT_BYTES_MOST ? most : TEXT_BYTES_MOST;
	c->asked_to = c->to + 1;
	for (size_t i = 0; i < s->count; i++) {
		const struct message *m = s->messages[i];
		size_t from = out->n;
		if (m->seq < c->next || m->seq > c->to)
			continue;
		render_message(out, m->item.role, m->llm.content, most);
		tokens -= tokens_of_text(
			slice_of(out->p ? out->p + from : "", out->n - from));
		if (tokens < 0 && from) {
			out->n = from;
			c->asked_to = m->seq;
			return;
		}
	}
}

/* Beside an answer that is twice as long as it should be, all of the window. */
static int64_t piece(struct run *r)
{
	int64_t all = r->compact->wish.why == COMPACT_OVERFLOW
			      ? room(r)
			      : r->context.window.size - target(r);
	return context_unscaled(r, all - target(r) - REQUEST_TOKENS);
}

enum step_verdict summary_ask(struct run *r)
{
	AUTO(strbuf_fini)
	struct strbuf text = STRBUF_INIT, body = STRBUF_INIT, request = STRBUF_INIT;
	struct compact *c = r->compact;
	const struct message *before = summary_in_force(r);
	struct render_wish w = {.focus = c->wish.focus, .words = target(r) * 2 / 3};
	crypto_random(&w.fence, sizeof w.fence);
	if (!c->parts && before && !c->summary.n)
		strbuf_add_slice(&c->summary,
				 render_summary_text(&text, before->llm.content));
	strbuf_reset(&text);
	w.previous = strbuf_slice(&c->summary);
	render_piece(r, &text, piece(r) - tokens_of_text(w.previous));
	w.text = strbuf_slice(&text);
	render_summary_request(&request, &w);
	struct json_out o = json_out(&body);
	json_obj(&o);
	json_key(&o, "blocks");
	json_arr(&o);
	json_obj(&o);
	json_kv_cstr(&o, "type", "text");
	json_kv_str(&o, "text", strbuf_slice(&request));
	json_obj_end(&o);
	json_arr_end(&o);
	json_obj_end(&o);
	struct llm_message m = {.role = LLM_USER, .content = strbuf_slice(&body)};
	struct llm_message *list[] = {&m};
	enum step_verdict v = compact_ask(
		r, &(struct llm_question){.model = r->model,
					  .system = slice_str(render_summary_system),
					  .messages = list,
					  .message_count = 1});
	strbuf_fini(&m.wire);
	return v;
}

const char *summary_take(struct run *r)
{
	struct compact *c = r->compact;
	struct slice text = slice_trim(strbuf_slice(&c->answer.text));
	if (c->answer.stop == LLM_STOP_LENGTH)
		return "the summary was cut off at the limit of an answer";
	if (!text.n)
		return "the model gave no summary";
	if (context_scaled(r, tokens_of_text(text)) > 3 * target(r))
		return "the summary is much longer than was asked for";
	strbuf_reset(&c->summary);
	strbuf_add_slice(&c->summary, text);
	c->next = c->asked_to;
	if (++c->parts >= COMPACT_PARTS_MOST)
		return "the conversation needs more summaries than one compaction makes";
	return NULL;
}

bool summary_is_whole(const struct run *r)
{
	return r->compact->next > r->compact->to;
}

/* ---- the commit */

static int64_t tokens_after(struct run *r)
{
	const struct context *x = &r->context;
	const struct session *s = r->session;
	int64_t sum = tokens_of_text(strbuf_slice(&r->compact->summary));
	for (size_t i = 0; i < s->count; i++) {
		const struct plan_item *m = &s->messages[i]->item;
		if (m->seq > r->compact->to && m->role != PLAN_SUMMARY &&
		    m->role != PLAN_MARK)
			sum += m->whole;
	}
	return context_scaled(r, sum) + x->system + x->memory + x->skills + x->tools;
}

static void put_content(struct run *r, struct strbuf *b, int64_t after)
{
	AUTO(strbuf_fini) struct strbuf text = STRBUF_INIT;
	struct json_out o = json_out(b);
	strbuf_add_str(&text, RENDER_SUMMARY_HEAD);
	strbuf_add_slice(&text, strbuf_slice(&r->compact->summary));
	r->context.summary = context_scaled(r, tokens_of_text(strbuf_slice(&text)));
	json_obj(&o);
	json_key(&o, "blocks");
	json_arr(&o);
	json_obj(&o);
	json_kv_cstr(&o, "type", "text");
	json_kv_str(&o, "text", strbuf_slice(&text));
	json_obj_end(&o);
	json_arr_end(&o);
	context_put_note(r, &o, after);
	json_obj_end(&o);
}

static const char *const words[] = {[COMPACT_FULL] = "full",
				    [COMPACT_OVERFLOW] = "overflow",
				    [COMPACT_ASKED] = "asked"};

void summary_commit(struct run *r)
{
	AUTO(strbuf_fini)
	struct strbuf content = STRBUF_INIT, act = STRBUF_INIT, event = STRBUF_INIT;
	struct compact *c = r->compact;
	int64_t after = tokens_after(r);
	put_content(r, &content, after);
	strbuf_printf(&act, "{\"to\":%lld,\"before\":%lld,\"after\":%lld,\"why\":\"%s\"}",
		      (long long)c->to, (long long)c->before, (long long)after,
		      words[c->wish.why]);
	strbuf_printf(&event,
		      "{\"why\":\"%s\",\"tokensBefore\":%lld,\"tokensAfter\":%lld,"
		      "\"calls\":%d}",
		      words[c->wish.why], (long long)c->before, (long long)after,
		      c->parts);
	commit_summary(r, strbuf_slice(&content), strbuf_slice(&act));
	commit_phase(r, "compacted", strbuf_slice(&event));
	r->compacted = (struct compact_outcome){
		.done = true, .before = c->before, .after = after};
	log_info("compacted", "why=%s before=%lld after=%lld to=%lld calls=%d",
		 words[c->wish.why], (long long)c->before, (long long)after,
		 (long long)c->to, c->parts);
}
