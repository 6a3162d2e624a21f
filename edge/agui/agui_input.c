/* SPDX-License-Identifier: Apache-2.0
 * What is new in the messages is the order: those behind the assistant's last one. */
#include "edge/agui/agui_input.h"

#include <stdio.h>

#include "common/crypto.h"
#include "edge/culprit.h"
#include "edge/said.h"

#define BODY_MOST (20u << 20)

struct reading {
	struct arena *arena;
	struct agui_input *out;
	struct said said;
	json_t messages;
	struct strbuf context; /* what the application says of itself */
};

static bool take_id(struct reading *r, const char *name, json_t v, size_t most,
		    struct slice *out)
{
	struct slice s = json_str(v);
	if (!s.n || s.n > most || slice_has_control(s))
		return said_wrong(&r->said, name,
				  "%s must be a string of 1 to %zu bytes without control "
				  "characters",
				  name, most);
	*out = arena_slice(r->arena, s);
	return true;
}

static bool take_thread(struct reading *r, json_t v)
{
	return take_id(r, "threadId", v, AGUI_THREAD_MOST, &r->out->thread);
}

static bool take_run(struct reading *r, json_t v)
{
	return take_id(r, "runId", v, AGUI_RUN_MOST, &r->out->run);
}

/* What is of no use to a run is not looked into: the state is the application's. */
static bool take_any(struct reading *r, json_t v)
{
	(void)r, (void)v;
	return true;
}

static bool take_messages(struct reading *r, json_t v)
{
	r->messages = v;
	return json_kind(v) == JSON_ARRAY ||
	       said_wrong(&r->said, "messages", "messages must be a list");
}

static bool take_tools(struct reading *r, json_t v)
{
	return said_tools(&r->said, v);
}

static bool take_context(struct reading *r, json_t v)
{
	struct json_iter it = json_iter(v);
	json_t entry;
	if (json_kind(v) != JSON_ARRAY)
		return said_wrong(&r->said, "context", "context must be a list");
	for (size_t i = 0; (entry = json_next(&it, NULL)); i++) {
		struct slice what = json_str(json_get(entry, "description")),
			     value = json_str(json_get(entry, "value"));
		if (!what.p || !value.p)
			return said_wrong(&r->said, "context",
					  "context[%zu] must have description and value, "
					  "two strings",
					  i);
		strbuf_printf(&r->context, "\n%.*s: %.*s", SLICE_ARG(what),
			      SLICE_ARG(value));
	}
	return true;
}

/* Its members are the application's own but for those that are named here. */
static bool take_props(struct reading *r, json_t v)
{
	json_t cancels = json_get(v, "cancelOnDisconnect"),
	       choice = json_get(v, "toolChoice"), mode = json_get(v, "queueMode");
	if (cancels && json_kind(cancels) != JSON_BOOL)
		return said_wrong(&r->said, "forwardedProps.cancelOnDisconnect",
				  "forwardedProps.cancelOnDisconnect must be true or "
				  "false");
	r->out->cancels = json_bool(cancels, false);
	if (choice)
		said_choice(&r->said, choice);
	if (!mode)
		return !r->said.is_wrong;
	r->out->order.mode = json_str(mode).p ? mode_from_word(json_str(mode)) : 0;
	return (r->out->order.mode && r->out->order.mode != MODE_ANNOUNCE) ||
	       said_wrong(&r->said, "forwardedProps.queueMode",
			  "forwardedProps.queueMode must be steer, followup, collect or "
			  "interrupt");
}

static bool take_resume(struct reading *r, json_t v)
{
	return json_len(v) == 0 ||
	       said_wrong(&r->said, "resume",
			  "resume must be empty: an approval is answered by POST "
			  "/v1/approvals/{id} while the stream is open");
}

static const struct {
	const char *name;
	bool (*take)(struct reading *r, json_t v);
} members[] = {{"threadId", take_thread},
	       {"runId", take_run},
	       {"protocolVersion", take_any},
	       {"parentRunId", take_any},
	       {"state", take_any},
	       {"messages", take_messages},
	       {"tools", take_tools},
	       {"context", take_context},
	       {"forwardedProps", take_props},
	       {"resume", take_resume}};

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

static bool take_image(struct reading *r, const char *at, json_t part)
{
	json_t source = json_get(part, "source");
	struct slice kind = json_str(json_get(source, "type")),
		     value = json_str(json_get(source, "value"));
	if (slice_is(kind, "data"))
		said_image(&r->said, json_str(json_get(source, "mimeType")), value);
	else if (slice_is(kind, "url"))
		said_image_url(&r->said, at, value);
	else
		said_wrong(&r->said, at, "%s.source must be of type data or url", at);
	return !r->said.is_wrong;
}

static bool take_parts(struct reading *r, size_t i, json_t parts)
{
	struct json_iter it = json_iter(parts);
	json_t part;
	char at[64];
	for (size_t j = 0; (part = json_next(&it, NULL)); j++) {
		struct slice type = json_str(json_get(part, "type"));
		snprintf(at, sizeof at, "messages[%zu].content[%zu]", i, j);
		if (slice_is(type, "text"))
			said_text(&r->said, json_str(json_get(part, "text")));
		else if (!slice_is(type, "image"))
			return said_wrong(&r->said, at,
					  "%s must be of type \"text\" or \"image\"", at);
		else if (!take_image(r, at, part))
			return false;
	}
	return true;
}

static bool take_user(struct reading *r, size_t i, json_t message)
{
	json_t content = json_get(message, "content");
	if (json_kind(content) == JSON_ARRAY)
		return take_parts(r, i, content);
	if (!json_str(content).p)
		return said_wrong(&r->said, "messages",
				  "messages[%zu].content must be a string or a list of "
				  "parts",
				  i);
	said_text(&r->said, json_str(content));
	return true;
}

/* Of a list of parts the texts: a result is text. */
static void take_result(struct reading *r, size_t i, json_t message)
{
	json_t content = json_get(message, "content");
	struct slice error = json_str(json_get(message, "error"));
	char at[48];
	snprintf(at, sizeof at, "messages[%zu]", i);
	said_result(&r->said, at, json_str(json_get(message, "toolCallId")),
		    error.n && !json_str(content).n ? json_get(message, "error")
						    : content,
		    error.n > 0);
}

static bool is_role(json_t message, const char *role)
{
	return slice_is(json_str(json_get(message, "role")), role);
}

static size_t first_new(json_t messages)
{
	struct json_iter it = json_iter(messages);
	json_t message;
	size_t from = 0;
	for (size_t i = 0; (message = json_next(&it, NULL)); i++)
		if (is_role(message, "assistant"))
			from = i + 1;
	return from;
}

static bool take_message(struct reading *r, size_t i, json_t message, bool is_new)
{
	if (is_role(message, "system") || is_role(message, "developer")) {
		said_system(&r->said, json_str(json_get(message, "content")));
		return true;
	}
	if (is_role(message, "user"))
		return !is_new || take_user(r, i, message);
	if (is_role(message, "tool")) {
		if (is_new)
			take_result(r, i, message);
		return !r->said.is_wrong;
	}
	return is_role(message, "assistant") || is_role(message, "reasoning") ||
	       is_role(message, "activity") ||
	       said_wrong(&r->said, "messages",
			  "messages[%zu].role must be user, assistant, tool, system, "
			  "developer, reasoning or activity",
			  i);
}

static bool read_messages(struct reading *r)
{
	struct json_iter it = json_iter(r->messages);
	size_t from = first_new(r->messages);
	json_t message;
	for (size_t i = 0; (message = json_next(&it, NULL)); i++)
		if (!take_message(r, i, message, i >= from))
			return false;
	if (r->said.block_count || r->said.results.n)
		return true;
	return said_wrong(&r->said, "messages",
			  "messages must end with a user's message or a tool's result: "
			  "what stands behind the last answer is what the run is about");
}

/* ---- the order */

static bool is_there(struct reading *r, const char *name, bool there)
{
	return there || said_wrong(&r->said, name, "%s is missing", name);
}

/* Names of any form and length in one of a key's. */
static struct slice derived_key(struct reading *r, struct slice agent)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	uint8_t sum[32];
	char hex[65];
	strbuf_printf(&b, "%zu:%.*s %zu:%.*s ", agent.n, SLICE_ARG(agent),
		      r->out->thread.n, SLICE_ARG(r->out->thread));
	strbuf_add_slice(&b, r->out->run);
	crypto_sha256(strbuf_slice(&b), sum);
	crypto_hex(sum, sizeof sum, hex);
	return slice_str(arena_printf(r->arena, "agui:%s", hex));
}

static bool compose(struct reading *r, struct slice agent)
{
	struct agui_input *in = r->out;
	if (r->context.n) {
		said_system(&r->said, SLICE("What the application says of its state:"));
		strbuf_add_slice(&r->said.system, strbuf_slice(&r->context));
	}
	in->order.session_key =
		slice_str(arena_printf(r->arena, "agui:%.*s", SLICE_ARG(in->thread)));
	in->idem_key = derived_key(r, agent);
	return said_compose(&r->said, r->arena, &in->order.content);
}

static bool blame(struct reading *r, struct slice body, const char *why)
{
	char member[64];
	const char *problem = culprit_find(body, member, sizeof member);
	if (!problem)
		return said_wrong(&r->said, "", "the body is no valid JSON: %s", why);
	return said_wrong(&r->said, member, "%s must be valid text: %s", member, problem);
}

static bool parse(struct reading *r, struct slice body, struct slice agent)
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
	return is_there(r, "threadId", r->out->thread.p) &&
	       is_there(r, "runId", r->out->run.p) &&
	       is_there(r, "messages", r->messages) && read_messages(r) &&
	       compose(r, agent);
}

bool agui_input_read(struct slice body, struct slice agent, struct arena *a,
		     struct agui_input *out, struct order_fault *fault)
{
	struct reading r = {.arena = a, .out = out};
	*out = (struct agui_input){0};
	said_init(&r.said, fault);
	bool fine = parse(&r, body, agent);
	said_fini(&r.said);
	strbuf_fini(&r.context);
	return fine;
}
