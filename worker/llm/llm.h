/* SPDX-License-Identifier: Apache-2.0
 * What every model provider has in common: a question (system prompt, messages, tools)
 * and an answer (text, tool calls, usage). A provider is a row of pure functions: it
 * writes the request and reads the stream; the network is llm/call's. */
#ifndef TB_LLM_H
#define TB_LLM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/slice.h"
#include "common/strbuf.h"

enum llm_role { LLM_USER, LLM_ASSISTANT, LLM_TOOL, LLM_SUMMARY };

/* One message of the transcript. `content` is its stored JSON, {"blocks":[...]} with
 * blocks of type text, tool_call and tool_result. `wire` caches the provider's form of
 * it; wire_of names that provider. Both belong to the session's cache. */
struct llm_message {
	enum llm_role role;
	struct slice content;
	struct strbuf wire;
	const struct llm_provider *wire_of;
};

struct llm_tool {
	const char *name, *description;
	const char *schema; /* JSON schema of the arguments, an object */
};

struct llm_question {
	struct slice model; /* without the provider's prefix */
	struct slice system;
	struct llm_message *const *messages;
	size_t message_count;
	const struct llm_tool *const *tools;
	size_t tool_count;
};

struct llm_tool_call {
	struct strbuf id, name, arguments;
	int64_t index; /* the provider's, while it is read */
};

enum llm_stop {
	LLM_STOP_NONE,
	LLM_STOP_END,
	LLM_STOP_TOOLS,
	LLM_STOP_LENGTH,
	LLM_STOP_FILTER
};

struct llm_answer {
	struct strbuf text;
	struct llm_tool_call *calls;
	size_t call_count, call_cap;
	int64_t tokens_in, tokens_out, tokens_cached; /* 0: not reported */
	enum llm_stop stop;
	int64_t retry_after_us; /* what a refusing provider asked for */
	char error[320];        /* one sentence for people, when the call failed */
};

void llm_answer_init(struct llm_answer *a);
void llm_answer_fini(struct llm_answer *a);
/* As new, memory kept. */
void llm_answer_reset(struct llm_answer *a);
/* The call at that position, made when it is the next one; NULL past LLM_CALLS_MOST. */
#define LLM_CALLS_MOST 128
struct llm_tool_call *llm_answer_call(struct llm_answer *a, size_t index);

struct llm_decoder;

struct llm_provider {
	const char *name;
	/* Whether it speaks HTTP; false: `answer` is all it has. */
	bool is_remote;
	/* The message in the provider's own JSON. */
	void (*write_message)(struct strbuf *out, enum llm_role role,
			      struct slice content);
	/* The whole request body. */
	void (*write_request)(struct strbuf *out, const struct llm_question *q);
	const char *path; /* behind the base URL */
	/* One event of the stream; ERR_OK to go on. A filled a->stop means: complete. */
	enum err (*read_event)(struct llm_answer *a, struct slice event,
			       struct slice data);
	/* A refusal: HTTP status and body to an error, sentence in a->error. */
	enum err (*read_refusal)(struct llm_answer *a, int status, struct slice body);
	/* Local providers: the answer at once. */
	enum err (*answer)(struct llm_answer *a, const struct llm_question *q);
};

/* "openai/gpt-4o" -> provider, and the rest in *model. NULL when no provider has that
 * name. */
const struct llm_provider *llm_provider_of(struct slice full, struct slice *model);

extern const struct llm_provider llm_openai, llm_offline;

#endif
