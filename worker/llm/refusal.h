/* SPDX-License-Identifier: Apache-2.0
 * What a provider's refusal means: one classifier for all (refusals.tbl). */
#ifndef TB_LLM_REFUSAL_H
#define TB_LLM_REFUSAL_H

#include "common/err.h"
#include "common/json.h"
#include "common/slice.h"

struct llm_answer;

struct llm_refusal {
	int status;                       /* of HTTP; 0: it came inside the stream */
	struct slice code, type, message; /* n 0: not said */
};

/* Puts what the provider says into a->error, as a sentence, and tells the class. */
enum err llm_refuse(struct llm_answer *a, const struct llm_refusal *r);
/* The class alone. */
enum err llm_refusal_class(const struct llm_refusal *r);
/* "the model provider says: ..."; an empty message is said to be one. */
void llm_refusal_say(struct llm_answer *a, struct slice message);
/* The body of a refusal whose root, or the first element of that, has `error`, an object
 * with message, code and type (OpenAI, Anthropic and their kind) or a text; or is that
 * object itself. */
enum err llm_refuse_json(struct llm_answer *a, int status, struct slice body);
/* That object, or text, of such a root; NULL: none. */
json_t llm_error_of(json_t root);
/* What it says. Inside a stream, where there is no status, its code may be one; `status`
 * in it is Google's word for a type. */
struct llm_refusal llm_refusal_of(int status, json_t error);

#endif
