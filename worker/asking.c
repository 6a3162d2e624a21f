/* SPDX-License-Identifier: Apache-2.0
 * Settings laid over each other. */
#include "worker/asking.h"

#include <stdio.h>
#include <string.h>

#include "common/attr.h"
#include "worker/cooldowns.h"
#include "worker/failover.h"
#include "worker/keys.h"
#include "worker/load.h"
#include "worker/run.h"

static const struct message *input_of(const struct run *r)
{
	const struct session *s = r->session;
	for (size_t i = s->count; i-- > 0;)
		if (s->messages[i]->seq == r->input_seq)
			return s->messages[i];
	return NULL;
}

static bool says(struct slice content, const char *member)
{
	return slice_find(content, slice_str(member)) >= 0;
}

static bool read_overrides(struct run *r, const struct message *input)
{
	struct slice content = input ? input->llm.content : SLICE_NONE;
	struct settings_fault bad;
	bool tools = says(content, "\"clientTools\"") || says(content, "\"toolChoice\"");
	if (!tools && !says(content, "\"overrides\"") && !says(content, "\"mode\""))
		return true; /* as mostly: nothing is parsed */
	AUTO(auto_json_free)
	struct json_doc *d = json_parse(content, content.n, NULL, 0);
	if (tools)
		client_tools_read(&r->asking.client, json_root(d));
	r->asking.builder = slice_is(json_str(json_get(json_root(d), "mode")), "builder");
	if (!json_get(json_root(d), "overrides"))
		return true;
	if (model_settings_read_all(&r->asking.own, json_get(json_root(d), "overrides"),
				    SETTINGS_RUN, &bad))
		return true;
	run_fail(r, ERR_BAD_REQUEST, "the message's settings: %s", bad.message);
	return false;
}

static void add_models(struct asking *a, const struct model_settings *s)
{
	for (size_t i = 0; i < s->fallback_count; i++)
		a->models[a->model_count++] = s->fallbacks[i];
}

/* Who chose a model meant that one: the agent's fallbacks stand for the agent's own. */
static void order_models(struct run *r)
{
	struct asking *a = &r->asking;
	const struct model_settings *agent = &r->agent->config.settings;
	a->models[a->model_count++] = a->own.model   ? a->own.model
				      : agent->model ? agent->model
						     : r->worker->model.p;
	if (a->own.has_fallbacks)
		add_models(a, &a->own);
	else if (!a->own.model)
		add_models(a, agent);
}

bool asking_read(struct run *r)
{
	struct asking *a = &r->asking;
	if (a->known)
		return true;
	if (!read_overrides(r, input_of(r)))
		return false;
	order_models(r);
	a->known = true;
	return true;
}

void asking_fini(struct asking *a)
{
	model_settings_fini(&a->own);
	client_tools_fini(&a->client);
}

static struct slice either(const char *own, const char *agent)
{
	return slice_str(own ? own : agent);
}

struct llm_params asking_params(const struct run *r)
{
	const struct model_settings *o = &r->asking.own, *g = &r->agent->config.settings;
	return (struct llm_params){
		.has_temperature = o->has_temperature || g->has_temperature,
		.temperature = o->has_temperature ? o->temperature : g->temperature,
		.top_p = o->top_p > 0 ? o->top_p : g->top_p,
		.max_tokens = o->max_tokens ? o->max_tokens : g->max_tokens,
		.effort = either(o->effort, g->effort),
		.stop = either(o->stop, g->stop),
		.schema = either(o->schema, g->schema)};
}

uint64_t asking_tools(const struct run *r)
{
	return r->asking.own.has_tools ? r->asking.own.tools : ~0ull;
}

struct slice asking_system(struct run *r)
{
	const char *own = r->asking.own.system, *agent = r->agent->config.system;
	if (!own)
		return slice_str(agent);
	if (!*agent)
		return slice_str(own);
	return slice_str(arena_printf(r->arena, "%s\n\n%s", agent, own));
}

static const struct llm_provider *provider_in_use(const struct run *r,
						  struct slice *model)
{
	return llm_provider_of(slice_str(r->asking.models[r->asking.at]), model);
}

bool asking_waits(struct run *r)
{
	struct slice model;
	const struct llm_provider *p = provider_in_use(r, &model);
	if (!p || !p->base_url || !load_target_is_needed(r))
		return false;
	load_target(r);
	return true;
}

bool asking_has_next(const struct run *r)
{
	return r->asking.at + 1 < r->asking.model_count;
}

/* Whose refusal holds for all who would ask now: a provider that limits the rate has said
 * so. What merely failed is asked again where nothing else can be. */
static enum err respect_cooldown(struct run *r)
{
	enum err why;
	int64_t left = cooldowns_left_us(r, slice_str(r->target.provider->name), r->model,
					 r->key_id, &why);
	if (left <= 0 || (why != ERR_MODEL_RATE && !asking_has_next(r)))
		return ERR_OK;
	r->answer.retry_after_us = left;
	snprintf(r->answer.error, LLM_ERROR_BYTES,
		 "the model '%s' is not asked for %lld s: it was refused (%s)",
		 r->asking.models[r->asking.at], (long long)(left + 999999) / 1000000,
		 err_code(why));
	return ERR_MODEL_RATE;
}

enum err asking_target(struct run *r)
{
	const char *full = r->asking.models[r->asking.at];
	const struct llm_provider *p = provider_in_use(r, &r->model);
	if (!p) {
		snprintf(r->answer.error, LLM_ERROR_BYTES,
			 "the model '%.100s' is of no provider this node knows: use "
			 "PROVIDER/NAME, for instance openai/gpt-4o-mini",
			 full);
		return ERR_MODEL_CONFIG;
	}
	if (!keys_choose(r, p, r->model, &r->target, &r->key_id)) {
		snprintf(r->answer.error, LLM_ERROR_BYTES, "%s", r->failure_text);
		return ERR_MODEL_CONFIG;
	}
	r->target.silence_us = r->worker->silence_us;
	return p->base_url ? respect_cooldown(r) : ERR_OK;
}

void asking_refused(struct run *r, enum err why)
{
	struct llm_answer *a = &r->answer;
	if (!failover_cools(why) || !r->asking.was_asked || !r->target.provider->base_url)
		return;
	struct slice provider = slice_str(r->target.provider->name);
	cooldowns_note(r, provider, r->model, r->key_id, why, a->retry_after_us);
	if (why != ERR_MODEL_RATE)
		return;
	/* The run itself comes back when the others may. */
	int64_t left = cooldowns_left_us(r, provider, r->model, r->key_id, NULL);
	if (left > a->retry_after_us)
		a->retry_after_us = left;
}

void asking_answered(struct run *r)
{
	if (r->target.provider->base_url)
		cooldowns_clear(r, slice_str(r->target.provider->name), r->model,
				r->key_id);
}
