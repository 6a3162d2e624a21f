/* SPDX-License-Identifier: Apache-2.0
 * Gemini's streamGenerateContent. A chunk holds whole parts; a finish reason that says
 * "STOP" stands for calls too. Signatures are kept to the byte and with the very part
 * they came with, an empty text included: gemini_request.c sends them back so. */
#include <stdio.h>

#include "common/attr.h"
#include "common/json.h"
#include "worker/llm/event.h"
#include "worker/llm/gemini_request.h"
#include "worker/llm/llm.h"
#include "worker/llm/refusal.h"

#define BODY_MOST (1u << 20)
#define DAY_US 86400000000ll
#define REASON_MOST 60

/* ---- refusals */

/* "34.4s", at most a day; 0 for anything else. */
static int64_t delay_us(struct slice text)
{
	struct slice whole, rest = text;
	long long s, us = 0;
	if (!text.n || text.p[text.n - 1] != 's')
		return 0;
	rest.n--;
	whole = slice_cut(&rest, '.');
	if (!slice_to_i64(whole, &s) || s < 0)
		return 0;
	for (long long unit = 100000; rest.n && unit; unit /= 10) {
		if (*rest.p < '0' || *rest.p > '9')
			return 0;
		us += (*rest.p - '0') * unit;
		rest = slice_of(rest.p + 1, rest.n - 1);
	}
	return s >= DAY_US / 1000000 ? DAY_US : s * 1000000 + us;
}

/* A quota of the day is used up: who comes again in a minute is told the same. */
static bool is_of_the_day(json_t detail)
{
	struct json_iter it = json_iter(json_get(detail, "violations"));
	for (json_t v; (v = json_next(&it, NULL));)
		if (slice_find(json_str(json_get(v, "quotaId")), SLICE("PerDay")) >= 0)
			return true;
	return false;
}

static enum err refuse(struct llm_answer *a, int status, json_t error)
{
	struct llm_refusal r = llm_refusal_of(status, error);
	struct json_iter it = json_iter(json_get(error, "details"));
	enum err e = llm_refuse(a, &r);
	int64_t us = 0;
	for (json_t d; (d = json_next(&it, NULL));) {
		if (e == ERR_MODEL_RATE && is_of_the_day(d))
			e = ERR_MODEL_BILLING;
		if (json_get(d, "retryDelay"))
			us = delay_us(json_str(json_get(d, "retryDelay")));
	}
	if (us > a->retry_after_us)
		a->retry_after_us = us;
	return e;
}

static enum err read_refusal(struct llm_answer *a, int status, struct slice body)
{
	AUTO(auto_json_free) struct json_doc *d = json_parse(body, BODY_MOST, NULL, 0);
	return refuse(a, status, llm_error_of(json_root(d)));
}

/* ---- parts */

static struct llm_part *last_part(struct llm_answer *a, enum llm_part_kind kind)
{
	struct llm_part *p = a->part_count ? &a->parts[a->part_count - 1] : NULL;
	return p && p->kind == kind ? p : NULL;
}

/* A signed stretch of the last text; without a text before it, one of its own that is
 * empty. */
static bool sign_text(struct llm_answer *a, size_t n, struct slice signature)
{
	struct llm_part *p = last_part(a, LLM_TEXT);
	if (!p)
		p = llm_part_new(a, LLM_TEXT, -1);
	if (!p)
		return false;
	if (p->opaque.n)
		p->opaque.n--;
	strbuf_add_char(&p->opaque, p->opaque.n ? ',' : '[');
	struct json_out o = json_out(&p->opaque);
	json_obj(&o);
	json_kv_i64(&o, "from", (int64_t)(p->n - n));
	json_kv_i64(&o, "to", (int64_t)p->n);
	json_kv_str(&o, "thoughtSignature", signature);
	json_obj_end(&o);
	strbuf_add_char(&p->opaque, ']');
	return true;
}

static bool read_text(struct llm_answer *a, json_t part)
{
	struct slice text = json_str(json_get(part, "text"));
	struct slice signature = json_str(json_get(part, "thoughtSignature"));
	return llm_add_text(a, -1, text) &&
	       (!signature.n || sign_text(a, text.n, signature));
}

static bool read_thought(struct llm_answer *a, json_t part)
{
	struct slice signature = json_str(json_get(part, "thoughtSignature"));
	struct llm_part *p = last_part(a, LLM_REASONING);
	if (!p || p->opaque.n) /* what is signed is whole */
		p = llm_part_new(a, LLM_REASONING, -1);
	if (!p)
		return false;
	strbuf_add_slice(&p->thought, json_str(json_get(part, "text")));
	if (signature.n)
		llm_opaque_grow(p, "thoughtSignature", signature);
	return true;
}

static bool read_call(struct llm_answer *a, json_t part)
{
	json_t call = json_get(part, "functionCall"), args = json_get(call, "args");
	struct slice id = json_str(json_get(call, "id"));
	struct slice signature = json_str(json_get(part, "thoughtSignature"));
	struct llm_part *p = llm_part_new(a, LLM_CALL, -1);
	if (!p)
		return false;
	strbuf_add_slice(&p->id, id);
	strbuf_add_slice(&p->name, json_str(json_get(call, "name")));
	if (json_kind(args) > JSON_NULL)
		json_print(&p->arguments, args);
	if (!id.n && !signature.n)
		return true;
	struct json_out o = json_out(&p->opaque);
	json_obj(&o);
	if (id.n)
		json_kv_str(&o, "id", id);
	if (signature.n)
		json_kv_str(&o, "thoughtSignature", signature);
	json_obj_end(&o);
	return true;
}

static enum err read_part(struct llm_answer *a, json_t part)
{
	json_t call = json_get(part, "functionCall");
	bool fits = true;
	if (json_bool(json_get(part, "thought"), false)) {
		fits = read_thought(a, part);
	} else if (json_kind(call) == JSON_OBJECT) {
		if (json_len(json_get(call, "partialArgs"))) {
			snprintf(a->error, sizeof a->error,
				 "the model sends a call's arguments in pieces, which it "
				 "was not asked to");
			return ERR_MODEL_BROKEN;
		}
		fits = !json_str(json_get(call, "name")).n || read_call(a, part);
	} else {
		fits = read_text(a, part);
	}
	return fits ? ERR_OK : llm_too_many(a);
}

/* ---- the end */

static const struct {
	const char *word;
	enum llm_stop stop; /* NONE: the answer is broken */
} reasons[] = {
	{"STOP", LLM_STOP_END},
	{"MAX_TOKENS", LLM_STOP_LENGTH},
	{"SAFETY", LLM_STOP_FILTER},
	{"RECITATION", LLM_STOP_FILTER},
	{"LANGUAGE", LLM_STOP_FILTER},
	{"BLOCKLIST", LLM_STOP_FILTER},
	{"PROHIBITED_CONTENT", LLM_STOP_FILTER},
	{"SPII", LLM_STOP_FILTER},
	{"MODEL_ARMOR", LLM_STOP_FILTER},
	{"IMAGE_SAFETY", LLM_STOP_FILTER},
	{"IMAGE_PROHIBITED_CONTENT", LLM_STOP_FILTER},
	{"IMAGE_RECITATION", LLM_STOP_FILTER},
	{"MALFORMED_FUNCTION_CALL", LLM_STOP_NONE},
	{"UNEXPECTED_TOOL_CALL", LLM_STOP_NONE},
	{"TOO_MANY_TOOL_CALLS", LLM_STOP_NONE},
	{"MISSING_THOUGHT_SIGNATURE", LLM_STOP_NONE},
	{"MALFORMED_RESPONSE", LLM_STOP_NONE},
	{"OTHER", LLM_STOP_NONE},
};

/* The filter's reason is a word. */
static void withhold(struct llm_answer *a, struct slice reason)
{
	a->stop = LLM_STOP_FILTER;
	snprintf(a->error, sizeof a->error,
		 "the model provider's content filter withheld the answer (%.*s)",
		 SLICE_ARG(reason.n <= REASON_MOST ? reason : SLICE("no reason")));
}

static enum err read_end(struct llm_answer *a, json_t candidate)
{
	struct slice word = json_str(json_get(candidate, "finishReason"));
	struct slice message = json_str(json_get(candidate, "finishMessage"));
	enum llm_stop stop = LLM_STOP_END; /* a word to come */
	if (!word.n)
		return ERR_OK;
	for (size_t i = 0; i < ARRAY_LEN(reasons); i++)
		if (slice_is(word, reasons[i].word))
			stop = reasons[i].stop;
	if (!stop) {
		llm_refusal_say(a, message.n ? message : word);
		return ERR_MODEL_BROKEN;
	}
	if (stop == LLM_STOP_FILTER)
		withhold(a, word);
	else
		a->stop = stop == LLM_STOP_END && a->call_count ? LLM_STOP_TOOLS : stop;
	return ERR_OK;
}

/* Each chunk tells all of it; counts that are left out hold on. `out` is what the
 * provider tells apart. */
static void read_usage(struct llm_usage *u, json_t usage)
{
	int64_t said = u->out - u->reasoning;
	llm_count(usage, "promptTokenCount", &u->in);
	llm_count(usage, "cachedContentTokenCount", &u->cached);
	llm_count(usage, "candidatesTokenCount", &said);
	llm_count(usage, "thoughtsTokenCount", &u->reasoning);
	u->out = said + u->reasoning;
}

static enum err read_event(struct llm_answer *a, struct slice event, struct slice data)
{
	AUTO(auto_json_free) struct json_doc *d = llm_event(a, data);
	json_t root = json_root(d), error = llm_error_of(root);
	enum err e = ERR_OK;
	(void)event;
	if (!d)
		return ERR_MODEL_BROKEN;
	if (json_kind(error) > JSON_NULL)
		return refuse(a, 0, error);
	json_t candidate = json_at(json_get(root, "candidates"), 0);
	struct json_iter it =
		json_iter(json_get(json_get(candidate, "content"), "parts"));
	read_usage(&a->usage, json_get(root, "usageMetadata"));
	for (json_t p; !e && (p = json_next(&it, NULL));)
		e = read_part(a, p);
	struct slice blocked =
		json_str(json_get(json_get(root, "promptFeedback"), "blockReason"));
	if (!e && blocked.n)
		withhold(a, blocked);
	return e ? e : read_end(a, candidate);
}

static void write_headers(struct llm_headers *h, const struct llm_target *t)
{
	llm_put_key(h, t, "x-goog-api-key");
}

const struct llm_provider llm_gemini = {
	.name = "gemini",
	.base_url = "https://generativelanguage.googleapis.com",
	.write_path = gemini_write_path,
	.write_headers = write_headers,
	.write_message = gemini_write_message,
	.write_request = gemini_write_request,
	.read_event = read_event,
	.read_refusal = read_refusal,
	.look_path = "/v1beta/models?pageSize=1000",
	.look_list = "models",
};
