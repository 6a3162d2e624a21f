/* SPDX-License-Identifier: Apache-2.0
 * Writing questions in the form of OpenAI's chat completions. */
#ifndef TB_LLM_OPENAI_REQUEST_H
#define TB_LLM_OPENAI_REQUEST_H

#include "worker/llm/llm.h"

/* As struct llm_provider wants them. */
void openai_write_message(struct strbuf *out, enum llm_role role, json_t blocks);
void openai_write_request(struct strbuf *out, const struct llm_question *q);
/* For servers that speak OpenAI's language: they know `max_tokens`, which OpenAI's own
 * newer models refuse. */
void openai_write_compatible(struct strbuf *out, const struct llm_question *q);

#endif
