/* SPDX-License-Identifier: Apache-2.0
 * The window of a model, and how its tokens are shared out. */
#ifndef TB_CONTEXT_WINDOW_H
#define TB_CONTEXT_WINDOW_H

#include <stdint.h>

#include "common/slice.h"

#define WINDOW_DEFAULT 128000
#define WINDOW_LEAST 2000
#define WINDOW_MOST 10000000

struct window {
	int64_t size;
	int64_t reserve; /* for the answer: min(20,000, a quarter) */
	int64_t compact; /* used up to here: compaction is due */
	int64_t flush;   /* and here, the saving to memory before it */
	int64_t keep;    /* of the newest messages, what a compaction leaves */
};

/* All of it, from the window's size in tokens. */
struct window window_of(int64_t size);
/* The size: what the agent says (0: nothing), else what is known of the model (without
 * its provider's prefix; a prefix of its maker, "maker/name", is looked past), else
 * WINDOW_DEFAULT. */
int64_t window_size(struct slice model, int64_t configured);

#endif
