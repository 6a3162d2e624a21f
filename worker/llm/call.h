/* SPDX-License-Identifier: Apache-2.0
 * One question to a model: over HTTP, or to a local provider. */
#ifndef TB_LLM_CALL_H
#define TB_LLM_CALL_H

#include "common/op.h"
#include "worker/llm/llm.h"

struct http_client;
struct loop;
struct llm_call;

/* Asks. `a` (initialised) is filled while the answer comes: on_text is called after its
 * text grew. op completes with ERR_OK when the answer is complete, else with a MODEL_* or
 * NETWORK error and a sentence in a->error. The question is not needed after this
 * returns. */
struct llm_call *llm_start(struct loop *l, struct http_client *http,
			   const struct llm_target *t, const struct llm_question *q,
			   struct llm_answer *a, void (*on_text)(void *arg), void *arg,
			   struct op *op);
/* Of the body that was sent; while the call is under way. */
void llm_body_sha256(const struct llm_call *c, uint8_t out[32]);
/* Back-pressure: stops or resumes reading. */
void llm_pause(struct llm_call *c, int paused);

#endif
