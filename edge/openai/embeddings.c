/* SPDX-License-Identifier: Apache-2.0
 * POST /v1/embeddings: the texts go to a worker, which has the keys of the model
 * providers (docs/embeddings.md). */
#include "common/json.h"
#include "edge/body.h"
#include "edge/inquiry.h"
#include "edge/limits.h"
#include "edge/openai/ask.h"
#include "edge/openai/target.h"
#include "edge/reply.h"

#define TEXTS_MOST 2048u
#define USER_MOST 256u
#define DIMENSIONS_MOST 16384

enum stage { EMBED_START, EMBED_TARGET, EMBED_SENT };

struct embedding {
	struct inquiring q;
	struct slice model, user;
	struct target target; /* the agent that the model's name means */
	struct slice texts;   /* JSON list */
	int64_t dimensions;   /* 0: not said */
	bool base64;
};

static bool take_model(struct call *c, json_t v)
{
	struct embedding *e = c->state;
	return body_text(c, "model", v, 1, LIMIT_MODEL, false, &e->model);
}

static bool wrong_input(struct call *c, size_t i, const char *rule)
{
	const char *name = arena_printf(c->request->arena, "input[%zu]", i);
	return reply_wrong(c->request, name,
			   arena_printf(c->request->arena, "%s %s", name, rule));
}

static bool check_texts(struct call *c, json_t list)
{
	struct json_iter it = json_iter(list);
	size_t i = 0;
	if (!json_len(list) || json_len(list) > TEXTS_MOST)
		return reply_wrong(c->request, "input",
				   "input must be a text, or a list of 1 to 2048 texts");
	for (json_t t; (t = json_next(&it, NULL)); i++) {
		if (json_kind(t) == JSON_NUMBER || json_kind(t) == JSON_ARRAY)
			return wrong_input(c, i,
					   "is of tokens, which are not taken: send the "
					   "text itself");
		if (!json_str(t).n)
			return wrong_input(c, i, "must be a text that is not empty");
	}
	return true;
}

static bool take_input(struct call *c, json_t v)
{
	struct embedding *e = c->state;
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	bool is_list = json_kind(v) == JSON_ARRAY;
	if (is_list && !check_texts(c, v))
		return false;
	if (!is_list && !json_str(v).n)
		return reply_wrong(c->request, "input",
				   "input must be a text that is not empty, or a list of "
				   "texts");
	if (!is_list)
		strbuf_add_char(&b, '[');
	json_print(&b, v);
	if (!is_list)
		strbuf_add_char(&b, ']');
	e->texts = arena_slice(c->request->arena, strbuf_slice(&b));
	return true;
}

static bool take_format(struct call *c, json_t v)
{
	struct embedding *e = c->state;
	e->base64 = slice_is(json_str(v), "base64");
	return e->base64 || slice_is(json_str(v), "float") ||
	       reply_wrong(c->request, "encoding_format",
			   "encoding_format must be \"float\" or \"base64\"");
}

static bool take_dimensions(struct call *c, json_t v)
{
	struct embedding *e = c->state;
	return body_number(c, "dimensions", v, 1, DIMENSIONS_MOST, &e->dimensions);
}

static bool take_user(struct call *c, json_t v)
{
	struct embedding *e = c->state;
	return body_text(c, "user", v, 1, USER_MOST, false, &e->user);
}

static bool read_body(struct call *c, struct embedding *e)
{
	static const struct body_member members[] = {{"model", take_model},
						     {"input", take_input},
						     {"encoding_format", take_format},
						     {"dimensions", take_dimensions},
						     {"user", take_user}};
	if (!body_read(c, members, ARRAY_LEN(members)))
		return false;
	if (!e->model.p)
		return reply_wrong(c->request, "model", "model is missing");
	return e->texts.p || reply_wrong(c->request, "input", "input is missing");
}

static struct slice question_of(struct arena *a, const struct embedding *e)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	json_obj(&o);
	json_kv_raw(&o, "texts", e->texts);
	json_kv_bool(&o, "base64", e->base64);
	if (e->dimensions)
		json_kv_i64(&o, "dimensions", e->dimensions);
	if (e->user.p)
		json_kv_str(&o, "user", e->user);
	json_obj_end(&o);
	return arena_slice(a, strbuf_slice(&b));
}

static void send_question(struct call *c, struct embedding *e, struct slice model)
{
	struct wire_inquire m = {.kind = INQUIRY_EMBED,
				 .object = uuid7_new(),
				 .model = model,
				 .body = question_of(c->request->arena, e)};
	if (m.body.n > LIMIT_BODY_BYTES) {
		reply_err(c->request, ERR_TOO_LARGE, "input",
			  "input is larger than its limit", 0);
		return;
	}
	c->stage = EMBED_SENT;
	limits_note_run(c, m.object); /* the ledger has it under this id */
	inquiry_ask(c, &m);
}

/* A model of a provider's, or words alone; else it is the name of an agent, as with the
 * other of these APIs. */
static bool is_a_model(struct slice model)
{
	return slice_is(model, "offline") ||
	       (memchr(model.p, '/', model.n) && slice_eq(ask_agent_of(model), model));
}

/* What the client says beside it, or else the agent's configuration, is asked. */
static struct slice model_of(struct call *c, const struct embedding *e)
{
	struct slice said = http_field_either(&c->request->head, "x-terabits-model",
					      "x-openclaw-model");
	if (said.p)
		return said;
	return *e->target.agent.embedding_model
		       ? slice_str(e->target.agent.embedding_model)
		       : SLICE("offline");
}

static bool begin(struct call *c, struct embedding *e)
{
	if (!read_body(c, e))
		return false;
	e->target.name = e->model;
	e->target.word = ask_agent_of(e->model);
	c->stage = EMBED_TARGET;
	return true;
}

void embeddings(struct call *c)
{
	struct embedding *e = c->state;
	if (c->stage == EMBED_SENT) {
		inquiry_reply(c);
		return;
	}
	if (!e) {
		c->state = e = arena_zalloc(c->request->arena, sizeof *e);
		if (!begin(c, e))
			return;
	}
	if (is_a_model(e->model))
		send_question(c, e, e->model);
	else if (target_find(c, &e->target))
		send_question(c, e, model_of(c, e));
}
