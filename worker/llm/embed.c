/* SPDX-License-Identifier: Apache-2.0
 * OpenAI's /embeddings, which its kind has too, and Gemini's batchEmbedContents. */
#include "worker/llm/embed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/attr.h"
#include "common/crypto.h"
#include "common/http/client.h"
#include "common/loop.h"
#include "worker/llm/request.h"

#define BODY_MOST (48u << 20)
#define NUMBERS_MOST 16384u

static bool is_gemini(const struct llm_provider *p)
{
	return p == &llm_gemini;
}

bool llm_embeds(const struct llm_provider *p)
{
	return p->base_url && p != &llm_anthropic;
}

/* What is read at once keeps the loop from all else: numbers are parsed, base64 is not.
 * Gemini takes a hundred. */
size_t llm_embed_batch(const struct llm_provider *p, bool base64)
{
	if (is_gemini(p))
		return 96;
	return base64 && (p == &llm_openai || p == &llm_responses) ? 256 : 96;
}

/* ---- the request */

static void write_openai(struct json_out *o, const struct llm_embed_ask *ask)
{
	json_obj(o);
	json_kv_str(o, "model", ask->model);
	json_kv_cstr(o, "encoding_format", ask->base64 ? "base64" : "float");
	if (ask->dimensions)
		json_kv_i64(o, "dimensions", ask->dimensions);
	if (ask->user.n)
		json_kv_str(o, "user", ask->user);
	json_key(o, "input");
	json_arr(o);
	for (size_t i = ask->from; i < ask->end; i++)
		json_put_str(o, json_str(json_at(ask->texts, i)));
	json_arr_end(o);
	json_obj_end(o);
}

static void put_gemini_model(struct strbuf *out, struct slice model)
{
	if (model.n && !memchr(model.p, '/', model.n))
		strbuf_add_str(out, "models/");
	strbuf_add_slice(out, model);
}

static void write_gemini(struct json_out *o, const struct llm_embed_ask *ask)
{
	AUTO(strbuf_fini) struct strbuf model = STRBUF_INIT;
	put_gemini_model(&model, ask->model);
	json_obj(o);
	json_key(o, "requests");
	json_arr(o);
	for (size_t i = ask->from; i < ask->end; i++) {
		json_obj(o);
		json_kv_str(o, "model", strbuf_slice(&model));
		json_key(o, "content");
		json_obj(o);
		json_key(o, "parts");
		json_arr(o);
		json_obj(o);
		json_kv_str(o, "text", json_str(json_at(ask->texts, i)));
		json_obj_end(o);
		json_arr_end(o);
		json_obj_end(o);
		if (ask->dimensions)
			json_kv_i64(o, "outputDimensionality", ask->dimensions);
		json_obj_end(o);
	}
	json_arr_end(o);
	json_obj_end(o);
}

void llm_embed_write(struct strbuf *out, const struct llm_provider *p,
		     const struct llm_embed_ask *ask)
{
	struct json_out o = json_out(out);
	if (is_gemini(p))
		write_gemini(&o, ask);
	else
		write_openai(&o, ask);
}

static void put_url(struct strbuf *out, const struct llm_target *t,
		    const struct llm_embed_ask *ask)
{
	struct llm_question q = {.model = ask->model};
	strbuf_add_slice(out, llm_base_url(t));
	if (!is_gemini(t->provider)) {
		strbuf_add_str(out, "/embeddings");
		return;
	}
	/* the path of a question, whose last part is another */
	t->provider->write_path(out, &q);
	while (out->n && out->p[out->n - 1] != ':')
		out->n--;
	strbuf_add_str(out, "batchEmbedContents");
}

/* ---- the answer */

static enum err broken(struct llm_embed *k, const char *what)
{
	snprintf(k->answer->error, LLM_ERROR_BYTES,
		 "the model provider's answer is no list of embeddings: %s", what);
	return ERR_MODEL_BROKEN;
}

enum err llm_embed_read(struct llm_embed *k)
{
	k->doc = json_parse(strbuf_slice(&k->body), BODY_MOST, NULL, 0);
	json_t root = json_root(k->doc), usage = json_get(root, "usage");
	k->list = json_get(root, is_gemini(k->provider) ? "embeddings" : "data");
	k->raw = 0;
	if (!k->doc)
		return broken(k, "it is no JSON");
	if (json_kind(k->list) != JSON_ARRAY || json_len(k->list) != k->expected)
		return broken(k, "there are more or less than there were texts");
	json_i64(json_get(usage, "prompt_tokens"), &k->tokens);
	if (k->tokens < 0)
		k->tokens = 0;
	return ERR_OK;
}

static json_t vector_of(const struct llm_embed *k, json_t element)
{
	return json_get(element, is_gemini(k->provider) ? "values" : "embedding");
}

/* The element with that index: servers need not keep the order. */
static json_t element_at(const struct llm_embed *k, size_t i)
{
	int64_t index;
	json_t e = json_at(k->list, i);
	if (!json_i64(json_get(e, "index"), &index) || index == (int64_t)i)
		return e;
	for (size_t n = 0; n < json_len(k->list); n++)
		if (json_i64(json_get(json_at(k->list, n), "index"), &index) &&
		    index == (int64_t)i)
			return json_at(k->list, n);
	return NULL;
}

/* The text of the i-th list of numbers as it stands in the body: no number is printed
 * anew. Only where elements are in their order; n 0: it is not found. */
static struct slice raw_list(struct llm_embed *k, size_t i)
{
	struct slice name = is_gemini(k->provider) ? SLICE("\"values\"")
						   : SLICE("\"embedding\""),
		     rest = slice_of(k->body.p + k->raw, k->body.n - k->raw);
	if (element_at(k, i) != json_at(k->list, i))
		return SLICE_NONE;
	for (;;) {
		ptrdiff_t at = slice_find(rest, name);
		if (at < 0)
			return SLICE_NONE;
		rest = slice_of(rest.p + at + name.n, rest.n - (size_t)at - name.n);
		struct slice list = slice_trim(rest);
		if (!list.n || *list.p != ':') /* a value of that text */
			continue;
		list = slice_trim(slice_of(list.p + 1, list.n - 1));
		const char *end =
			list.n && *list.p == '[' ? memchr(list.p, ']', list.n) : NULL;
		if (!end)
			return SLICE_NONE;
		k->raw = (size_t)(end + 1 - k->body.p);
		return slice_of(list.p, (size_t)(end + 1 - list.p));
	}
}

static bool is_vector(json_t v)
{
	size_t n = json_len(v);
	if (json_kind(v) != JSON_ARRAY || !n || n > NUMBERS_MOST)
		return false;
	struct json_iter it = json_iter(v);
	for (json_t e; (e = json_next(&it, NULL));)
		if (json_kind(e) != JSON_NUMBER)
			return false;
	return true;
}

static void put_base64(struct strbuf *out, json_t v)
{
	size_t n = json_len(v), i = 0, size = 4 * ((4 * n + 2) / 3) + 8;
	float *numbers = xcalloc(n, sizeof *numbers);
	char *text = xmalloc(size);
	struct json_iter it = json_iter(v);
	for (json_t e; (e = json_next(&it, NULL)); i++)
		numbers[i] = (float)json_double(e, 0);
	crypto_base64(numbers, n * sizeof *numbers, text, size);
	strbuf_add_char(out, '"');
	strbuf_add_str(out, text);
	strbuf_add_char(out, '"');
	free(text);
	free(numbers);
}

static bool is_base64(struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		bool fits = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
			    (c >= '0' && c <= '9') || c == '+' || c == '/' || c == '=';
		if (!fits)
			return false;
	}
	return s.n && s.n % 4 == 0;
}

/* Of as many numbers, and of nothing else. */
static bool are_numbers(struct slice s, size_t count)
{
	size_t commas = 0;
	for (size_t i = 1; i + 1 < s.n; i++) {
		char c = s.p[i];
		commas += c == ',';
		if (!(c >= '0' && c <= '9') && !strchr("+-.eE, \t\r\n", c))
			return false;
	}
	return commas + 1 == count;
}

bool llm_embed_next(struct llm_embed *k, size_t i, bool base64, struct strbuf *out)
{
	json_t v = vector_of(k, element_at(k, i));
	struct slice text = json_str(v);
	if (base64 && text.p && is_base64(text)) {
		strbuf_add_char(out, '"');
		strbuf_add_slice(out, text);
		strbuf_add_char(out, '"');
		return true;
	}
	if (!is_vector(v)) {
		broken(k, "what it has for a text is no vector of that form");
		return false;
	}
	struct slice raw = base64 ? SLICE_NONE : raw_list(k, i);
	if (base64)
		put_base64(out, v);
	else if (raw.n && are_numbers(raw, json_len(v)))
		strbuf_add_slice(out, raw);
	else
		json_print(out, v);
	return true;
}

/* ---- the way */

static void on_head(void *arg, int status)
{
	struct llm_embed *k = arg;
	k->answer->status = status;
}

static void on_header(void *arg, struct slice name, struct slice value)
{
	struct llm_embed *k = arg;
	long long s;
	if (slice_is(name, "retry-after") && slice_to_i64(value, &s) && s >= 0)
		k->answer->retry_after_us = (s < 86400 ? s : 86400) * 1000000;
}

static bool on_body(void *arg, struct slice piece)
{
	struct llm_embed *k = arg;
	if (k->body.n + piece.n > BODY_MOST)
		return false;
	strbuf_add_slice(&k->body, piece);
	return true;
}

static enum err verdict(struct llm_embed *k, enum err e)
{
	struct llm_answer *a = k->answer;
	if (e == ERR_OK && a->status >= 200 && a->status <= 299)
		return llm_embed_read(k);
	llm_hide(k->body.p, &k->body.n, k->api_key);
	if (e == ERR_OK)
		return k->provider->read_refusal(a, a->status, strbuf_slice(&k->body));
	snprintf(a->error, sizeof a->error, "the model provider cannot be reached: %s",
		 http_error(k->http));
	return e == ERR_TIMEOUT ? ERR_MODEL_TIMEOUT : e;
}

static void on_done(struct op *op, enum err e, void *arg)
{
	struct llm_embed *k = arg;
	(void)op;
	e = verdict(k, e);
	size_t n = strlen(k->answer->error);
	llm_hide(k->answer->error, &n, k->api_key);
	k->answer->error[n] = 0;
	op_finish(k->op, e);
}

static void cancel(struct op *op, enum err why, void *provider)
{
	struct llm_embed *k = provider;
	(void)op;
	op_cancel(&k->wire_op, why);
}

void llm_embed_fini(struct llm_embed *k)
{
	json_free(k->doc);
	strbuf_fini(&k->body);
	strbuf_fini(&k->request);
	k->doc = NULL;
	k->list = NULL;
}

void llm_embed_start(struct llm_embed *k, struct loop *l, struct http_client *http,
		     const struct llm_target *t, const struct llm_embed_ask *ask,
		     struct llm_answer *a, struct op *op)
{
	static const struct http_events events = {
		.on_head = on_head, .on_header = on_header, .on_body = on_body};
	AUTO(strbuf_fini) struct strbuf url = STRBUF_INIT;
	struct llm_lines headers;
	llm_embed_fini(k);
	*k = (struct llm_embed){.answer = a,
				.provider = t->provider,
				.api_key = t->api_key,
				.expected = ask->end - ask->from,
				.op = op};
	put_url(&url, t, ask);
	llm_embed_write(&k->request, t->provider, ask);
	llm_lines_fill(&headers, t, true);
	struct http_request r = {.method = "POST",
				 .url = url.p,
				 .headers = (const char *const *)headers.line,
				 .body = strbuf_slice(&k->request),
				 .first_byte_us = llm_silence_us(t),
				 .guarded = t->guarded};
	op_init(&k->wire_op, l, on_done, k);
	k->http = http_start(http, &r, &events, k, &k->wire_op);
	op_start(op, cancel, k, 0);
	llm_lines_wipe(&headers);
}
