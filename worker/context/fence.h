/* SPDX-License-Identifier: Apache-2.0
 * The fence around words from outside. What programs print, files hold and memories keep
 * may be somebody's words to the model. It is told where they begin and end, by a number
 * that nobody could know who wrote them. */
#ifndef TB_CONTEXT_FENCE_H
#define TB_CONTEXT_FENCE_H

#include <stdint.h>

#include "common/slice.h"
#include "common/strbuf.h"

/* What a fenced text begins with. */
#define TOOL_FENCE "[untrusted content "

/* A number that nobody knew. */
uint64_t fence_mark(void);
/* Appends the text between two lines with the mark; the first one ends with the note,
 * which may be "". Stored texts keep theirs, and what is written anew for each question
 * has one that stays as long as the text does: providers' caches hold. */
void fence_text(struct strbuf *out, uint64_t mark, struct slice text, const char *note);

#endif
