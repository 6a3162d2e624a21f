/* SPDX-License-Identifier: Apache-2.0
 * By name, or by default. */
#include "edge/openai/target.h"

#include "edge/default_agent.h"
#include "edge/lookup.h"
#include "edge/openai/refusal.h"
#include "edge/reply.h"

static void refuse_absent(struct call *c, const struct target *t)
{
	struct slice name = t->name.p ? t->name : t->word;
	refuse(c, 404, "model_not_found", "model",
	       t->word.p
		       ? arena_printf(c->request->arena,
				      "the model \"%.*s\" does not exist: a model is an "
				      "agent here, and GET /v1/models lists them",
				      (int)(name.n < 100 ? name.n : 100), name.p)
		       : "there is no default agent: name one that GET /v1/models "
			 "lists, or call one \"default\"");
}

bool target_find(struct call *c, struct target *t)
{
	enum cache_verdict v = lookup_agent(c, default_agent(t->word), &t->agent);
	if (v == CACHE_ABSENT)
		refuse_absent(c, t);
	else if (v == CACHE_FAILED)
		reply_err(c->request, c->wait.failed, NULL, NULL, 0);
	return v == CACHE_FOUND;
}
