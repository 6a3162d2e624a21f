/* SPDX-License-Identifier: Apache-2.0
 * Text of others on its way to a terminal: what a model, a tool or a person far away
 * wrote must not steer it. */
#ifndef TB_CLI_PLAIN_H
#define TB_CLI_PLAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "common/slice.h"

/* Writes it without its control characters, those of 8 bits (U+0080 to U+009F) among
 * them, which some terminals obey as well; bytes that are no UTF-8 become '?'. Ends of
 * lines and tabs stay where `lines` is set. Pure but for the writing. */
void plain_put(FILE *out, struct slice text, bool lines);
/* The same of one line of at most `most` bytes, cut between two characters; "..." stands
 * for what is left out. */
void plain_put_short(FILE *out, struct slice text, size_t most);
/* As plain_put_short, into a NUL-terminated text. */
void plain_copy(char *out, size_t size, struct slice text);

#endif
