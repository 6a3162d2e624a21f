/* SPDX-License-Identifier: Apache-2.0
 * From what was read to an order. */
#include "edge/openai/ask.h"

#include <stdio.h>

#include "common/attr.h"
#include "edge/openai/reading.h"
#include "edge/session_job.h"
#include "proto/limits.h"

void ask_fini(struct ask *ask)
{
	talk_fini(&ask->talk);
	strbuf_fini(&ask->overrides);
}

static bool blame(const struct talk_fault *bad, const char *list, struct ask_fault *fault)
{
	*fault = (struct ask_fault){.status = 400};
	snprintf(fault->param, sizeof fault->param, "%s[%zu]", list, bad->at);
	snprintf(fault->message, sizeof fault->message, "%s: %s", fault->param,
		 bad->message);
	return false;
}

static void put_overrides(const struct ask *ask, struct json_out *o)
{
	struct slice system = strbuf_slice(&ask->talk.system);
	if (!ask->overrides.n && !system.n)
		return;
	json_key(o, "overrides");
	json_obj(o);
	if (system.n)
		json_kv_str(o, "system", system);
	if (ask->overrides.n) {
		if (system.n)
			strbuf_add_char(o->b, ',');
		strbuf_add_slice(o->b, strbuf_slice(&ask->overrides));
	}
	json_obj_end(o);
}

bool ask_compose(const struct ask *ask, const char *list, struct slice *content,
		 struct ask_fault *fault)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	struct talk_fault bad;
	json_obj(&o);
	if (!talk_put_new(&ask->talk, &o, &bad))
		return blame(&bad, list, fault);
	put_overrides(ask, &o);
	if (ask->tools.p)
		json_kv_raw(&o, "clientTools", ask->tools);
	if (ask->choice.p)
		json_kv_raw(&o, "toolChoice", ask->choice);
	json_obj_end(&o);
	if (b.n > LIMIT_BODY_BYTES) {
		*fault = (struct ask_fault){.status = 413};
		snprintf(fault->param, sizeof fault->param, "%s", list);
		snprintf(fault->message, sizeof fault->message,
			 "what is new in %s is larger than 2 MB, images included: give "
			 "images as https addresses",
			 list);
		return false;
	}
	*content = arena_slice(ask->arena, strbuf_slice(&b));
	return true;
}

bool ask_history(const struct ask *ask, const char *list, int64_t now_us,
		 struct talk_part **parts, size_t *count, struct ask_fault *fault)
{
	struct talk_fault bad;
	*parts = NULL;
	*count = 0;
	return ask->stable ||
	       talk_history(&ask->talk, now_us, IMPORT_BODY_MAX, parts, count, &bad) ||
	       blame(&bad, list, fault);
}

bool ask_set_model(struct ask *ask, struct slice model, struct ask_fault *fault)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	struct reading r = {.ask = ask, .fault = fault};
	json_put_str(&o, model);
	AUTO(auto_json_free)
	struct json_doc *d = json_parse(strbuf_slice(&b), b.n, NULL, 0);
	model_settings_init(&r.settings);
	bool fine = reading_setting(&r, "x-terabits-model", "model", json_root(d));
	model_settings_fini(&r.settings);
	return fine;
}

struct slice ask_agent_of(struct slice model)
{
	static const char *const prefixes[] = {"agent/", "agent:", "openclaw/",
					       "openclaw:"};
	for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
		struct slice prefix = slice_str(prefixes[i]);
		if (slice_has_prefix(model, prefix)) {
			model = slice_of(model.p + prefix.n, model.n - prefix.n);
			break;
		}
	}
	return slice_is(model, "default") || slice_is(model, "openclaw") ? SLICE_NONE
									 : model;
}
