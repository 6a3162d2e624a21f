/* SPDX-License-Identifier: Apache-2.0
 * Checking an order member by member. */
#include "edge/order.h"

#include <stdarg.h>
#include <stdio.h>

#include "common/attr.h"
#include "common/crypto.h"
#include "common/json.h"
#include "common/strbuf.h"
#include "edge/blocks.h"
#include "edge/client_tools.h"
#include "edge/culprit.h"
#include "proto/model/settings.h"
#include "proto/model/webhook.h"

#define BODY_MAX (1u << 20)

struct reading {
	struct arena *arena;
	struct order *out;
	struct order_fault *fault;
	struct slice blocks;           /* JSON list */
	json_t tools, choice, results; /* of the client's tools; NULL: not said */
	struct slice webhook;          /* JSON object; n 0: none */
	struct model_settings settings;
	struct strbuf overrides; /* members of an object */
};

PRINTF_LIKE(3, 4)
static bool wrong(struct reading *r, const char *param, const char *fmt, ...)
{
	va_list ap;
	snprintf(r->fault->param, sizeof r->fault->param, "%s", param);
	va_start(ap, fmt);
	vsnprintf(r->fault->message, sizeof r->fault->message, fmt, ap);
	va_end(ap);
	return false;
}

static bool take_text(struct reading *r, const char *name, json_t v, size_t max,
		      struct slice *out)
{
	struct slice s = json_str(v);
	if (!s.p || s.n == 0 || s.n > max)
		return wrong(r, name, "%s must be a string of 1 to %zu bytes", name, max);
	if (slice_has_control(s))
		return wrong(r, name, "%s must not hold control characters", name);
	*out = arena_slice(r->arena, s);
	return true;
}

static bool take_number(struct reading *r, const char *name, json_t v, int64_t min,
			int64_t max, int64_t *out)
{
	if (!json_i64(v, out) || *out < min || *out > max)
		return wrong(r, name, "%s must be an integer from %lld to %lld", name,
			     (long long)min, (long long)max);
	return true;
}

/* ---- the members */

/* Keys the runtime gives out itself: a caller who could name one would speak as a
 * subagent, a schedule or a hook. */
static const char *reserved_prefix(struct slice key)
{
	static const char *const words[] = {
		"subagent:", "cron:", "hook:", "acp:", "deleted:"};
	struct slice rest = key;
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (slice_has_prefix(key, slice_str(words[i])))
			return words[i];
	if (!slice_is(slice_cut(&rest, ':'), "agent") || !rest.p)
		return NULL;
	slice_cut(&rest, ':');
	return slice_has_prefix(rest, slice_str(words[0])) ? "agent:<agent>:subagent:"
							   : NULL;
}

static bool is_free(struct reading *r, struct slice key)
{
	const char *prefix = reserved_prefix(key);
	return !prefix || wrong(r, "sessionKey",
				"sessionKey must not begin with \"%s\": such keys are "
				"given out by the runtime",
				prefix);
}

static bool take_session_key(struct reading *r, json_t v)
{
	struct slice *key = &r->out->session_key;
	return take_text(r, "sessionKey", v, LIMIT_SESSION_KEY, key) && is_free(r, *key);
}

static bool take_user(struct reading *r, json_t v)
{
	return take_text(r, "user", v, ORDER_USER_MAX, &r->out->user);
}

static bool take_priority(struct reading *r, json_t v)
{
	return take_number(r, "priority", v, -100, 100, &r->out->priority);
}

static bool take_delay(struct reading *r, json_t v)
{
	return take_number(r, "delayMs", v, 0, ORDER_DELAY_MAX_MS, &r->out->delay_ms);
}

static bool take_deadline(struct reading *r, json_t v)
{
	int64_t ms;
	if (json_i64(v, &ms) && ms <= 0)
		return wrong(r, "deadlineMs",
			     "deadlineMs is in the past: it must be an integer from 1 to "
			     "%lld, counted from now",
			     ORDER_DEADLINE_MAX_MS);
	return take_number(r, "deadlineMs", v, 1, ORDER_DEADLINE_MAX_MS,
			   &r->out->deadline_ms);
}

static bool take_bool(struct reading *r, const char *name, json_t v, bool *out)
{
	if (json_kind(v) != JSON_BOOL)
		return wrong(r, name, "%s must be true or false", name);
	*out = json_bool(v, false);
	return true;
}

static bool take_stream(struct reading *r, json_t v)
{
	return take_bool(r, "stream", v, &r->out->stream);
}

static bool take_cancel(struct reading *r, json_t v)
{
	return take_bool(r, "cancelOnDisconnect", v, &r->out->cancel_on_disconnect);
}

static bool take_mode(struct reading *r, json_t v)
{
	unsigned mode = json_str(v).p ? mode_from_word(json_str(v)) : 0;
	if (!mode || mode == MODE_ANNOUNCE)
		return wrong(r, "queueMode",
			     "queueMode must be steer, followup, collect or interrupt");
	r->out->mode = mode;
	return true;
}

/* It stays with the message: the run's end finds it there. */
static bool take_webhook(struct reading *r, json_t v)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	char why[160];
	if (!webhook_check(v, why, sizeof why))
		return wrong(r, "webhook", "webhook %s", why);
	json_print(&b, v);
	r->webhook = arena_slice(r->arena, strbuf_slice(&b));
	r->out->webhook = arena_slice(r->arena, webhook_url(v));
	return true;
}

static bool take_run_mode(struct reading *r, json_t v)
{
	r->out->builder = slice_is(json_str(v), "builder");
	return r->out->builder || slice_is(json_str(v), "runtime") ||
	       wrong(r, "mode", "mode must be runtime or builder");
}

static bool take_tools(struct reading *r, json_t v)
{
	r->tools = v;
	return true;
}

static bool take_choice(struct reading *r, json_t v)
{
	r->choice = v;
	return true;
}

static bool take_results(struct reading *r, json_t v)
{
	r->results = v;
	return true;
}

static bool take_message(struct reading *r, json_t v)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct blocks_fault bad;
	if (!blocks_read(v, &b, &bad))
		return wrong(r, bad.member, "%s", bad.message);
	r->blocks = arena_slice(r->arena, strbuf_slice(&b));
	return true;
}

/* How the model is asked: it stays with the message, and its run reads it there. */
static bool take_setting(struct reading *r, struct slice key, json_t v)
{
	struct settings_fault bad;
	if (!model_settings_read(&r->settings, key, v, SETTINGS_RUN, &bad))
		return wrong(r, bad.member, "%s", bad.message);
	strbuf_add_str(&r->overrides, r->overrides.n ? ",\"" : "\"");
	json_escape(&r->overrides, key);
	strbuf_add_str(&r->overrides, "\":");
	json_print(&r->overrides, v);
	return true;
}

/* The members that belong to the client's tools: they are read when all are known. */
static bool add_client(struct reading *r, struct strbuf *b)
{
	struct client_tools_fault bad;
	bool fine = true;
	if (r->tools) {
		strbuf_add_str(b, ",\"clientTools\":");
		fine = client_tools_read(r->tools, b, &bad);
	}
	if (fine && r->choice) {
		strbuf_add_str(b, ",\"toolChoice\":");
		fine = client_choice_read(r->choice, r->tools, b, &bad);
	}
	if (fine && r->results) {
		strbuf_add_str(b, ",\"toolResults\":");
		fine = client_results_read(r->results, b, &bad);
	}
	return fine || wrong(r, bad.member, "%s", bad.message);
}

/* What such a message says is for a run of its own. */
static bool settle_mode(struct reading *r)
{
	unsigned *mode = &r->out->mode;
	if (!r->tools && !r->choice && !r->results && !r->out->builder)
		return true;
	if (*mode == MODE_STEER || *mode == MODE_COLLECT)
		return wrong(
			r, "queueMode",
			"queueMode must be followup or interrupt for a message with "
			"clientTools, toolChoice or toolResults or of mode builder: it "
			"has a run of its own");
	if (!*mode)
		*mode = MODE_FOLLOWUP;
	return true;
}

static bool compose(struct reading *r)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	strbuf_add_str(&b, "{\"blocks\":");
	strbuf_add_slice(&b, r->blocks.p ? r->blocks : SLICE("[]"));
	if (r->overrides.n) {
		strbuf_add_str(&b, ",\"overrides\":{");
		strbuf_add_slice(&b, strbuf_slice(&r->overrides));
		strbuf_add_char(&b, '}');
	}
	if (r->webhook.n) {
		strbuf_add_str(&b, ",\"webhook\":");
		strbuf_add_slice(&b, r->webhook);
	}
	if (r->out->builder)
		strbuf_add_str(&b, ",\"mode\":\"builder\"");
	if (!add_client(r, &b))
		return false;
	strbuf_add_char(&b, '}');
	if (b.n > LIMIT_BODY_BYTES)
		return wrong(r, "message", "message is larger than its limit");
	r->out->content = arena_slice(r->arena, strbuf_slice(&b));
	return true;
}

static const struct {
	const char *name;
	bool (*take)(struct reading *r, json_t v);
} members[] = {{"sessionKey", take_session_key}, {"message", take_message},
	       {"stream", take_stream},          {"priority", take_priority},
	       {"delayMs", take_delay},          {"deadlineMs", take_deadline},
	       {"queueMode", take_mode},         {"mode", take_run_mode},
	       {"clientTools", take_tools},      {"toolChoice", take_choice},
	       {"toolResults", take_results},    {"user", take_user},
	       {"webhook", take_webhook},        {"cancelOnDisconnect", take_cancel}};

static bool take_member(struct reading *r, struct slice key, json_t v)
{
	char name[64];
	for (size_t i = 0; i < ARRAY_LEN(members); i++)
		if (slice_is(key, members[i].name))
			return members[i].take(r, v);
	if (model_setting_exists(key, SETTINGS_RUN))
		return take_setting(r, key, v);
	snprintf(name, sizeof name, "%.*s", (int)(key.n < 63 ? key.n : 63), key.p);
	return wrong(r, name, "there is no member \"%s\" here", name);
}

/* A text that is none (a NUL, a lone surrogate, bytes that are no UTF-8) spoils the whole
 * document; the member that holds it is named all the same. */
static bool blame(struct reading *r, struct slice body, const char *why)
{
	char member[sizeof r->fault->param];
	const char *problem = culprit_find(body, member, sizeof member);
	if (!problem)
		return wrong(r, "", "the body is no valid JSON: %s", why);
	return wrong(r, member, "%s must be valid text: %s", member, problem);
}

static bool parse(struct reading *r, struct slice body)
{
	char why[160];
	struct slice key;
	json_t v;
	if (body.n == 0)
		return wrong(r, "", "the body must be a JSON object");
	AUTO(auto_json_free)
	struct json_doc *doc = json_parse_unique(body, BODY_MAX, why, sizeof why);
	if (!doc)
		return blame(r, body, why);
	if (json_kind(json_root(doc)) != JSON_OBJECT)
		return wrong(r, "", "the body must be a JSON object");
	struct json_iter it = json_iter(json_root(doc));
	while ((v = json_next(&it, &key)))
		if (!take_member(r, key, v))
			return false;
	if (!r->blocks.p && !r->results)
		return wrong(r, "message", "message is missing");
	if (r->out->cancel_on_disconnect && !r->out->stream)
		return wrong(
			r, "cancelOnDisconnect",
			"cancelOnDisconnect needs \"stream\": true: without a stream "
			"there is no connection that stands for the run");
	return settle_mode(r) && compose(r);
}

bool order_parse(struct slice body, struct arena *a, struct order *out,
		 struct order_fault *fault)
{
	struct reading r = {.arena = a, .out = out, .fault = fault};
	*out = (struct order){0};
	model_settings_init(&r.settings);
	bool fine = parse(&r, body);
	model_settings_fini(&r.settings);
	strbuf_fini(&r.overrides);
	return fine;
}

bool order_check_key(struct slice key, struct order_fault *fault)
{
	struct reading r = {.fault = fault};
	bool fine = key.n > 0 && key.n <= LIMIT_IDEMPOTENCY_KEY;
	for (size_t i = 0; fine && i < key.n; i++)
		fine = key.p[i] > 0x20 && key.p[i] < 0x7f;
	return fine || wrong(&r, "Idempotency-Key",
			     "Idempotency-Key must be 1 to %u visible ASCII characters",
			     LIMIT_IDEMPOTENCY_KEY);
}

bool order_check_session(struct slice key, struct order_fault *fault)
{
	struct reading r = {.fault = fault};
	bool fits = key.n > 0 && key.n <= LIMIT_SESSION_KEY && !slice_has_control(key);
	if (!fits)
		return wrong(&r, "sessionKey",
			     "a session's key is 1 to %u bytes without control "
			     "characters",
			     LIMIT_SESSION_KEY);
	return is_free(&r, key);
}

static void add_part(struct strbuf *b, struct slice s)
{
	strbuf_printf(b, "%zu:", s.n);
	strbuf_add_slice(b, s);
}

void order_hash(const struct order *o, struct uuid agent, struct slice session_key,
		uint8_t out[32])
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	add_part(&b, uuid_slice(&agent));
	add_part(&b, session_key);
	add_part(&b, o->user);
	add_part(&b, o->content);
	strbuf_printf(&b, "%lld %lld %lld %u", (long long)o->priority,
		      (long long)o->delay_ms, (long long)o->deadline_ms, o->mode);
	crypto_sha256(strbuf_slice(&b), out);
}
