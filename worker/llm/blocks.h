/* SPDX-License-Identifier: Apache-2.0
 * The blocks of stored messages, as every provider reads them (docs/transcript.md). */
#ifndef TB_LLM_BLOCKS_H
#define TB_LLM_BLOCKS_H

#include "common/json.h"

struct llm_provider;

enum block_kind {
	BLOCK_OTHER, /* nothing that can be shown to a model */
	BLOCK_TEXT,
	BLOCK_IMAGE, /* has its data in base64, or a URL */
	BLOCK_CALL,
	BLOCK_RESULT,
	BLOCK_REASONING
};

enum block_kind block_kind(json_t block);
/* What that provider wants back with the block; NULL: nothing, or it is another's. */
json_t block_opaque(json_t block, const char *provider);
/* Whether any block is of that kind. */
bool blocks_have(json_t blocks, enum block_kind kind);
/* The image that a tool returned with its result: the i-th block behind a result, or the
 * one behind such an image; NULL: there is none. With its data: nobody fetches anything
 * for a tool. */
json_t blocks_result_image(json_t blocks, size_t i);
/* A form of what tools returned: the results, and behind them, from `mark` on, their
 * images. Gives the results, and *images (n 0: there are none). Inside of texts the
 * quotes of a mark would be escaped. */
struct slice blocks_cut_images(struct slice wire, struct slice mark,
			       struct slice *images);
/* The texts of all text blocks that have any, a line break between two. */
void blocks_add_text(struct strbuf *out, json_t blocks);
/* The block's text has something to be seen. */
bool block_has_text(json_t block);
/* Whether behind the i-th block the model said or called something. A thought belongs to
 * what it led to: one that stands alone (the answer was cut) is refused. */
bool blocks_go_on(json_t blocks, size_t i);
/* The address of an image: its URL, or its data as one. */
void block_image_url(struct strbuf *out, json_t block);
/* A call's arguments as JSON: an object, whatever is stored. */
void block_add_arguments(struct strbuf *out, json_t block);
/* A call's id, or the name of its tool, as each provider takes it back: letters, digits,
 * '_' and '-', at most 64. A model may have made up any other, and some provider did; a
 * transcript with it would be refused for ever. The same one becomes the same. */
void block_put_word(struct json_out *o, const char *key, struct slice word);

#endif
