/* SPDX-License-Identifier: Apache-2.0
 * A look at a provider that asks no model: what it shows to who has a key, mostly the
 * list of its models. */
#ifndef TB_LLM_LOOK_H
#define TB_LLM_LOOK_H

#include "common/op.h"
#include "worker/llm/llm.h"

struct http_client;
struct loop;

struct llm_look {
	int64_t models; /* how many the list has; -1: it is no list */
	/* the call's own */
	struct loop *loop;
	const struct llm_provider *provider;
	struct slice api_key; /* borrowed */
	struct llm_answer *answer;
	struct op *op, wire_op;
	struct http_call *http;
	struct strbuf body;
};

/* Of a target whose provider has a look_path. op completes with ERR_OK when the provider
 * took the key, else as a question does, with a sentence in a->error; a->status is what
 * HTTP said. `look` has to live until then. */
void llm_look_start(struct llm_look *look, struct loop *l, struct http_client *http,
		    const struct llm_target *t, struct llm_answer *a, struct op *op);

#endif
