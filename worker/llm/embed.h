/* SPDX-License-Identifier: Apache-2.0
 * Texts to vectors by a provider: one request, its answer read whole. Numbers are not
 * touched where the provider's form is the one that is wanted. */
#ifndef TB_LLM_EMBED_H
#define TB_LLM_EMBED_H

#include "common/op.h"
#include "worker/llm/llm.h"

struct http_call;
struct http_client;
struct loop;

struct llm_embed_ask {
	struct slice model; /* without the provider's prefix */
	json_t texts;       /* a list; those from..end of it */
	size_t from, end;
	bool base64;        /* the wanted form; else a list of numbers */
	int64_t dimensions; /* 0: not said */
	struct slice user;  /* n 0: not said */
};

struct llm_embed {
	/* What came. */
	int64_t tokens; /* of the texts; 0: not reported */
	struct llm_answer *answer;

	/* embed.c only */
	const struct llm_provider *provider;
	struct slice api_key;
	struct op *op, wire_op;
	struct http_call *http;
	size_t expected;
	struct strbuf request, body;
	struct json_doc *doc;
	json_t list;
	size_t raw; /* how far the text was looked through */
};

/* Whether that provider has embeddings. */
bool llm_embeds(const struct llm_provider *p);
/* How many texts go into one request. */
size_t llm_embed_batch(const struct llm_provider *p, bool base64);
/* Asks; op completes with ERR_OK and the vectors there, or an error and answer->error
 * filled. All but `k` and `a` is borrowed until the request left. */
void llm_embed_start(struct llm_embed *k, struct loop *l, struct http_client *http,
		     const struct llm_target *t, const struct llm_embed_ask *ask,
		     struct llm_answer *a, struct op *op);
/* The vector of the next text, in the wanted form, in their order. False: what came is no
 * vector; answer->error says so. */
bool llm_embed_next(struct llm_embed *k, size_t i, bool base64, struct strbuf *out);
void llm_embed_fini(struct llm_embed *k);

/* ---- for tests */
void llm_embed_write(struct strbuf *out, const struct llm_provider *p,
		     const struct llm_embed_ask *ask);
enum err llm_embed_read(struct llm_embed *k);

#endif
