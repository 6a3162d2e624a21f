/* SPDX-License-Identifier: Apache-2.0
 * A request of POST /v1/chat/completions. */
#include <stdio.h>

#include "edge/openai/reading.h"

static bool take_stream_options(struct reading *r, const char *name, json_t v)
{
	json_t usage = json_get(v, "include_usage");
	if (json_kind(v) != JSON_OBJECT)
		return reading_wrong(r, name, "%s must be an object", name);
	return json_kind(usage) <= JSON_NULL ||
	       reading_bool(r, "stream_options.include_usage", usage, &r->ask->usage);
}

/* One text, or a list of them. */
static bool take_stop(struct reading *r, const char *name, json_t v)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	if (json_kind(v) == JSON_ARRAY)
		return !json_len(v) || reading_setting(r, name, "stop", v);
	json_arr(&o);
	json_put_value(&o, v);
	json_arr_end(&o);
	AUTO(auto_json_free)
	struct json_doc *d = json_parse(strbuf_slice(&b), b.n, NULL, 0);
	return reading_setting(r, name, "stop", json_root(d));
}

static bool take_effort(struct reading *r, const char *name, json_t v)
{
	return reading_setting(r, name, "reasoningEffort", v);
}

static bool take_format(struct reading *r, const char *name, json_t v)
{
	return reading_format(r, name, v, json_get(v, "json_schema"));
}

/* ---- messages */

static bool take_instructions(struct reading *r, const char *at, json_t message)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	if (!reading_words(r, at, json_get(message, "content"), &b))
		return false;
	talk_add_system(&r->ask->talk, strbuf_slice(&b));
	return true;
}

static bool take_user_words(struct reading *r, const char *at, size_t i, json_t message)
{
	struct talk *t = &r->ask->talk;
	size_t blocks;
	talk_add(t, SAID_USER, i);
	if (!reading_blocks(r, at, json_get(message, "content"), &t->text, &blocks))
		return false;
	talk_close(t, blocks);
	return true;
}

static bool take_call(struct reading *r, size_t i, size_t n, json_t call)
{
	struct talk *t = &r->ask->talk;
	json_t f = json_get(call, "function");
	struct slice id = json_str(json_get(call, "id")),
		     name = json_str(json_get(f, "name"));
	char at[64];
	snprintf(at, sizeof at, "messages[%zu].tool_calls[%zu]", i, n);
	if (!id.n || !name.n)
		return reading_wrong(
			r, at, "%s must have an id, and a function with a name", at);
	struct said *s = talk_add(t, SAID_CALL, i);
	s->id = arena_slice(t->arena, id);
	s->name = arena_slice(t->arena, name);
	reading_arguments(json_str(json_get(f, "arguments")), &t->text);
	talk_close(t, 1);
	return true;
}

static bool take_answer(struct reading *r, const char *at, size_t i, json_t message)
{
	struct talk *t = &r->ask->talk;
	AUTO(strbuf_fini) struct strbuf words = STRBUF_INIT;
	json_t calls = json_get(message, "tool_calls");
	struct json_iter it = json_iter(calls);
	if (!reading_words(r, at, json_get(message, "content"), &words))
		return false;
	if (!words.n)
		strbuf_add_slice(&words, json_str(json_get(message, "refusal")));
	talk_add(t, SAID_ASSISTANT, i);
	if (words.n) {
		struct json_out o = json_out(&t->text);
		json_obj(&o);
		json_kv_cstr(&o, "type", "text");
		json_kv_str(&o, "text", strbuf_slice(&words));
		json_obj_end(&o);
	}
	talk_close(t, words.n > 0);
	size_t n = 0;
	for (json_t call; (call = json_next(&it, NULL)); n++)
		if (!take_call(r, i, n, call))
			return false;
	return true;
}

static bool take_result(struct reading *r, const char *at, size_t i, json_t message)
{
	struct talk *t = &r->ask->talk;
	AUTO(strbuf_fini) struct strbuf words = STRBUF_INIT;
	struct slice id = json_str(json_get(message, "tool_call_id"));
	char name[64];
	snprintf(name, sizeof name, "messages[%zu].tool_call_id", i);
	if (!id.n)
		return reading_wrong(r, name, "%s must say which call the result is of",
				     name);
	if (!reading_words(r, at, json_get(message, "content"), &words))
		return false;
	struct said *s = talk_add(t, SAID_RESULT, i);
	s->id = arena_slice(t->arena, id);
	s->text = arena_slice(t->arena, words.n ? strbuf_slice(&words) : SLICE(""));
	return true;
}

static bool take_message(struct reading *r, size_t i, json_t message, bool is_new)
{
	struct slice role = json_str(json_get(message, "role"));
	char at[48];
	snprintf(at, sizeof at, "messages[%zu].content", i);
	if (slice_is(role, "system") || slice_is(role, "developer"))
		return take_instructions(r, at, message);
	if (!is_new)
		return true;
	if (slice_is(role, "user"))
		return take_user_words(r, at, i, message);
	if (slice_is(role, "assistant"))
		return take_answer(r, at, i, message);
	if (slice_is(role, "tool"))
		return take_result(r, at, i, message);
	snprintf(at, sizeof at, "messages[%zu].role", i);
	return reading_wrong(r, at,
			     "%s must be system, developer, user, assistant or tool", at);
}

static bool read_messages(struct reading *r, size_t from)
{
	struct json_iter it = json_iter(r->list);
	size_t i = 0;
	if (json_kind(r->list) != JSON_ARRAY)
		return reading_wrong(r, "messages", "messages must be a list");
	for (json_t m; (m = json_next(&it, NULL)); i++)
		if (!take_message(r, i, m, i >= from))
			return false;
	return true;
}

static size_t find_new(json_t list)
{
	struct json_iter it = json_iter(list);
	size_t i = 0, from = 0;
	for (json_t m; (m = json_next(&it, NULL)); i++)
		if (slice_is(json_str(json_get(m, "role")), "assistant"))
			from = i + 1;
	return from;
}

/* ---- the table */

static const struct param params[] = {
#define TAKEN(name, taker) {#name, PARAM_TAKEN, taker, NULL, NULL},
#define IGNORED(name) {#name, PARAM_IGNORED, NULL, NULL, NULL},
#define REFUSED(name, neutral, why) {#name, PARAM_REFUSED, NULL, neutral, why},
#include "edge/openai/chat.tbl"
#undef TAKEN
#undef IGNORED
#undef REFUSED
};

bool ask_read_chat(struct ask *ask, struct arena *arena, struct slice body, bool stable,
		   struct ask_fault *fault)
{
	static const struct reading_api api = {params, ARRAY_LEN(params), "messages",
					       read_messages, find_new};
	struct reading r = {.ask = ask, .fault = fault};
	*ask = (struct ask){.arena = arena, .stable = stable};
	talk_init(&ask->talk, arena);
	return reading_all(&r, body, &api);
}
