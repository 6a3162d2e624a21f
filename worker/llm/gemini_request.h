/* SPDX-License-Identifier: Apache-2.0
 * Writing questions in the form of Gemini's generateContent. */
#ifndef TB_LLM_GEMINI_REQUEST_H
#define TB_LLM_GEMINI_REQUEST_H

#include "worker/llm/llm.h"

/* As struct llm_provider wants them. */
void gemini_write_path(struct strbuf *out, const struct llm_question *q);
void gemini_write_message(struct strbuf *out, enum llm_role role, json_t blocks);
void gemini_write_request(struct strbuf *out, const struct llm_question *q);

#endif
