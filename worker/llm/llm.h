/* SPDX-License-Identifier: Apache-2.0
 * What every model provider has in common: a question (system prompt, messages, tools,
 * parameters) and an answer (parts in their order, usage). A provider is a row of pure
 * functions: it writes the request and reads the stream; the network is llm/call's. */
#ifndef TB_LLM_H
#define TB_LLM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/json.h"
#include "common/json_mend.h"
#include "common/slice.h"
#include "common/strbuf.h"

enum llm_role { LLM_USER, LLM_ASSISTANT, LLM_TOOL, LLM_SUMMARY };

/* ---- the question */

/* One message of the transcript. `content` is its stored JSON, {"blocks":[...]} with
 * blocks of type text, image, tool_call, tool_result and reasoning (docs/transcript.md).
 * `wire` caches the provider's form of it; wire_of names that provider. Both belong to
 * the session's cache. */
struct llm_message {
	enum llm_role role;
	struct slice content;
	struct strbuf wire;
	const struct llm_provider *wire_of;
};

struct llm_tool {
	const char *name, *description; /* description NULL: none */
	const char *schema;             /* JSON schema of the arguments, an object */
};

/* Which of the tools are to be called; of a question without tools it is not sent. */
enum llm_choice_kind {
	LLM_CHOICE_FREE,     /* the model's own choice: not sent */
	LLM_CHOICE_NONE,     /* none of them */
	LLM_CHOICE_REQUIRED, /* at least one */
	LLM_CHOICE_NAMED     /* that one */
};
struct llm_choice {
	enum llm_choice_kind kind;
	struct slice name; /* with LLM_CHOICE_NAMED */
};

/* How to answer; what is not said is left to the provider. */
struct llm_params {
	bool has_temperature;
	double temperature;
	double top_p;        /* of probability, what is chosen from; 0: not said */
	int64_t max_tokens;  /* of the answer; 0: not said */
	struct slice effort; /* of reasoning: minimal, low, medium, high; n 0: not said */
	struct slice stop;   /* JSON array of texts that end the answer; n 0: none */
	struct slice schema; /* JSON schema that the answer has to fit; n 0: none */
};

struct llm_question {
	struct slice model; /* without the provider's prefix */
	struct slice system;
	struct llm_message *const *messages;
	size_t message_count;
	const struct llm_tool *const *tools;
	size_t tool_count;
	size_t foreign; /* of them, at their end: the client's */
	struct llm_choice choice;
	struct llm_params params;
};

/* ---- the answer */

enum llm_part_kind { LLM_TEXT, LLM_CALL, LLM_REASONING };

/* Part of an answer. `opaque` is what the provider wants back with it, unchanged, in the
 * next question (a signature, an encrypted thought): one JSON value; empty: nothing. */
struct llm_part {
	enum llm_part_kind kind;
	int64_t index;           /* the provider's, while it is read */
	size_t from, n;          /* LLM_TEXT: its bytes of the answer's text */
	struct strbuf id, name;  /* LLM_CALL */
	struct strbuf arguments; /* LLM_CALL: as the model wrote them, JSON or not */
	struct strbuf thought; /* LLM_REASONING: what may be shown of it; may be empty */
	struct strbuf opaque;
};

enum llm_stop {
	LLM_STOP_NONE,
	LLM_STOP_END,
	LLM_STOP_TOOLS,
	LLM_STOP_LENGTH,
	LLM_STOP_FILTER
};

/* As the provider reports them; 0: not reported. */
struct llm_usage {
	int64_t in;     /* all of the question, what its cache gave and took included */
	int64_t out;    /* all of the answer, thoughts included */
	int64_t cached; /* of `in`: read from the provider's cache */
	int64_t cache_write; /* of `in`: written to it */
	int64_t reasoning;   /* of `out` */
};

#define LLM_ERROR_BYTES 320
#define LLM_REQUEST_ID_BYTES 80

struct llm_answer {
	struct strbuf text; /* of all text parts, an empty line between two that have any
			     */
	struct llm_part *parts;
	size_t part_count, part_cap;
	size_t call_count; /* of them that are calls */
	struct llm_usage usage;
	enum llm_stop stop;                    /* not NONE: the answer is complete */
	int status;                            /* of HTTP; 0: none came */
	int64_t retry_after_us;                /* what a refusing provider asked for */
	struct json_mending mending;           /* of the stream's texts */
	char request_id[LLM_REQUEST_ID_BYTES]; /* the provider's, for its support */
	char error[LLM_ERROR_BYTES]; /* one sentence for people, when the call failed */
};

void llm_answer_init(struct llm_answer *a);
void llm_answer_fini(struct llm_answer *a);
/* As new, memory kept. */
void llm_answer_reset(struct llm_answer *a);
/* A new part behind the others; NULL past LLM_PARTS_MOST (ERR_MODEL_BROKEN is due: see
 * llm_too_many). Valid until the next one is made. */
#define LLM_PARTS_MOST 256
struct llm_part *llm_part_new(struct llm_answer *a, enum llm_part_kind kind,
			      int64_t index);
/* The last part of that kind and provider's index, below 0: of that kind. NULL: none. */
struct llm_part *llm_part_at(struct llm_answer *a, enum llm_part_kind kind,
			     int64_t index);
/* Text behind the last part if that is a text part with that index, else a new one (an
 * empty text makes none). False: too many. */
bool llm_add_text(struct llm_answer *a, int64_t index, struct slice text);
/* The i-th call. */
struct llm_part *llm_call_at(const struct llm_answer *a, size_t i);
/* What stands of a text part. */
struct slice llm_part_text(const struct llm_answer *a, const struct llm_part *p);
/* Fills a->error and returns ERR_MODEL_BROKEN. */
enum err llm_too_many(struct llm_answer *a);

/* ---- providers */

/* Where and as whom a provider is asked. Everything is borrowed for the call. */
struct llm_target {
	const struct llm_provider *provider;
	struct slice base_url, api_key; /* n 0: the provider's own, and no key */
	struct slice version; /* of its API; n 0: the one this was written for */
	int64_t silence_us;   /* how long it may say nothing; 0: by where it is */
	bool bearer;          /* the key goes as a bearer token, whatever its way */
	bool guarded; /* a tenant chose the address: a public one, by https alone */
};

/* Collects "name: value" lines of a request. */
struct llm_headers {
	void (*put)(struct llm_headers *h, const char *name, struct slice value);
};

/* The key as a bearer token; nothing without one. */
void llm_put_bearer(struct llm_headers *h, struct slice key);
/* The key in the header of that name, unless the target wants it as a bearer token. */
void llm_put_key(struct llm_headers *h, const struct llm_target *t, const char *name);

struct llm_provider {
	const char *name;     /* in "name/model" */
	const char *base_url; /* where it is when nobody says otherwise; NULL: local, and
				 `answer` is all it has */
	/* Adds its path behind the base URL. */
	void (*write_path)(struct strbuf *out, const struct llm_question *q);
	/* Authentication and version; Content-Type is there already. */
	void (*write_headers)(struct llm_headers *h, const struct llm_target *t);
	/* The message's blocks in the provider's own JSON: what stands between the
	 * brackets of a list, so that messages that have to go together can. */
	void (*write_message)(struct strbuf *out, enum llm_role role, json_t blocks);
	/* The whole request body. */
	void (*write_request)(struct strbuf *out, const struct llm_question *q);
	/* One event of the stream; ERR_OK to go on. A filled a->stop means: complete. */
	enum err (*read_event)(struct llm_answer *a, struct slice event,
			       struct slice data);
	/* A refusal: HTTP status and body to an error, sentence in a->error, and what it
	 * says of when to come again. */
	enum err (*read_refusal)(struct llm_answer *a, int status, struct slice body);
	/* What is there to be asked by GET, behind the base URL, by who has a key alone:
	 * the list of models where the provider has one; the member of the answer that it
	 * is, NULL: the answer is another. */
	const char *look_path, *look_list;
	/* Local providers: the answer at once. */
	enum err (*answer)(struct llm_answer *a, const struct llm_question *q);
};

/* "openai/gpt-4o" -> provider, and the rest in *model. NULL when no provider has that
 * name. */
const struct llm_provider *llm_provider_of(struct slice full, struct slice *model);
/* The one of that name; NULL: there is none. */
const struct llm_provider *llm_provider_named(struct slice name);
/* All of them by position; NULL past the last. */
const struct llm_provider *llm_provider_at(size_t i);

/* Whether that URL is of this machine. */
bool llm_is_local(struct slice url);

/* What is to be said of the choice among the tools; LLM_CHOICE_FREE: nothing. */
enum llm_choice_kind llm_choice_of(const struct llm_question *q);

/* The provider's form of a message, from its cache. */
struct slice llm_wire(const struct llm_provider *p, struct llm_message *m);

#define PROVIDER(symbol) extern const struct llm_provider llm_##symbol;
#include "worker/llm/providers.tbl"
#undef PROVIDER

#endif
