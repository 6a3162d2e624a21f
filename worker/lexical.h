/* SPDX-License-Identifier: Apache-2.0
 * A text as a vector without any model: its words, pairs of words and pieces of words,
 * each hashed to one of 512 places with a sign, the sum made one unit long. Texts that
 * share words are near each other; what they mean is not known to it. Pure, the same on
 * every machine. */
#ifndef TB_LEXICAL_H
#define TB_LEXICAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/slice.h"

#define LEXICAL_DIMENSIONS 512

struct lexical {
	float v[LEXICAL_DIMENSIONS];
	size_t at;       /* bytes of the text that were read */
	uint64_t before; /* the word before; 0: none */
};

/* Begin with a zeroed one. */
/* Reads about so many more bytes of the text. True: it was the last of it, and v is the
 * vector, of length 1. */
bool lexical_read(struct lexical *l, struct slice text, size_t bytes);

#endif
