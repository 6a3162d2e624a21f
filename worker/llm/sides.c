/* SPDX-License-Identifier: Apache-2.0
 * Whose turn it is. */
#include "worker/llm/sides.h"

static bool is_answer(const struct llm_question *q, size_t i)
{
	return q->messages[i]->role == LLM_ASSISTANT;
}

static bool is_empty(const struct llm_provider *p, const struct llm_question *q, size_t i)
{
	return !llm_wire(p, q->messages[i]).n;
}

bool llm_next_side(const struct llm_provider *p, const struct llm_question *q,
		   struct llm_side *side)
{
	size_t i = side->end;
	while (i < q->message_count && is_empty(p, q, i))
		i++;
	if (i == q->message_count)
		return false;
	*side = (struct llm_side){.from = i, .end = i + 1, .answers = is_answer(q, i)};
	while (side->end < q->message_count &&
	       (is_answer(q, side->end) == side->answers || is_empty(p, q, side->end)))
		side->end++;
	return true;
}

struct slice llm_side_wire(const struct llm_provider *p, const struct llm_question *q,
			   size_t i, bool results)
{
	struct llm_message *m = q->messages[i];
	return (m->role == LLM_TOOL) == results ? llm_wire(p, m) : SLICE_NONE;
}
