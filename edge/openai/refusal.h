/* SPDX-License-Identifier: Apache-2.0
 * Refusals in the shape that OpenAI's clients read, which is that of all errors here. */
#ifndef TB_OPENAI_REFUSAL_H
#define TB_OPENAI_REFUSAL_H

#include "edge/call.h"
#include "edge/openai/answer.h"

/* code NULL: that of the status. */
void refuse(struct call *c, int status, const char *code, const char *param,
	    const char *message);
/* The run was accepted and came to nothing, or its answer cannot go on. What a client's
 * library would do by itself, ask again, would be another run: it is told not to. */
void refuse_outcome(struct call *c, struct openai_answer *a);

#endif
