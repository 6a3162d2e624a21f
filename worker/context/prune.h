/* SPDX-License-Identifier: Apache-2.0
 * Shorter forms of old tool results. Pure: the same stored message has the same forms,
 * wherever and whenever they are made, so that a provider's cache of the question's
 * beginning holds. Which form a message has in a question: plan.h. */
#ifndef TB_CONTEXT_PRUNE_H
#define TB_CONTEXT_PRUNE_H

#include <stdbool.h>

#include "common/slice.h"
#include "common/strbuf.h"

/* In characters: a result longer than this keeps its beginning and its end. */
#define PRUNE_LONGER_THAN 4000
#define PRUNE_KEEPS 1500
#define PRUNE_CLEARED "[Old tool result content cleared]"

/* The text as it is trimmed, appended to out; false and nothing appended when it is not
 * longer than PRUNE_LONGER_THAN. */
bool prune_text(struct strbuf *out, struct slice text);

enum prune_form { PRUNE_TRIMMED, PRUNE_RESULT_CLEARED };
/* The stored content of a tool's message with its results in that form and without
 * images, appended to out; a result that is no longer than the form stays as it is. */
void prune_content(struct strbuf *out, struct slice content, enum prune_form form);

#endif
