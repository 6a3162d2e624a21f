/* SPDX-License-Identifier: Apache-2.0
 * Pairing. */
#include "worker/client_results.h"

#include "common/attr.h"
#include "common/json.h"
#include "worker/commit.h"
#include "worker/llm/blocks.h"

/* Answers without calls between those that left calls open and the message: a person may
 * have appended some. */
#define ANSWERS_BETWEEN 8
#define NO_RESULT "no result was given"

bool client_calls_are_open(const struct run *r)
{
	for (size_t i = 0; i < r->call_count; i++)
		if (r->calls[i].client && !r->calls[i].settled && !r->calls[i].settling)
			return true;
	return false;
}

bool client_calls_are_all(const struct run *r)
{
	for (size_t i = 0; i < r->call_count; i++)
		if (!r->calls[i].client)
			return false;
	return r->call_count > 0;
}

/* ---- what the transcript says */

static void free_doc(void *d)
{
	json_free(d);
}

static json_t parsed(struct run *r, struct slice content)
{
	struct json_doc *d = json_parse(content, content.n, NULL, 0);
	if (d)
		arena_cleanup(r->arena, free_doc, d);
	return json_root(d);
}

static size_t position_of_input(const struct run *r)
{
	size_t i = r->session->count;
	while (i > 0 && r->session->messages[i - 1]->seq != r->input_seq)
		i--;
	return i; /* one past it; 0: it is not there */
}

/* The answer before the message that left calls to the client; session->count: none. */
static size_t find_answer(const struct run *r)
{
	const struct session *s = r->session;
	int between = 0;
	for (size_t i = position_of_input(r); i-- > 0;) {
		struct slice content = s->messages[i]->llm.content;
		if (s->messages[i]->llm.role != LLM_ASSISTANT)
			continue;
		if (slice_find(content, SLICE("\"clientSide\"")) >= 0)
			return i;
		if (slice_find(content, SLICE("\"tool_call\"")) >= 0 ||
		    ++between > ANSWERS_BETWEEN)
			break;
	}
	return s->count;
}

/* The result of that call in the message; NULL: it has none. */
static json_t result_in(json_t content, struct slice id, json_t *blocks, size_t *at)
{
	*blocks = json_get(content, "blocks");
	for (*at = 0; *at < json_len(*blocks); ++*at) {
		json_t b = json_at(*blocks, *at);
		if (block_kind(b) == BLOCK_RESULT &&
		    slice_eq(json_str(json_get(b, "callId")), id))
			return b;
	}
	return NULL;
}

static bool may_name(struct run *r, struct slice content, struct slice id)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	(void)r;
	strbuf_add_char(&b, '"');
	json_escape(&b, id);
	strbuf_add_char(&b, '"');
	return slice_find(content, strbuf_slice(&b)) >= 0;
}

/* The newest result of that call from message `from` on; NULL: none. */
static json_t find_result(struct run *r, size_t from, struct slice id)
{
	json_t blocks;
	size_t at;
	for (size_t i = r->session->count; i-- > from;) {
		const struct llm_message *m = &r->session->messages[i]->llm;
		if (m->role != LLM_TOOL || !may_name(r, m->content, id))
			continue;
		json_t found = result_in(parsed(r, m->content), id, &blocks, &at);
		if (found)
			return found;
	}
	return NULL;
}

/* ---- what the message brings */

static json_t given_for(json_t results, struct slice id)
{
	struct json_iter it = json_iter(results);
	for (json_t g; (g = json_next(&it, NULL));)
		if (slice_eq(json_str(json_get(g, "toolCallId")), id))
			return g;
	return NULL;
}

static void add_text(struct strbuf *out, json_t content)
{
	struct slice text = json_str(content);
	if (text.p)
		strbuf_add_slice(out, text);
	else
		blocks_add_text(out, content);
}

static void put_images(struct json_out *o, json_t content)
{
	for (size_t i = 0; json_kind(content) == JSON_ARRAY && i < json_len(content); i++)
		if (blocks_result_image(content, i))
			json_put_value(o, json_at(content, i));
}

/* The message of one call's result; given NULL: there is none. */
static void write_result(struct strbuf *out, json_t call, json_t given)
{
	AUTO(strbuf_fini) struct strbuf text = STRBUF_INIT;
	json_t content = json_get(given, "content");
	struct json_out o = json_out(out);
	if (given)
		add_text(&text, content);
	else
		strbuf_add_str(&text, NO_RESULT);
	json_obj(&o);
	json_key(&o, "blocks");
	json_arr(&o);
	json_obj(&o);
	json_kv_cstr(&o, "type", "tool_result");
	json_kv_str(&o, "callId", json_str(json_get(call, "callId")));
	json_kv_str(&o, "name", json_str(json_get(call, "name")));
	json_kv_bool(&o, "isError",
		     !given || json_bool(json_get(given, "isError"), false));
	json_kv_str(&o, "text", text.n ? strbuf_slice(&text) : SLICE(""));
	json_obj_end(&o);
	put_images(&o, content);
	json_arr_end(&o);
	json_obj_end(&o);
}

/* A message that is run again, or sent again after its run failed, brings what is there
 * already. */
static bool is_same(json_t given, json_t there)
{
	AUTO(strbuf_fini) struct strbuf text = STRBUF_INIT;
	add_text(&text, json_get(given, "content"));
	return slice_eq(text.n ? strbuf_slice(&text) : SLICE(""),
			json_str(json_get(there, "text"))) &&
	       json_bool(json_get(given, "isError"), false) ==
		       json_bool(json_get(there, "isError"), false);
}

/* ---- pairs */

struct pairing {
	struct run *run;
	size_t answer; /* its position */
	json_t blocks; /* of it; NULL: no calls are open */
	json_t given;  /* the message's results; NULL: none */
};

static bool is_of_client(json_t block)
{
	return block_kind(block) == BLOCK_CALL &&
	       json_bool(json_get(block, "clientSide"), false);
}

static bool is_open(const struct pairing *p, json_t block)
{
	return is_of_client(block) &&
	       !find_result(p->run, p->answer, json_str(json_get(block, "callId")));
}

static bool has_open(const struct pairing *p, struct slice id)
{
	for (size_t i = 0; i < json_len(p->blocks); i++) {
		json_t b = json_at(p->blocks, i);
		if (slice_eq(json_str(json_get(b, "callId")), id) && is_open(p, b))
			return true;
	}
	return false;
}

/* NULL: each result that was given has its call. Else the id of one that has not. */
static bool find_stray(const struct pairing *p, struct slice *id, bool *answered)
{
	struct json_iter it = json_iter(p->given);
	for (json_t g; (g = json_next(&it, NULL));) {
		*id = json_str(json_get(g, "toolCallId"));
		if (has_open(p, *id))
			continue;
		json_t there = find_result(p->run, 0, *id);
		if (there && is_same(g, there))
			continue;
		*answered = there != NULL;
		return true;
	}
	return false;
}

static enum step_verdict commit_results(const struct pairing *p)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct run *r = p->run;
	bool any = false;
	for (size_t i = 0; i < json_len(p->blocks); i++) {
		json_t call = json_at(p->blocks, i);
		if (!is_open(p, call))
			continue;
		if (!any)
			commit_begin(r);
		any = true;
		strbuf_reset(&b);
		write_result(&b, call,
			     given_for(p->given, json_str(json_get(call, "callId"))));
		commit_result(r, strbuf_slice(&b));
	}
	if (!any)
		return STEP_MORE;
	commit_submit(r);
	return STEP_WAIT;
}

enum step_verdict client_results_take(struct run *r)
{
	struct pairing p = {.run = r, .answer = find_answer(r)};
	size_t input = position_of_input(r);
	struct slice id = SLICE_NONE,
		     said = input ? r->session->messages[input - 1]->llm.content
				  : SLICE_NONE;
	bool answered = false;
	r->results_taken = true;
	if (slice_find(said, SLICE("\"toolResults\"")) >= 0)
		p.given = json_get(parsed(r, said), "toolResults");
	if (p.answer < r->session->count)
		p.blocks = json_get(
			parsed(r, r->session->messages[p.answer]->llm.content), "blocks");
	if (!p.blocks && !p.given)
		return STEP_MORE;
	if (find_stray(&p, &id, &answered))
		return run_fail(r, ERR_BAD_REQUEST,
				answered ? "toolResults: the tool call '%.*s' has "
					   "another result already"
					 : "toolResults: no tool call '%.*s' of this "
					   "session waits for a result",
				SLICE_ARG(id));
	return commit_results(&p);
}
