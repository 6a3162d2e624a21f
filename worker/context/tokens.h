/* SPDX-License-Identifier: Apache-2.0
 * How many tokens a text has, estimated from its characters: no tokenizer, rather too
 * many than too few. What a model reports of its questions calibrates the estimate. Not
 * for money: worker/budget.c takes an upper bound. */
#ifndef TB_CONTEXT_TOKENS_H
#define TB_CONTEXT_TOKENS_H

#include <stdint.h>

#include "common/json.h"
#include "common/slice.h"

/* What an image costs, whatever its size: the most of the large providers. */
#define TOKENS_IMAGE 1600
/* Of a message beside its blocks, and of a call or result beside its text. */
#define TOKENS_MESSAGE 4
#define TOKENS_CALL 10

/* Of a text in UTF-8. */
int64_t tokens_of_text(struct slice text);
/* Of a block of a stored message, of whatever kind. */
int64_t tokens_of_block(json_t block);

/* What a model's reports make of an estimate: reported / estimated, in thousandths. */
#define TOKENS_RATIO_NONE 1000
#define TOKENS_RATIO_LEAST 500
#define TOKENS_RATIO_MOST 3000

int64_t tokens_scaled(int64_t estimate, int ratio);
/* Back: how much may be estimated so that it is `tokens` scaled. */
int64_t tokens_unscaled(int64_t tokens, int ratio);
/* The ratio after one more report. A question too small to tell changes nothing; what
 * makes the estimate larger counts at once, what makes it smaller by a quarter. */
int tokens_learn(int ratio, int64_t estimate, int64_t reported);

/* What a worker learned of its models; zeroed at first. One that few ask makes room for
 * another. */
#define TOKENS_MODELS 256
struct tokens_model {
	uint64_t model; /* hash of its name, and of who asks; 0: free */
	int ratio;
	int64_t refused; /* the least number of tokens it refused as too many; 0: none */
};
struct tokens_models {
	struct tokens_model of[TOKENS_MODELS];
};
/* Its place, made new when it has none. `hash` is not 0. */
struct tokens_model *tokens_model(struct tokens_models *t, uint64_t hash);

#endif
