/* SPDX-License-Identifier: Apache-2.0
 * Trimming and clearing by the character. */
#include "worker/context/prune.h"

#include "common/attr.h"
#include "common/json.h"
#include "worker/llm/blocks.h"

static bool begins_character(char c)
{
	return ((unsigned char)c & 0xc0) != 0x80;
}

static size_t count_characters(struct slice s)
{
	size_t n = 0;
	for (size_t i = 0; i < s.n; i++)
		n += begins_character(s.p[i]);
	return n;
}

/* Where the n-th character (from 0) begins; n is not more than there are. */
static size_t offset_of(struct slice s, size_t n)
{
	size_t i = 0;
	for (; i < s.n; i++)
		if (begins_character(s.p[i]) && n-- == 0)
			break;
	return i;
}

bool prune_text(struct strbuf *out, struct slice text)
{
	size_t count = text.n > PRUNE_LONGER_THAN ? count_characters(text) : 0;
	if (count <= PRUNE_LONGER_THAN)
		return false;
	size_t head = offset_of(text, PRUNE_KEEPS);
	size_t tail = offset_of(text, count - PRUNE_KEEPS);
	strbuf_add(out, text.p, head);
	strbuf_printf(out,
		      "\n[... %zu characters of this old tool result left out ...]\n",
		      count - 2 * PRUNE_KEEPS);
	strbuf_add(out, text.p + tail, text.n - tail);
	return true;
}

static void put_text(struct json_out *o, struct slice text, enum prune_form form)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	if (form == PRUNE_RESULT_CLEARED && text.n > sizeof PRUNE_CLEARED - 1)
		text = SLICE(PRUNE_CLEARED);
	else if (form == PRUNE_TRIMMED && prune_text(&b, text))
		text = strbuf_slice(&b);
	json_put_str(o, text);
}

static void put_block(struct json_out *o, json_t block, enum prune_form form)
{
	struct json_iter it = json_iter(block);
	struct slice key;
	if (block_kind(block) != BLOCK_RESULT) {
		json_put_value(o, block);
		return;
	}
	json_obj(o);
	for (json_t v; (v = json_next(&it, &key));) {
		json_key(o, key.p);
		if (slice_is(key, "text"))
			put_text(o, json_str(v), form);
		else
			json_put_value(o, v);
	}
	json_obj_end(o);
}

void prune_content(struct strbuf *out, struct slice content, enum prune_form form)
{
	AUTO(auto_json_free)
	struct json_doc *d = json_parse(content, content.n, NULL, 0);
	struct json_iter it = json_iter(json_get(json_root(d), "blocks"));
	struct json_out o = json_out(out);
	json_obj(&o);
	json_key(&o, "blocks");
	json_arr(&o);
	for (json_t b; (b = json_next(&it, NULL));)
		if (block_kind(b) != BLOCK_IMAGE)
			put_block(&o, b, form);
	json_arr_end(&o);
	json_obj_end(&o);
}
