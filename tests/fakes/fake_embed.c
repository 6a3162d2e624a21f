/* SPDX-License-Identifier: Apache-2.0
 * Embeddings in OpenAI's and Gemini's words. A vector of a text: how many bytes it has,
 * then 1/2, 1/3, ... */
#include "tests/fakes/fake_embed.h"

#include <stdio.h>

#include "common/crypto.h"
#include "common/json.h"
#include "tests/fakes/fake_answer.h"
#include "tests/fakes/fake_scan.h"

#define DIMENSIONS 8
#define DIMENSIONS_MOST 4096

struct wish {
	bool google, base64, swaps, fewer;
	size_t dimensions, count, tokens;
	int status;
};

bool embed_takes(struct slice path)
{
	return path_ends(path, SLICE("/embeddings")) ||
	       path_ends(path, SLICE(":batchEmbedContents"));
}

/* What a text asks for, as with chats. */
static void obey(struct wish *w, struct slice text)
{
	struct slice number = text;
	long long n;
	if (slice_has_prefix(text, SLICE("[floats]")))
		w->base64 = false;
	w->swaps |= slice_has_prefix(text, SLICE("[swap]"));
	w->fewer |= slice_has_prefix(text, SLICE("[fewer]"));
	if (!slice_has_prefix(text, SLICE("[status ")))
		return;
	slice_cut(&number, ' ');
	if (slice_to_i64(slice_cut(&number, ']'), &n))
		w->status = (int)n;
}

static void put_vector(struct json_out *o, const struct wish *w, size_t bytes)
{
	static float v[DIMENSIONS_MOST];
	static char text[DIMENSIONS_MOST * 6];
	for (size_t i = 0; i < w->dimensions; i++)
		v[i] = i ? 1.0f / (float)(i + 1) : (float)bytes;
	if (w->base64) {
		crypto_base64(v, w->dimensions * sizeof *v, text, sizeof text);
		json_put_cstr(o, text);
		return;
	}
	json_arr(o);
	for (size_t i = 0; i < w->dimensions; i++)
		json_put_double(o, v[i]);
	json_arr_end(o);
}

static void put_element(struct json_out *o, const struct wish *w, size_t index,
			size_t bytes)
{
	json_obj(o);
	if (!w->google) {
		json_kv_cstr(o, "object", "embedding");
		json_kv_i64(o, "index", (int64_t)index);
	}
	json_key(o, w->google ? "values" : "embedding");
	put_vector(o, w, bytes);
	json_obj_end(o);
}

static struct slice text_of(const struct wish *w, struct slice raw)
{
	struct slice content, parts, part, text;
	if (!w->google)
		return scan_inside(raw);
	SCAN_OBJECT(raw, {"content", &content});
	SCAN_OBJECT(content, {"parts", &parts});
	struct scan s = scan_list(parts);
	if (!scan_element(&s, &part))
		return SLICE_NONE;
	SCAN_OBJECT(part, {"text", &text});
	return scan_inside(text);
}

static void read_wish(struct wish *w, struct slice list, struct slice format,
		      struct slice dimensions)
{
	struct scan s = scan_list(list);
	struct slice raw;
	long long n;
	w->base64 = scan_is(scan_inside(format), "base64");
	w->dimensions = DIMENSIONS;
	if (slice_to_i64(dimensions, &n) && n > 0 && n <= DIMENSIONS_MOST)
		w->dimensions = (size_t)n;
	for (; scan_element(&s, &raw); w->count++) {
		struct slice text = text_of(w, raw);
		obey(w, text);
		w->tokens += text.n;
	}
}

static void put_list(struct json_out *o, const struct wish *w, struct slice list)
{
	struct scan s = scan_list(list);
	struct slice raw;
	size_t bytes[2] = {0};
	json_key(o, w->google ? "embeddings" : "data");
	json_arr(o);
	for (size_t i = 0; scan_element(&s, &raw) && i + w->fewer < w->count; i++) {
		bytes[i % 2] = text_of(w, raw).n;
		if (!w->swaps)
			put_element(o, w, i, bytes[i % 2]);
		else if (i % 2) { /* each pair the other way round */
			put_element(o, w, i, bytes[1]);
			put_element(o, w, i - 1, bytes[0]);
		}
	}
	json_arr_end(o);
}

void embed_serve(struct slice path, struct slice body, struct reply *r)
{
	struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	struct slice input, requests, format, dimensions;
	struct wish w = {.google = path_ends(path, SLICE(":batchEmbedContents"))};
	SCAN_OBJECT(body, {"input", &input}, {"requests", &requests},
		    {"encoding_format", &format}, {"dimensions", &dimensions});
	struct slice list = w.google ? requests : input;
	read_wish(&w, list, format, dimensions);
	if (w.status || !w.count) {
		answer_refuse(r, w.google ? &fake_gemini : &fake_openai,
			      (struct refusal){.why = REFUSE_STATUS,
					       .status = w.status ? w.status : 400,
					       .message = "no embeddings of that"});
		return;
	}
	json_obj(&o);
	if (!w.google)
		json_kv_cstr(&o, "object", "list");
	put_list(&o, &w, list);
	if (!w.google) {
		json_key(&o, "usage");
		json_obj(&o);
		json_kv_i64(&o, "prompt_tokens", (int64_t)w.tokens);
		json_kv_i64(&o, "total_tokens", (int64_t)w.tokens);
		json_obj_end(&o);
	}
	json_obj_end(&o);
	reply_json(r, 200, strbuf_slice(&b));
	strbuf_fini(&b);
}
