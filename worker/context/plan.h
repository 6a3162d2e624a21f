/* SPDX-License-Identifier: Apache-2.0
 * Which messages of a transcript a model is shown, and in which form. Pure: a function of
 * the messages alone, from the start of the context on, so that two workers, and one
 * worker twice, ask the same. Walks its items once or twice; nothing is copied.
 *
 * Old tool results: those behind the first message of a user (a summary is one) and
 * before the last three answers are trimmed. Each time that the messages so far reach
 * half of the window, all results that are old then are cleared, and stay so: the
 * question's beginning changes at those moments only, not with every answer. */
#ifndef TB_CONTEXT_PLAN_H
#define TB_CONTEXT_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/slice.h"

/* Answers that are fresh, with the results of their calls. */
#define PLAN_FRESH_ANSWERS 3

enum plan_role { PLAN_USER, PLAN_ASSISTANT, PLAN_TOOL, PLAN_SUMMARY, PLAN_MARK };

/* What the plan has to know of a message. Tokens are estimates, unscaled. */
struct plan_item {
	enum plan_role role; /* PLAN_MARK: nothing for models (a reset) */
	int64_t seq;
	int64_t whole, trimmed, cleared; /* tokens of its forms; at least 1 each */
	/* Of its calls or results: how many, and the sum of their ids' hashes. */
	unsigned ids;
	uint64_t id_sum;
	/* Of an answer: what the provider said that it and its question had (0: nothing),
	 * and the hash of the model's name. */
	int64_t used;
	uint64_t model;
};

uint64_t plan_hash(struct slice text);
/* Of a stored message's content; role and seq are set. */
void plan_read(struct plan_item *item, struct slice content);

enum plan_form { PLAN_OUT, PLAN_WHOLE, PLAN_TRIMMED, PLAN_CLEARED };

struct plan_limits {
	int64_t summary_seq; /* the summary in force; 0: none. It comes first */
	int64_t window;      /* unscaled tokens: when results are cleared */
	/* Likewise; 0: no limit. Beyond it fresh results are trimmed too, then the oldest
	 * messages left out. */
	int64_t most;
};

struct plan_sum {
	size_t summary; /* its position; SIZE_MAX: none */
	int64_t tokens; /* of what is shown, the summary's included */
	int64_t summary_tokens;
	int64_t pruned;  /* tokens that trimming and clearing took away */
	size_t left_out; /* messages, for the sake of `most` */
};

/* form[i] of each item. A call is never shown without its result, nor a result without
 * its call; what is shown begins with a user's message or a summary, unless there is
 * none. What a limit leaves in any case is the newest answer with all behind it, or else
 * the newest message. */
void plan_make(const struct plan_item *const *items, size_t count,
	       const struct plan_limits *limits, uint8_t *form, struct plan_sum *sum);

/* Where the kept part begins when all before it is replaced by a summary: the newest
 * messages that are `tokens` together, from a place on that splits no call from its
 * result, and at least the newest answer with all behind it. 0: there is nothing worth to
 * be replaced. keep_messages: as many of the newest instead; below 0: by tokens. */
size_t plan_cut(const struct plan_item *const *items, size_t count, int64_t tokens,
		int keep_messages);

#endif
