/* SPDX-License-Identifier: Apache-2.0
 * Writing questions in the form of Anthropic's messages. */
#ifndef TB_LLM_ANTHROPIC_REQUEST_H
#define TB_LLM_ANTHROPIC_REQUEST_H

#include "worker/llm/llm.h"

/* The beta feature that a request may use (thinking.block_binding). */
#define ANTHROPIC_BETA "thinking-binding-controls-2026-08-01"

/* As struct llm_provider wants them. */
void anthropic_write_message(struct strbuf *out, enum llm_role role, json_t blocks);
void anthropic_write_request(struct strbuf *out, const struct llm_question *q);

#endif
