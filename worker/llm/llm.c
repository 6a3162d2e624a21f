/* SPDX-License-Identifier: Apache-2.0
 * Answers, and the list of providers. */
#include "worker/llm/llm.h"

#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/attr.h"

static const struct llm_provider *const providers[] = {&llm_openai, &llm_offline};

const struct llm_provider *llm_provider_of(struct slice full, struct slice *model)
{
	struct slice rest = full, name = slice_cut(&rest, '/');
	for (size_t i = 0; i < ARRAY_LEN(providers); i++)
		if (rest.n && slice_is(name, providers[i]->name)) {
			*model = rest;
			return providers[i];
		}
	return NULL;
}

void llm_answer_init(struct llm_answer *a)
{
	memset(a, 0, sizeof *a);
}

void llm_answer_reset(struct llm_answer *a)
{
	strbuf_reset(&a->text);
	for (size_t i = 0; i < a->call_count; i++) {
		strbuf_reset(&a->calls[i].id);
		strbuf_reset(&a->calls[i].name);
		strbuf_reset(&a->calls[i].arguments);
	}
	a->call_count = 0;
	a->tokens_in = a->tokens_out = a->tokens_cached = 0;
	a->stop = LLM_STOP_NONE;
	a->retry_after_us = 0;
	a->error[0] = 0;
}

void llm_answer_fini(struct llm_answer *a)
{
	strbuf_fini(&a->text);
	for (size_t i = 0; i < a->call_cap; i++) {
		strbuf_fini(&a->calls[i].id);
		strbuf_fini(&a->calls[i].name);
		strbuf_fini(&a->calls[i].arguments);
	}
	free(a->calls);
	llm_answer_init(a);
}

struct llm_tool_call *llm_answer_call(struct llm_answer *a, size_t index)
{
	if (index > a->call_count || index >= LLM_CALLS_MOST)
		return NULL;
	if (index == a->call_cap) {
		size_t cap = a->call_cap ? a->call_cap * 2 : 2;
		a->calls = xrealloc(a->calls, cap * sizeof *a->calls);
		memset(a->calls + a->call_cap, 0, (cap - a->call_cap) * sizeof *a->calls);
		a->call_cap = cap;
	}
	if (index == a->call_count) {
		a->calls[index].index = (int64_t)index;
		a->call_count++;
	}
	return &a->calls[index];
}
