/* SPDX-License-Identifier: Apache-2.0
 * Blocks by their type. */
#include "worker/llm/blocks.h"

#include "common/attr.h"

#define WORD_MOST 64

static const struct {
	const char *type;
	enum block_kind kind;
} kinds[] = {
	{"text", BLOCK_TEXT},           {"image", BLOCK_IMAGE},
	{"tool_call", BLOCK_CALL},      {"tool_result", BLOCK_RESULT},
	{"reasoning", BLOCK_REASONING},
};

enum block_kind block_kind(json_t block)
{
	struct slice type = json_str(json_get(block, "type"));
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (slice_is(type, kinds[i].type)) {
			bool is_bare = kinds[i].kind == BLOCK_IMAGE &&
				       !json_str(json_get(block, "data")).n &&
				       !json_str(json_get(block, "url")).n;
			return is_bare ? BLOCK_OTHER : kinds[i].kind;
		}
	return BLOCK_OTHER;
}

json_t block_opaque(json_t block, const char *provider)
{
	return slice_is(json_str(json_get(block, "provider")), provider)
		       ? json_get(block, "opaque")
		       : NULL;
}

bool blocks_have(json_t blocks, enum block_kind kind)
{
	struct json_iter it = json_iter(blocks);
	for (json_t b; (b = json_next(&it, NULL));)
		if (block_kind(b) == kind)
			return true;
	return false;
}

json_t blocks_result_image(json_t blocks, size_t i)
{
	json_t b = i < json_len(blocks) ? json_at(blocks, i) : NULL;
	return block_kind(b) == BLOCK_IMAGE && json_str(json_get(b, "data")).n ? b : NULL;
}

struct slice blocks_cut_images(struct slice wire, struct slice mark, struct slice *images)
{
	ptrdiff_t at = slice_find(wire, mark);
	*images = SLICE_NONE;
	if (at < 0)
		return wire;
	*images = slice_of(wire.p + at, wire.n - (size_t)at);
	return slice_of(wire.p, at ? (size_t)at - 1 : 0); /* without the comma */
}

void blocks_add_text(struct strbuf *out, json_t blocks)
{
	struct json_iter it = json_iter(blocks);
	size_t from = out->n;
	for (json_t b; (b = json_next(&it, NULL));) {
		struct slice text = json_str(json_get(b, "text"));
		if (block_kind(b) != BLOCK_TEXT || !text.n)
			continue;
		if (out->n > from)
			strbuf_add_char(out, '\n');
		strbuf_add_slice(out, text);
	}
}

bool block_has_text(json_t block)
{
	return slice_trim(json_str(json_get(block, "text"))).n;
}

bool blocks_go_on(json_t blocks, size_t i)
{
	while (++i < json_len(blocks)) {
		json_t b = json_at(blocks, i);
		enum block_kind kind = block_kind(b);
		if (kind == BLOCK_CALL || (kind == BLOCK_TEXT && block_has_text(b)))
			return true;
	}
	return false;
}

void block_image_url(struct strbuf *out, json_t block)
{
	json_t data = json_get(block, "data");
	if (data)
		strbuf_printf(out, "data:%s;base64,",
			      json_cstr(json_get(block, "mediaType"), "image/png"));
	strbuf_add_slice(out, json_str(data ? data : json_get(block, "url")));
}

void block_add_arguments(struct strbuf *out, json_t block)
{
	json_t arguments = json_get(block, "arguments");
	if (json_kind(arguments) == JSON_OBJECT)
		json_print(out, arguments);
	else
		strbuf_add_str(out, "{}");
}

void block_put_word(struct json_out *o, const char *key, struct slice word)
{
	char fit[WORD_MOST];
	size_t n = word.n < sizeof fit ? word.n : sizeof fit;
	for (size_t i = 0; i < n; i++) {
		char c = word.p[i];
		bool is_fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			       (c >= '0' && c <= '9') || c == '-';
		fit[i] = is_fine ? c : '_';
	}
	json_kv_str(o, key, n ? slice_of(fit, n) : SLICE("_"));
}
