/* SPDX-License-Identifier: Apache-2.0
 * A transcript as two sides that take turns, for the providers that want it so: the
 * answers, and all the rest (user, summary, tools). */
#ifndef TB_LLM_SIDES_H
#define TB_LLM_SIDES_H

#include "worker/llm/llm.h"

/* Messages from..end of one side, the first of which says something. Those of the other
 * side in between say nothing: they stand in nobody's way. */
struct llm_side {
	size_t from, end;
	bool answers;
};

/* The first or, from the one before it, the next; begin with a zeroed one. False: there
 * is none. */
bool llm_next_side(const struct llm_provider *p, const struct llm_question *q,
		   struct llm_side *side);
/* The form of message i when it is what tools returned (results) or when it is not; n 0:
 * it is the other, or says nothing. */
struct slice llm_side_wire(const struct llm_provider *p, const struct llm_question *q,
			   size_t i, bool results);

#endif
