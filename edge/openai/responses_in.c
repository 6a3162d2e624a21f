/* SPDX-License-Identifier: Apache-2.0
 * A request of POST /v1/responses. */
#include <stdio.h>

#include "edge/blocks.h"
#include "edge/openai/names.h"
#include "edge/openai/reading.h"

#define CONVERSATION_MOST 256

static bool take_instructions(struct reading *r, const char *name, json_t v)
{
	if (!json_str(v).p)
		return reading_wrong(r, name, "%s must be a string", name);
	talk_add_system(&r->ask->talk, json_str(v));
	return true;
}

static bool goes_on_once(struct reading *r, const char *name)
{
	if (uuid_is_nil(r->ask->previous) && !r->ask->conversation.p)
		return true;
	return reading_wrong(
		r, name,
		"previous_response_id and conversation both say what goes on: "
		"give one of them");
}

static bool take_previous(struct reading *r, const char *name, json_t v)
{
	struct uuid run;
	if (!goes_on_once(r, name))
		return false;
	if (!name_run(json_str(v), NAME_RESPONSE, &run))
		return reading_wrong(r, name,
				     "%s must be the id of a response, such as resp_...",
				     name);
	r->ask->previous = run;
	r->has_stable = true;
	return true;
}

static bool take_conversation(struct reading *r, const char *name, json_t v)
{
	json_t id = json_kind(v) == JSON_OBJECT ? json_get(v, "id") : v;
	if (!goes_on_once(r, name))
		return false;
	r->has_stable = true;
	return reading_text(r, name, id, CONVERSATION_MOST, &r->ask->conversation);
}

static bool take_background(struct reading *r, const char *name, json_t v)
{
	return reading_bool(r, name, v, &r->ask->background);
}

static bool take_reasoning(struct reading *r, const char *name, json_t v)
{
	json_t effort = json_get(v, "effort");
	if (json_kind(v) != JSON_OBJECT)
		return reading_wrong(r, name, "%s must be an object", name);
	return json_kind(effort) <= JSON_NULL ||
	       reading_setting(r, "reasoning.effort", "reasoningEffort", effort);
}

static bool take_text_options(struct reading *r, const char *name, json_t v)
{
	json_t format = json_get(v, "format"), verbosity = json_get(v, "verbosity");
	if (json_kind(v) != JSON_OBJECT)
		return reading_wrong(r, name, "%s must be an object", name);
	if (json_kind(verbosity) > JSON_NULL && !is_medium(verbosity))
		return reading_wrong(r, "text.verbosity",
				     "text.verbosity cannot be done here: say in the "
				     "instructions how long answers are to be");
	return json_kind(format) <= JSON_NULL ||
	       reading_format(r, "text.format", format, format);
}

/* ---- input */

static bool take_words(struct reading *r, const char *at, size_t i, struct slice role,
		       json_t content)
{
	struct talk *t = &r->ask->talk;
	bool answer = slice_is(role, "assistant");
	AUTO(strbuf_fini) struct strbuf words = STRBUF_INIT;
	size_t blocks;
	if (slice_is(role, "system") || slice_is(role, "developer")) {
		if (!reading_words(r, at, content, &words))
			return false;
		talk_add_system(t, strbuf_slice(&words));
		return true;
	}
	if (!answer && !slice_is(role, "user"))
		return reading_wrong(r, at,
				     "input[%zu].role must be system, developer, user or "
				     "assistant",
				     i);
	talk_add(t, answer ? SAID_ASSISTANT : SAID_USER, i);
	if (answer ? !reading_words(r, at, content, &words)
		   : !reading_blocks(r, at, content, &t->text, &blocks))
		return false;
	if (answer && words.n) {
		struct json_out o = json_out(&t->text);
		blocks_put_text(&o, strbuf_slice(&words));
	}
	talk_close(t, answer ? words.n > 0 : blocks);
	return true;
}

static bool take_call(struct reading *r, const char *at, size_t i, json_t item)
{
	struct talk *t = &r->ask->talk;
	struct slice id = json_str(json_get(item, "call_id")),
		     name = json_str(json_get(item, "name"));
	if (!id.n || !name.n)
		return reading_wrong(r, at, "%s must have a call_id and a name", at);
	struct said *s = talk_add(t, SAID_CALL, i);
	s->id = arena_slice(t->arena, id);
	s->name = arena_slice(t->arena, name);
	reading_arguments(json_str(json_get(item, "arguments")), &t->text);
	talk_close(t, 1);
	return true;
}

/* Its texts, and its images behind them. */
static bool take_output(struct reading *r, const char *at, json_t output,
			struct strbuf *words, struct strbuf *images)
{
	AUTO(strbuf_fini) struct strbuf one = STRBUF_INIT;
	struct json_iter it = json_iter(output);
	if (json_kind(output) != JSON_ARRAY)
		return reading_words(r, at, output, words);
	for (json_t part; (part = json_next(&it, NULL));) {
		struct slice text = json_str(json_get(part, "text"));
		if (text.p) {
			strbuf_add_slice(words, text);
			continue;
		}
		AUTO(strbuf_fini) struct strbuf list = STRBUF_INIT;
		struct json_out o = json_out(&list);
		size_t count;
		json_arr(&o);
		json_put_value(&o, part);
		json_arr_end(&o);
		AUTO(auto_json_free)
		struct json_doc *d = json_parse(strbuf_slice(&list), list.n, NULL, 0);
		strbuf_reset(&one);
		if (!reading_blocks(r, at, json_root(d), &one, &count))
			return false;
		if (images->n && one.n)
			strbuf_add_char(images, ',');
		strbuf_add_slice(images, strbuf_slice(&one));
	}
	return true;
}

static bool take_result(struct reading *r, const char *at, size_t i, json_t item)
{
	struct talk *t = &r->ask->talk;
	AUTO(strbuf_fini) struct strbuf words = STRBUF_INIT;
	AUTO(strbuf_fini) struct strbuf images = STRBUF_INIT;
	struct slice id = json_str(json_get(item, "call_id"));
	if (!id.n)
		return reading_wrong(r, at, "%s must have the call_id of a call", at);
	if (!take_output(r, at, json_get(item, "output"), &words, &images))
		return false;
	struct said *s = talk_add(t, SAID_RESULT, i);
	s->id = arena_slice(t->arena, id);
	s->text = arena_slice(t->arena, words.n ? strbuf_slice(&words) : SLICE(""));
	strbuf_add_slice(&t->text, strbuf_slice(&images));
	talk_close(t, 0);
	return true;
}

static bool take_item(struct reading *r, size_t i, json_t item, bool is_new)
{
	struct slice type = json_str(json_get(item, "type")),
		     role = json_str(json_get(item, "role"));
	char at[48];
	bool system = slice_is(role, "system") || slice_is(role, "developer");
	snprintf(at, sizeof at, "input[%zu]", i);
	if (!is_new && !system)
		return true;
	if (role.p && (!type.p || slice_is(type, "message"))) {
		snprintf(at, sizeof at, "input[%zu].content", i);
		return take_words(r, at, i, role, json_get(item, "content"));
	}
	if (slice_is(type, "function_call"))
		return take_call(r, at, i, item);
	if (slice_is(type, "function_call_output"))
		return take_result(r, at, i, item);
	if (slice_is(type, "reasoning")) /* a model is shown its own alone */
		return true;
	return reading_wrong(r, at,
			     "%s is of type \"%.*s\": messages, function_call and "
			     "function_call_output can be said, and items of responses "
			     "referred to",
			     at, (int)(type.n < 40 ? type.n : 40), type.p ? type.p : "");
}

/* What a reference names is in its run's session: that goes on. */
static bool find_reference(struct reading *r)
{
	struct json_iter it = json_iter(r->list);
	struct slice last = SLICE_NONE;
	struct uuid run;
	size_t i = 0, at = 0;
	for (json_t item; (item = json_next(&it, NULL)); i++)
		if (slice_is(json_str(json_get(item, "type")), "item_reference")) {
			last = json_str(json_get(item, "id"));
			last = last.p ? last : SLICE("");
			at = i;
		}
	if (!last.p || r->ask->stable)
		return true;
	if (!name_run(last, NAME_ITEM, &run)) {
		char param[48];
		snprintf(param, sizeof param, "input[%zu].id", at);
		return reading_wrong(r, param, "%s names no item of a response from here",
				     param);
	}
	r->ask->previous = run;
	r->ask->stable = true;
	return true;
}

static size_t find_new(json_t list)
{
	struct json_iter it = json_iter(list);
	size_t i = 0, from = 0;
	for (json_t m; (m = json_next(&it, NULL)); i++) {
		struct slice type = json_str(json_get(m, "type"));
		if (slice_is(json_str(json_get(m, "role")), "assistant") ||
		    slice_is(type, "function_call") || slice_is(type, "item_reference"))
			from = i + 1;
	}
	return from;
}

static bool read_input(struct reading *r, size_t from)
{
	struct json_iter it = json_iter(r->list);
	size_t i = 0;
	if (json_str(r->list).p)
		return take_words(r, "input", 0, SLICE("user"), r->list);
	if (!find_reference(r))
		return false;
	from = r->ask->stable ? find_new(r->list) : from;
	for (json_t m; (m = json_next(&it, NULL)); i++)
		if (!take_item(r, i, m, i >= from))
			return false;
	return true;
}

/* ---- the table */

static const struct param params[] = {
#define TAKEN(name, taker) {#name, PARAM_TAKEN, taker, NULL, NULL},
#define IGNORED(name) {#name, PARAM_IGNORED, NULL, NULL, NULL},
#define REFUSED(name, neutral, why) {#name, PARAM_REFUSED, NULL, neutral, why},
#include "edge/openai/responses.tbl"
#undef TAKEN
#undef IGNORED
#undef REFUSED
};

bool ask_read_responses(struct ask *ask, struct arena *arena, struct slice body,
			bool stable, struct ask_fault *fault)
{
	static const struct reading_api api = {params, ARRAY_LEN(params), "input",
					       read_input, find_new};
	struct reading r = {.ask = ask, .fault = fault};
	*ask = (struct ask){.arena = arena, .stable = stable};
	talk_init(&ask->talk, arena);
	if (!reading_all(&r, body, &api))
		return false;
	if (ask->background && ask->stream)
		return reading_wrong(
			&r, "background",
			"background and stream exclude each other: ask for the "
			"response by its id, or follow GET /v1/runs/{id}/events");
	return true;
}
