/* SPDX-License-Identifier: Apache-2.0
 * By name, or by default. */
#include "edge/openai/target.h"

#include "edge/lookup.h"
#include "edge/openai/refusal.h"
#include "edge/reply.h"

static bool absent(struct call *c, const struct target *t)
{
	struct slice name = t->name.p ? t->name : t->word;
	refuse(c, 404, "model_not_found", "model",
	       arena_printf(
		       c->request->arena,
		       "the model \"%.*s\" does not exist: a model is an agent here, "
		       "and GET /v1/models lists them",
		       (int)(name.n < 100 ? name.n : 100), name.p));
	return false;
}

static bool no_default(struct call *c)
{
	refuse(c, 404, "model_not_found", "model",
	       "there is no default agent: name one that GET /v1/models lists, or call "
	       "one \"default\"");
	return false;
}

static bool failed(struct call *c)
{
	reply_err(c->request, c->wait.failed, NULL, NULL, 0);
	return false;
}

static bool find_only(struct call *c, struct target *t)
{
	if (!t->listed) {
		t->listed = true;
		store_list_models(c, SLICE(""), 2, &t->only);
		return false;
	}
	if (c->asking)
		return false;
	if (c->asked) {
		reply_err(c->request, c->asked, NULL, NULL, 0);
		return false;
	}
	if (t->only.count != 1)
		return no_default(c);
	t->word = t->only.rows[0].name;
	return target_find(c, t);
}

static bool find_default(struct call *c, struct target *t)
{
	static const char *const words[] = {"default", "main"};
	while (t->tried < ARRAY_LEN(words)) {
		struct slice word = slice_str(words[t->tried]);
		enum cache_verdict v = lookup_agent(c, word, &t->agent);
		if (v == CACHE_FOUND)
			t->word = word;
		if (v != CACHE_ABSENT)
			return v == CACHE_FOUND || (v == CACHE_FAILED && failed(c));
		t->tried++;
	}
	return find_only(c, t);
}

bool target_find(struct call *c, struct target *t)
{
	if (!t->word.p)
		return find_default(c, t);
	enum cache_verdict v = lookup_agent(c, t->word, &t->agent);
	if (v == CACHE_ABSENT)
		return absent(c, t);
	return v == CACHE_FOUND || (v == CACHE_FAILED && failed(c));
}
