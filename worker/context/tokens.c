/* SPDX-License-Identifier: Apache-2.0
 * Tokens by the class of a character. The weights are what common tokenizers need at
 * most for running text of that class, from their published vocabularies: about four
 * letters a token in English, one to two characters in other alphabets, one or more
 * tokens a Chinese character, two or three an emoji. */
#include "worker/context/tokens.h"

#include "common/attr.h"
#include "worker/llm/blocks.h"

/* In hundredths of a token a character. */
enum { LETTER = 27, SPACE = 6, OTHER = 50, ALPHABET = 55, IDEOGRAPH = 120, RARE = 250 };

/* A question smaller than this is mostly what the provider adds to it. */
#define LEARN_LEAST 400

/* By a character's first byte: what continues one weighs nothing. */
static const uint8_t weight[256] = {
	[0 ... 31] = OTHER,          [' '] = SPACE,
	['!' ... '@'] = OTHER,       ['A' ... 'Z'] = LETTER,
	['[' ... '`'] = OTHER,       ['a' ... 'z'] = LETTER,
	['{' ... 127] = OTHER,       [0xc0 ... 0xdf] = ALPHABET,
	[0xe0 ... 0xef] = IDEOGRAPH, [0xf0 ... 0xff] = RARE};

int64_t tokens_of_text(struct slice text)
{
	int64_t sum = 0;
	for (size_t i = 0; i < text.n; i++)
		sum += weight[(unsigned char)text.p[i]];
	return (sum + 99) / 100;
}

/* JSON without a parse of its own: what stands between brackets is words and signs. */
static int64_t tokens_of_json(json_t v)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	if (!v)
		return 0;
	json_print(&b, v);
	return tokens_of_text(strbuf_slice(&b));
}

int64_t tokens_of_block(json_t block)
{
	/* What a provider wants back is counted by it as less than its encoded form. */
	int64_t opaque = tokens_of_json(json_get(block, "opaque"));
	switch (block_kind(block)) {
	case BLOCK_TEXT:
		return tokens_of_text(json_str(json_get(block, "text"))) + opaque;
	case BLOCK_IMAGE:
		return TOKENS_IMAGE;
	case BLOCK_CALL:
		return TOKENS_CALL + tokens_of_text(json_str(json_get(block, "name"))) +
		       tokens_of_json(json_get(block, "arguments")) + opaque;
	case BLOCK_RESULT:
		return TOKENS_CALL + tokens_of_text(json_str(json_get(block, "text")));
	case BLOCK_REASONING:
		return tokens_of_text(json_str(json_get(block, "text"))) + opaque;
	default:
		return 0;
	}
}

int64_t tokens_scaled(int64_t estimate, int ratio)
{
	return (estimate * ratio + 999) / 1000;
}

int64_t tokens_unscaled(int64_t tokens, int ratio)
{
	return tokens * 1000 / ratio;
}

static int clamped(int64_t ratio)
{
	return ratio < TOKENS_RATIO_LEAST  ? TOKENS_RATIO_LEAST
	       : ratio > TOKENS_RATIO_MOST ? TOKENS_RATIO_MOST
					   : (int)ratio;
}

int tokens_learn(int ratio, int64_t estimate, int64_t reported)
{
	if (estimate < LEARN_LEAST || reported <= 0)
		return ratio;
	int64_t limit = INT64_MAX / 2000;
	int seen = clamped(reported > limit ? TOKENS_RATIO_MOST
					    : reported * 1000 / estimate);
	return seen >= ratio ? seen : ratio - (ratio - seen) / 4;
}

struct tokens_model *tokens_model(struct tokens_models *t, uint64_t hash)
{
	struct tokens_model *m = &t->of[hash % TOKENS_MODELS];
	if (m->model != hash)
		*m = (struct tokens_model){.model = hash, .ratio = TOKENS_RATIO_NONE};
	return m;
}
