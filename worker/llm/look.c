/* SPDX-License-Identifier: Apache-2.0
 * GET, and how long a list it gives. */
#include "worker/llm/look.h"

#include <stdio.h>
#include <string.h>

#include "common/attr.h"
#include "common/http/client.h"
#include "common/loop.h"
#include "worker/llm/request.h"

#define BODY_MOST (4u << 20)

static void on_head(void *arg, int status)
{
	struct llm_look *k = arg;
	k->answer->status = status;
}

static bool on_body(void *arg, struct slice piece)
{
	struct llm_look *k = arg;
	if (k->body.n + piece.n > BODY_MOST)
		return false;
	strbuf_add_slice(&k->body, piece);
	return true;
}

/* A server that answers anything to everybody has not said that it takes the key. */
static enum err read_list(struct llm_look *k)
{
	AUTO(auto_json_free)
	struct json_doc *d = json_parse(strbuf_slice(&k->body), BODY_MOST, NULL, 0);
	const char *name = k->provider->look_list;
	json_t list = name ? json_get(json_root(d), name) : NULL;
	if (json_kind(list) == JSON_ARRAY)
		k->models = (int64_t)json_len(list);
	if (name ? k->models >= 0 : json_kind(json_root(d)) == JSON_OBJECT)
		return ERR_OK;
	snprintf(k->answer->error, LLM_ERROR_BYTES,
		 "what answers at this address does not speak %s's language: is the base "
		 "URL right?",
		 k->provider->name);
	return ERR_MODEL_BROKEN;
}

static enum err verdict(struct llm_look *k, enum err e)
{
	struct llm_answer *a = k->answer;
	llm_hide(k->body.p, &k->body.n, k->api_key);
	if (e == ERR_OK && a->status >= 200 && a->status <= 299)
		return read_list(k);
	if (e == ERR_OK)
		return k->provider->read_refusal(a, a->status, strbuf_slice(&k->body));
	snprintf(a->error, sizeof a->error, "the model provider cannot be reached: %s",
		 http_error(k->http));
	return e == ERR_TIMEOUT ? ERR_MODEL_TIMEOUT : e;
}

static void on_done(struct op *op, enum err e, void *arg)
{
	struct llm_look *k = arg;
	(void)op;
	e = verdict(k, e);
	size_t n = strlen(k->answer->error);
	llm_hide(k->answer->error, &n, k->api_key);
	k->answer->error[n] = 0;
	strbuf_fini(&k->body);
	op_finish(k->op, e);
}

static void cancel(struct op *op, enum err why, void *provider)
{
	struct llm_look *k = provider;
	(void)op;
	op_cancel(&k->wire_op, why);
}

void llm_look_start(struct llm_look *k, struct loop *l, struct http_client *http,
		    const struct llm_target *t, struct llm_answer *a, struct op *op)
{
	static const struct http_events events = {.on_head = on_head, .on_body = on_body};
	AUTO(strbuf_fini) struct strbuf url = STRBUF_INIT;
	struct llm_lines headers;
	*k = (struct llm_look){.models = -1,
			       .loop = l,
			       .provider = t->provider,
			       .api_key = t->api_key,
			       .answer = a,
			       .op = op};
	strbuf_add_slice(&url, llm_base_url(t));
	strbuf_add_str(&url, t->provider->look_path);
	llm_lines_fill(&headers, t, false);
	struct http_request r = {.method = "GET",
				 .url = url.p,
				 .headers = (const char *const *)headers.line,
				 .guarded = t->guarded};
	op_init(&k->wire_op, l, on_done, k);
	k->http = http_start(http, &r, &events, k, &k->wire_op);
	op_start(op, cancel, k, 0);
	llm_lines_wipe(&headers);
}
