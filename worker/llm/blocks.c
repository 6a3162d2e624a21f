/* SPDX-License-Identifier: Apache-2.0
 * Blocks by their type. */
#include "worker/llm/blocks.h"

#include "common/attr.h"

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

void blocks_add_text(struct strbuf *out, json_t blocks)
{
	struct json_iter it = json_iter(blocks);
	size_t from = out->n;
	for (json_t b; (b = json_next(&it, NULL));) {
		if (block_kind(b) != BLOCK_TEXT)
			continue;
		if (out->n > from)
			strbuf_add_char(out, '\n');
		strbuf_add_slice(out, json_str(json_get(b, "text")));
	}
}
