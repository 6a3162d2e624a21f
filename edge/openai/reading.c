/* SPDX-License-Identifier: Apache-2.0
 * Parameters by a table, and what both APIs say alike. */
#include "edge/openai/reading.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "edge/blocks.h"
#include "edge/culprit.h"
#include "edge/server.h"

bool reading_wrong(struct reading *r, const char *param, const char *fmt, ...)
{
	va_list ap;
	*r->fault = (struct ask_fault){.status = 400};
	snprintf(r->fault->param, sizeof r->fault->param, "%s", param);
	va_start(ap, fmt);
	vsnprintf(r->fault->message, sizeof r->fault->message, fmt, ap);
	va_end(ap);
	return false;
}

/* ---- the table */

static bool take_param(struct reading *r, const struct param *p, json_t v)
{
	switch (p->how) {
	case PARAM_TAKEN:
		return p->take(r, p->name, v);
	case PARAM_IGNORED:
		return true;
	default:
		return p->is_neutral(v) ||
		       reading_wrong(r, p->name, "%s cannot be done here: %s", p->name,
				     p->why);
	}
}

bool reading_params(struct reading *r, json_t body, const struct param *params,
		    size_t count)
{
	struct json_iter it = json_iter(body);
	struct slice key;
	for (json_t v; (v = json_next(&it, &key));) {
		const struct param *p = NULL;
		for (size_t i = 0; !p && i < count; i++)
			if (slice_is(key, params[i].name))
				p = &params[i];
		char name[64];
		snprintf(name, sizeof name, "%.*s", (int)(key.n < 63 ? key.n : 63),
			 key.p);
		if (!p)
			return reading_wrong(r, name, "there is no parameter \"%s\" here",
					     name);
		if (json_kind(v) != JSON_NULL && !take_param(r, p, v))
			return false;
	}
	return true;
}

/* ---- values that ask for nothing */

bool is_nothing(json_t v)
{
	(void)v;
	return false; /* null was let through already */
}

static bool is_number(json_t v, double n)
{
	double d = json_double(v, NAN);
	return d >= n && d <= n;
}

bool is_one(json_t v)
{
	return is_number(v, 1);
}

bool is_zero(json_t v)
{
	return is_number(v, 0);
}

bool is_false(json_t v)
{
	return json_kind(v) == JSON_BOOL && !json_bool(v, true);
}

bool is_empty(json_t v)
{
	return (json_kind(v) == JSON_ARRAY || json_kind(v) == JSON_OBJECT) &&
	       !json_len(v);
}

bool is_text(json_t v)
{
	return json_kind(v) == JSON_ARRAY && json_len(v) == 1 &&
	       slice_is(json_str(json_at(v, 0)), "text");
}

bool is_medium(json_t v)
{
	return slice_is(json_str(v), "medium");
}

/* ---- readers */

bool reading_bool(struct reading *r, const char *name, json_t v, bool *out)
{
	*out = json_bool(v, false);
	return json_kind(v) == JSON_BOOL ||
	       reading_wrong(r, name, "%s must be true or false", name);
}

bool reading_text(struct reading *r, const char *name, json_t v, size_t most,
		  struct slice *out)
{
	struct slice s = json_str(v);
	if (!s.n || s.n > most)
		return reading_wrong(r, name, "%s must be a string of 1 to %zu bytes",
				     name, most);
	if (slice_has_control(s))
		return reading_wrong(r, name, "%s must not hold control characters",
				     name);
	*out = arena_slice(r->ask->arena, s);
	return true;
}

bool reading_setting(struct reading *r, const char *param, const char *setting, json_t v)
{
	struct settings_fault bad;
	struct strbuf *b = &r->ask->overrides;
	size_t own = strlen(setting);
	if (!model_settings_read(&r->settings, slice_str(setting), v, SETTINGS_RUN,
				 &bad)) {
		bool named = !strncmp(bad.message, setting, own);
		return reading_wrong(r, param, "%s%s%s", param, named ? "" : ": ",
				     bad.message + (named ? own : 0));
	}
	strbuf_printf(b, "%s\"%s\":", b->n ? "," : "", setting);
	json_print(b, v);
	return true;
}

bool take_model(struct reading *r, const char *name, json_t v)
{
	return reading_text(r, name, v, 256, &r->ask->model);
}

bool take_list(struct reading *r, const char *name, json_t v)
{
	(void)name;
	r->list = v;
	return true;
}

bool take_stream(struct reading *r, const char *name, json_t v)
{
	return reading_bool(r, name, v, &r->ask->stream);
}

bool take_user(struct reading *r, const char *name, json_t v)
{
	if (json_str(v).p && !json_str(v).n)
		return true; /* what some clients send for nobody */
	r->has_stable = true;
	return reading_text(r, name, v, ASK_USER_MAX, &r->ask->user);
}

bool take_temperature(struct reading *r, const char *name, json_t v)
{
	return reading_setting(r, name, "temperature", v);
}

bool take_top_p(struct reading *r, const char *name, json_t v)
{
	return reading_setting(r, name, "topP", v);
}

bool take_max_tokens(struct reading *r, const char *name, json_t v)
{
	if (r->has_most)
		return reading_wrong(
			r, name,
			"max_tokens and max_completion_tokens mean the same: "
			"give one of them");
	r->has_most = true;
	return reading_setting(r, name, "maxTokens", v);
}

bool take_metadata(struct reading *r, const char *name, json_t v)
{
	return reading_setting(r, name, "metadata", v);
}

bool reading_format(struct reading *r, const char *name, json_t format, json_t holder)
{
	struct slice type = json_str(json_get(format, "type"));
	char at[96];
	if (slice_is(type, "text"))
		return true;
	if (!slice_is(type, "json_schema"))
		return reading_wrong(
			r, name,
			"%s.type must be text or json_schema: what an answer "
			"has to fit is said by a schema",
			name);
	snprintf(at, sizeof at, "%s.schema", name);
	return reading_setting(r, at, "responseSchema", json_get(holder, "schema"));
}

/* ---- what is said */

static bool is_one_of(struct slice s, const char *const *words)
{
	for (; *words; words++)
		if (slice_is(s, *words))
			return true;
	return false;
}

static const char *const text_types[] = {"text", "input_text", "output_text", NULL};
static const char *const image_types[] = {"image_url", "input_image", NULL};

/* The text of a part; SLICE_NONE: it has none. */
static struct slice words_of(json_t part)
{
	struct slice type = json_str(json_get(part, "type"));
	if (is_one_of(type, text_types))
		return json_str(json_get(part, "text"));
	return slice_is(type, "refusal") ? json_str(json_get(part, "refusal"))
					 : SLICE_NONE;
}

bool reading_words(struct reading *r, const char *at, json_t content, struct strbuf *out)
{
	struct json_iter it = json_iter(content);
	size_t i = 0;
	if (json_str(content).p || json_kind(content) <= JSON_NULL) {
		strbuf_add_slice(out, json_str(content));
		return true;
	}
	if (json_kind(content) != JSON_ARRAY)
		return reading_wrong(r, at, "%s must be a string or a list of parts", at);
	for (json_t part; (part = json_next(&it, NULL)); i++) {
		char name[128];
		snprintf(name, sizeof name, "%s[%zu]", at, i);
		if (!words_of(part).p)
			return reading_wrong(r, name, "%s must be a part of type text",
					     name);
		strbuf_add_slice(out, words_of(part));
	}
	return true;
}

/* data:image/png;base64,... */
static const char *put_url(struct json_out *o, struct slice url)
{
	struct slice rest = url, head;
	if (!slice_has_prefix(url, SLICE("data:")))
		return blocks_put_link(o, url);
	head = slice_cut(&rest, ',');
	struct slice type = slice_of(head.p + 5, head.n - 5);
	if (type.n < 7 || !rest.p ||
	    !slice_is(slice_of(type.p + type.n - 7, 7), ";base64"))
		return "must be data:<type>;base64,<data> or begin with https://";
	return blocks_put_image(o, slice_of(type.p, type.n - 7), rest);
}

static bool take_image(struct reading *r, const char *at, json_t part, struct json_out *o)
{
	json_t v = json_get(part, "image_url");
	struct slice url =
		json_kind(v) == JSON_OBJECT ? json_str(json_get(v, "url")) : json_str(v);
	if (!url.p)
		return reading_wrong(r, at,
				     "%s must have an image_url: files of the provider's "
				     "are not known here",
				     at);
	const char *why = put_url(o, url);
	return !why ||
	       reading_wrong(r, at, "%s: the image's address or data %s", at, why);
}

static bool take_part(struct reading *r, const char *at, json_t part, struct json_out *o,
		      size_t *count)
{
	struct slice type = json_str(json_get(part, "type")), text = words_of(part);
	if (text.p && !text.n)
		return true;
	++*count;
	if (text.p) {
		blocks_put_text(o, text);
		return true;
	}
	if (is_one_of(type, image_types))
		return take_image(r, at, part, o);
	return reading_wrong(r, at,
			     "%s is of type \"%.*s\": texts and images can be said", at,
			     (int)(type.n < 40 ? type.n : 40), type.p ? type.p : "");
}

bool reading_blocks(struct reading *r, const char *at, json_t content, struct strbuf *out,
		    size_t *count)
{
	struct json_out o = json_out(out);
	struct json_iter it = json_iter(content);
	*count = 0;
	if (json_str(content).p) {
		if (json_str(content).n)
			blocks_put_text(&o, json_str(content));
		*count = json_str(content).n > 0;
		return true;
	}
	if (json_kind(content) != JSON_ARRAY)
		return reading_wrong(r, at, "%s must be a string or a list of parts", at);
	size_t i = 0;
	for (json_t part; (part = json_next(&it, NULL)); i++) {
		char name[128];
		snprintf(name, sizeof name, "%s[%zu]", at, i);
		if (!take_part(r, name, part, &o, count))
			return false;
	}
	return true;
}

void reading_arguments(struct slice text, struct strbuf *out)
{
	AUTO(auto_json_free) struct json_doc *d = json_parse(text, text.n, NULL, 0);
	struct json_out o = json_out(out);
	if (d && json_kind(json_root(d)) == JSON_OBJECT) {
		json_print(out, json_root(d));
		return;
	}
	json_obj(&o);
	if (slice_trim(text).n)
		json_kv_str(&o, "_raw", text);
	json_obj_end(&o);
}

/* ---- the whole */

/* A text that is none spoils the whole document; who holds it is named all the same. */
static bool blame(struct reading *r, struct slice body, const char *why)
{
	char member[64];
	const char *problem = culprit_find(body, member, sizeof member);
	if (!problem)
		return reading_wrong(r, "", "the body is no valid JSON: %s", why);
	return reading_wrong(r, member, "%s must be valid text: %s", member, problem);
}

static bool read_list(struct reading *r, const struct reading_api *api)
{
	const struct talk *t = &r->ask->talk;
	bool is_list = json_kind(r->list) == JSON_ARRAY || json_str(r->list).p;
	if (!r->list || !is_list)
		return reading_wrong(r, api->list, "%s %s", api->list,
				     r->list ? "must be a list" : "is missing");
	r->ask->stable |= r->has_stable;
	if (!api->read_list(r, r->ask->stable ? api->find_new(r->list) : 0))
		return false;
	if (t->system.n > SETTINGS_SYSTEM_BYTES)
		return reading_wrong(
			r, api->list,
			"its instructions (messages of system and developer) "
			"have %zu bytes together: %u are the most",
			t->system.n, SETTINGS_SYSTEM_BYTES);
	return true;
}

static bool read_root(struct reading *r, json_t root, const struct reading_api *api)
{
	if (json_kind(root) != JSON_OBJECT)
		return reading_wrong(r, "", "the body must be a JSON object");
	return reading_params(r, root, api->params, api->count) && reading_choice(r) &&
	       read_list(r, api);
}

bool reading_all(struct reading *r, struct slice body, const struct reading_api *api)
{
	char why[160];
	model_settings_init(&r->settings);
	AUTO(auto_json_free)
	struct json_doc *d = json_parse_unique(body, SERVER_TALK_MAX, why, sizeof why);
	bool fine = d ? read_root(r, json_root(d), api) : blame(r, body, why);
	model_settings_fini(&r->settings);
	return fine;
}
