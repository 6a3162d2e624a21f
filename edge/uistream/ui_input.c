/* SPDX-License-Identifier: Apache-2.0
 * What is new in the messages: those behind the assistant's last one, and of that one
 * what its client did about the calls of its last step. */
#include "edge/uistream/ui_input.h"

#include <stdio.h>

#include "edge/culprit.h"
#include "edge/said.h"

#define BODY_MOST (20u << 20)
#define MESSAGE_ID_MOST 256u

struct reading {
	struct arena *arena;
	struct ui_input *out;
	struct said said;
	json_t messages;
	bool regenerates;
};

static bool take_chat(struct reading *r, json_t v)
{
	r->out->order.session_key = ui_session_key(json_str(v), r->arena);
	r->out->chat = json_str(v).p ? arena_slice(r->arena, json_str(v)) : SLICE_NONE;
	return r->out->order.session_key.p ||
	       said_wrong(&r->said, "id",
			  "id must be a string of 1 to %u bytes without control "
			  "characters",
			  UI_CHAT_MOST);
}

static bool take_messages(struct reading *r, json_t v)
{
	r->messages = v;
	return json_kind(v) == JSON_ARRAY ||
	       said_wrong(&r->said, "messages", "messages must be a list");
}

static bool take_trigger(struct reading *r, json_t v)
{
	r->regenerates = slice_is(json_str(v), "regenerate-message");
	return r->regenerates || slice_is(json_str(v), "submit-message") ||
	       said_wrong(&r->said, "trigger",
			  "trigger must be submit-message or regenerate-message");
}

/* Which one is answered anew is not chosen: the last. */
static bool take_message_id(struct reading *r, json_t v)
{
	return json_kind(v) == JSON_STRING || json_kind(v) == JSON_NULL ||
	       said_wrong(&r->said, "messageId", "messageId must be a string");
}

static bool take_tools(struct reading *r, json_t v)
{
	return said_tools(&r->said, v);
}

static bool take_choice(struct reading *r, json_t v)
{
	said_choice(&r->said, v);
	return !r->said.is_wrong;
}

static bool take_user(struct reading *r, json_t v)
{
	struct slice s = json_str(v);
	if (!s.n || s.n > ORDER_USER_MAX || slice_has_control(s))
		return said_wrong(&r->said, "user",
				  "user must be a string of 1 to %u bytes without "
				  "control characters",
				  ORDER_USER_MAX);
	r->out->order.user = arena_slice(r->arena, s);
	return true;
}

static bool take_cancels(struct reading *r, json_t v)
{
	r->out->cancels = json_bool(v, false);
	return json_kind(v) == JSON_BOOL ||
	       said_wrong(&r->said, "cancelOnDisconnect",
			  "cancelOnDisconnect must be true or false");
}

static const struct {
	const char *name;
	bool (*take)(struct reading *r, json_t v);
} members[] = {{"id", take_chat},         {"messages", take_messages},
	       {"trigger", take_trigger}, {"messageId", take_message_id},
	       {"tools", take_tools},     {"toolChoice", take_choice},
	       {"user", take_user},       {"cancelOnDisconnect", take_cancels}};

static bool take_member(struct reading *r, struct slice key, json_t v)
{
	char name[64];
	for (size_t i = 0; i < ARRAY_LEN(members); i++)
		if (slice_is(key, members[i].name))
			return members[i].take(r, v);
	snprintf(name, sizeof name, "%.*s", (int)(key.n < 63 ? key.n : 63), key.p);
	return said_wrong(&r->said, name, "there is no member \"%s\" here", name);
}

/* ---- messages */

static struct slice member(json_t v, const char *name)
{
	return json_str(json_get(v, name));
}

static bool take_file(struct reading *r, const char *at, json_t part)
{
	if (!slice_has_prefix(member(part, "mediaType"), SLICE("image/")))
		return said_wrong(&r->said, at, "%s: of files, images are taken", at);
	said_image_url(&r->said, at, member(part, "url"));
	return !r->said.is_wrong;
}

/* Parts that are the application's own (data-...) say nothing to a model. */
static bool take_user_parts(struct reading *r, size_t i, json_t message)
{
	json_t parts = json_get(message, "parts"), part;
	struct json_iter it = json_iter(parts);
	char at[64];
	if (json_kind(parts) != JSON_ARRAY)
		return said_wrong(&r->said, "messages",
				  "messages[%zu].parts must be a list", i);
	for (size_t j = 0; (part = json_next(&it, NULL)); j++) {
		struct slice type = member(part, "type");
		snprintf(at, sizeof at, "messages[%zu].parts[%zu]", i, j);
		if (slice_is(type, "text"))
			said_text(&r->said, member(part, "text"));
		else if (slice_is(type, "file") && !take_file(r, at, part))
			return false;
		else if (!type.n)
			return said_wrong(&r->said, at, "%s must have a type", at);
	}
	return true;
}

static void take_system_parts(struct reading *r, json_t message)
{
	struct json_iter it = json_iter(json_get(message, "parts"));
	for (json_t part; (part = json_next(&it, NULL));)
		if (slice_is(member(part, "type"), "text"))
			said_system(&r->said, member(part, "text"));
}

/* ---- what the client did about calls */

static bool take_decision(struct reading *r, const char *at, json_t part)
{
	json_t approval = json_get(part, "approval"),
	       yes = json_get(approval, "approved");
	struct ui_input *in = r->out;
	struct ui_decision d = {.approved = json_bool(yes, false),
				.reason = member(approval, "reason")};
	if (!uuid_parse(member(approval, "id"), &d.approval) ||
	    json_kind(yes) != JSON_BOOL)
		return said_wrong(&r->said, at,
				  "%s.approval must have id and approved, as it was "
				  "asked for",
				  at);
	if (d.reason.n > LIMIT_DENIAL)
		return said_wrong(&r->said, at,
				  "%s.approval.reason must have at most %u bytes", at,
				  LIMIT_DENIAL);
	if (in->decision_count == UI_DECISIONS_MOST)
		return said_wrong(&r->said, at, "%s: too many approvals in one step", at);
	d.reason =
		d.reason.n && !d.approved ? arena_slice(r->arena, d.reason) : SLICE_NONE;
	in->decisions[in->decision_count++] = d;
	return true;
}

static bool take_call(struct reading *r, const char *at, json_t part)
{
	struct slice state = member(part, "state");
	if (slice_is(state, "approval-responded"))
		return take_decision(r, at, part);
	if (json_bool(json_get(part, "providerExecuted"), false))
		return true;
	if (slice_is(state, "output-available"))
		said_result(&r->said, at, member(part, "toolCallId"),
			    json_get(part, "output"), false);
	else if (slice_is(state, "output-error"))
		said_result(&r->said, at, member(part, "toolCallId"),
			    json_get(part, "errorText"), true);
	return !r->said.is_wrong;
}

static bool is_call(json_t part)
{
	struct slice type = member(part, "type");
	return slice_has_prefix(type, SLICE("tool-")) || slice_is(type, "dynamic-tool");
}

static size_t last_step(json_t parts)
{
	struct json_iter it = json_iter(parts);
	json_t part;
	size_t from = 0;
	for (size_t i = 0; (part = json_next(&it, NULL)); i++)
		if (slice_is(member(part, "type"), "step-start"))
			from = i;
	return from;
}

static bool take_answers(struct reading *r, size_t i, json_t message)
{
	json_t parts = json_get(message, "parts"), part;
	struct json_iter it = json_iter(parts);
	size_t from = last_step(parts);
	char at[64];
	for (size_t j = 0; (part = json_next(&it, NULL)); j++) {
		snprintf(at, sizeof at, "messages[%zu].parts[%zu]", i, j);
		if (j >= from && is_call(part) && !take_call(r, at, part))
			return false;
	}
	return true;
}

static bool is_role(json_t message, const char *role)
{
	return slice_is(member(message, "role"), role);
}

/* The place of the assistant's last one; json_len when there is none. */
static size_t last_answer(json_t messages)
{
	struct json_iter it = json_iter(messages);
	json_t message;
	size_t at = json_len(messages);
	for (size_t i = 0; (message = json_next(&it, NULL)); i++)
		if (is_role(message, "assistant"))
			at = i;
	return at;
}

static bool take_message(struct reading *r, size_t i, size_t answer, json_t message)
{
	bool is_new = answer == json_len(r->messages) || i > answer;
	if (is_role(message, "system")) {
		take_system_parts(r, message);
		return true;
	}
	if (is_role(message, "user"))
		return !is_new || take_user_parts(r, i, message);
	if (!is_role(message, "assistant"))
		return said_wrong(&r->said, "messages",
				  "messages[%zu].role must be user, assistant or system",
				  i);
	return i != answer || take_answers(r, i, message);
}

/* A message that goes on keeps its id. */
static bool take_continued(struct reading *r)
{
	json_t last = json_at(r->messages, json_len(r->messages) - 1);
	struct slice id = member(last, "id");
	if (!json_len(r->messages) || !is_role(last, "assistant") || !id.n)
		return true;
	r->out->message = arena_slice(r->arena, id);
	return id.n <= MESSAGE_ID_MOST ||
	       said_wrong(&r->said, "messages",
			  "a message's id must have at most %u bytes", MESSAGE_ID_MOST);
}

static bool read_messages(struct reading *r)
{
	struct json_iter it = json_iter(r->messages);
	size_t answer = last_answer(r->messages);
	json_t message;
	if (r->regenerates) {
		r->out->order.mode = MODE_REGENERATE;
		r->out->order.content = SLICE("{}");
		return true;
	}
	for (size_t i = 0; (message = json_next(&it, NULL)); i++)
		if (!take_message(r, i, answer, message))
			return false;
	if (!take_continued(r) || r->out->decision_count)
		return !r->said.is_wrong;
	if (!r->said.block_count && !r->said.results.n)
		return said_wrong(
			&r->said, "messages",
			"messages must end with a user's message, with a tool's "
			"output or with the answer to an approval");
	return said_compose(&r->said, r->arena, &r->out->order.content);
}

/* ---- the body */

static bool is_there(struct reading *r, const char *name, bool there)
{
	return there || said_wrong(&r->said, name, "%s is missing", name);
}

static bool blame(struct reading *r, struct slice body, const char *why)
{
	char name[64];
	const char *problem = culprit_find(body, name, sizeof name);
	if (!problem)
		return said_wrong(&r->said, "", "the body is no valid JSON: %s", why);
	return said_wrong(&r->said, name, "%s must be valid text: %s", name, problem);
}

static bool parse(struct reading *r, struct slice body)
{
	char why[160] = "it is empty";
	struct slice key;
	AUTO(auto_json_free)
	struct json_doc *doc =
		body.n ? json_parse_unique(body, BODY_MOST, why, sizeof why) : NULL;
	if (!doc)
		return blame(r, body, why);
	if (json_kind(json_root(doc)) != JSON_OBJECT)
		return said_wrong(&r->said, "", "the body must be a JSON object");
	struct json_iter it = json_iter(json_root(doc));
	for (json_t v; (v = json_next(&it, &key));)
		if (!take_member(r, key, v))
			return false;
	return is_there(r, "id", r->out->chat.p) &&
	       is_there(r, "messages", r->messages) && read_messages(r);
}

bool ui_input_read(struct slice body, struct arena *a, struct ui_input *out,
		   struct order_fault *fault)
{
	struct reading r = {.arena = a, .out = out};
	*out = (struct ui_input){0};
	said_init(&r.said, fault);
	bool fine = parse(&r, body);
	said_fini(&r.said);
	return fine;
}

struct slice ui_session_key(struct slice chat, struct arena *a)
{
	if (!chat.n || chat.n > UI_CHAT_MOST || slice_has_control(chat))
		return SLICE_NONE;
	return slice_str(arena_printf(a, "ui:%.*s", SLICE_ARG(chat)));
}
