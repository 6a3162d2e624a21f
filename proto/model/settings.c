/* SPDX-License-Identifier: Apache-2.0
 * settings.tbl, read. */
#include "proto/model/settings.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/attr.h"
#include "common/strbuf.h"
#include "proto/tools/policy_words.h"

#define MODEL_MOST 250
#define STOP_MOST 200
#define TOKENS_MOST 1000000

struct reading {
	const char *name;
	struct settings_fault *fault;
};

PRINTF_LIKE(2, 3) static bool wrong(const struct reading *r, const char *fmt, ...)
{
	va_list ap;
	snprintf(r->fault->member, sizeof r->fault->member, "%s", r->name);
	va_start(ap, fmt);
	vsnprintf(r->fault->message, sizeof r->fault->message, fmt, ap);
	va_end(ap);
	return false;
}

static void set(char **at, struct slice s)
{
	free(*at);
	*at = xstrndup(s.p, s.n);
}

static void set_json(char **at, json_t v)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	json_print(&b, v);
	set(at, strbuf_slice(&b));
}

/* ---- the readers */

static bool is_model(struct slice s)
{
	struct slice rest = s, provider = slice_cut(&rest, '/');
	return provider.n && rest.n && s.n <= MODEL_MOST && !slice_has_control(s);
}

static bool read_model(const struct reading *r, struct model_settings *s, json_t v)
{
	if (!is_model(json_str(v)))
		return wrong(r, "%s must be a model as \"provider/name\"", r->name);
	set(&s->model, json_str(v));
	return true;
}

static void drop_fallbacks(struct model_settings *s)
{
	while (s->fallback_count)
		free(s->fallbacks[--s->fallback_count]);
}

static bool read_fallbacks(const struct reading *r, struct model_settings *s, json_t v)
{
	struct json_iter it = json_iter(v);
	if (json_kind(v) != JSON_ARRAY || json_len(v) > SETTINGS_FALLBACKS_MOST)
		return wrong(r, "%s must be a list of at most %d models", r->name,
			     SETTINGS_FALLBACKS_MOST);
	for (json_t m; (m = json_next(&it, NULL));)
		if (!is_model(json_str(m)))
			return wrong(r, "%s must hold models as \"provider/name\"",
				     r->name);
	drop_fallbacks(s);
	it = json_iter(v);
	for (json_t m; (m = json_next(&it, NULL));) {
		struct slice name = json_str(m);
		s->fallbacks[s->fallback_count++] = xstrndup(name.p, name.n);
	}
	s->has_fallbacks = true;
	return true;
}

static bool read_temperature(const struct reading *r, struct model_settings *s, json_t v)
{
	double t = json_double(v, NAN);
	if (!(t >= 0 && t <= 2))
		return wrong(r, "%s must be a number from 0 to 2", r->name);
	s->has_temperature = true;
	s->temperature = t;
	return true;
}

static bool read_top_p(const struct reading *r, struct model_settings *s, json_t v)
{
	double p = json_double(v, NAN);
	if (!(p > 0 && p <= 1))
		return wrong(r, "%s must be a number above 0, at most 1", r->name);
	s->top_p = p;
	return true;
}

static bool read_max_tokens(const struct reading *r, struct model_settings *s, json_t v)
{
	int64_t n;
	if (!json_i64(v, &n) || n < 1 || n > TOKENS_MOST)
		return wrong(r, "%s must be an integer from 1 to %d", r->name,
			     TOKENS_MOST);
	s->max_tokens = n;
	return true;
}

static bool read_stop(const struct reading *r, struct model_settings *s, json_t v)
{
	struct json_iter it = json_iter(v);
	bool fine = json_kind(v) == JSON_ARRAY && json_len(v) > 0 &&
		    json_len(v) <= SETTINGS_STOPS_MOST;
	for (json_t t; fine && (t = json_next(&it, NULL));)
		fine = json_str(t).n > 0 && json_str(t).n <= STOP_MOST;
	if (!fine)
		return wrong(r, "%s must be a list of 1 to %d texts of 1 to %d bytes",
			     r->name, SETTINGS_STOPS_MOST, STOP_MOST);
	set_json(&s->stop, v);
	return true;
}

static bool read_effort(const struct reading *r, struct model_settings *s, json_t v)
{
	static const char *const words[] = {"none", "minimal", "low", "medium", "high"};
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (slice_is(json_str(v), words[i])) {
			set(&s->effort, json_str(v));
			return true;
		}
	return wrong(r, "%s must be none, minimal, low, medium or high", r->name);
}

static bool read_schema(const struct reading *r, struct model_settings *s, json_t v)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	if (json_kind(v) == JSON_OBJECT)
		json_print(&b, v);
	if (!b.n || b.n > SETTINGS_SCHEMA_BYTES)
		return wrong(r, "%s must be a JSON schema, an object of at most %u bytes",
			     r->name, SETTINGS_SCHEMA_BYTES);
	set(&s->schema, strbuf_slice(&b));
	return true;
}

static bool read_system(const struct reading *r, struct model_settings *s, json_t v)
{
	if (!json_str(v).n || json_str(v).n > SETTINGS_SYSTEM_BYTES)
		return wrong(r, "%s must be a text of 1 to %u bytes", r->name,
			     SETTINGS_SYSTEM_BYTES);
	set(&s->system, json_str(v));
	return true;
}

static bool read_tools(const struct reading *r, struct model_settings *s, json_t v)
{
	struct json_iter it = json_iter(v);
	uint64_t all = 0, some;
	if (json_kind(v) != JSON_ARRAY)
		return wrong(r, "%s must be a list of tools or groups of tools", r->name);
	for (json_t t; (t = json_next(&it, NULL)); all |= some) {
		struct slice word = json_str(t);
		if (!policy_word(word, &some))
			return wrong(r, "%s names no tool: \"%.*s\"", r->name,
				     word.n > 64 ? 64 : (int)word.n,
				     word.p ? word.p : "");
	}
	s->has_tools = true;
	s->tools = all;
	return true;
}

static bool read_budget(const struct reading *r, struct model_settings *s, json_t v)
{
	struct budget_limits limits;
	if (!budget_limits_read(v, &limits))
		return wrong(r,
			     "%s must be an object of tokens, costMicros, calls and "
			     "seconds, each a whole number above 0",
			     r->name);
	s->budget = limits;
	return true;
}

/* It is kept with the message, for who sent it. */
static bool read_metadata(const struct reading *r, struct model_settings *s, json_t v)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	(void)s;
	if (json_kind(v) == JSON_OBJECT)
		json_print(&b, v);
	return (b.n && b.n <= SETTINGS_METADATA_BYTES) ||
	       wrong(r, "%s must be an object of at most %u bytes", r->name,
		     SETTINGS_METADATA_BYTES);
}

/* ---- the table */

#define AGENT SETTINGS_AGENT
#define RUN SETTINGS_RUN
#define BOTH (SETTINGS_AGENT | SETTINGS_RUN)
static const struct setting {
	const char *name;
	bool (*read)(const struct reading *r, struct model_settings *s, json_t v);
	unsigned where;
} settings[] = {
#define SETTING(name, reader, where) {name, reader, where},
#include "proto/model/settings.tbl"
#undef SETTING
};

static const struct setting *find(struct slice name, enum settings_of who)
{
	for (size_t i = 0; i < ARRAY_LEN(settings); i++)
		if (slice_is(name, settings[i].name) && settings[i].where & who)
			return &settings[i];
	return NULL;
}

bool model_setting_exists(struct slice name, enum settings_of who)
{
	return find(name, who);
}

bool model_settings_read(struct model_settings *s, struct slice name, json_t value,
			 enum settings_of who, struct settings_fault *fault)
{
	const struct setting *k = find(name, who);
	struct reading r = {k ? k->name : "", fault};
	if (!k)
		return wrong(&r, "there is no such setting");
	return json_kind(value) == JSON_NULL || k->read(&r, s, value);
}

bool model_settings_read_all(struct model_settings *s, json_t object,
			     enum settings_of who, struct settings_fault *fault)
{
	struct json_iter it = json_iter(object);
	struct slice name;
	for (json_t v; (v = json_next(&it, &name));)
		if (find(name, who) && !model_settings_read(s, name, v, who, fault))
			return false;
	return true;
}

void model_settings_init(struct model_settings *s)
{
	memset(s, 0, sizeof *s);
}

void model_settings_fini(struct model_settings *s)
{
	drop_fallbacks(s);
	free(s->model);
	free(s->effort);
	free(s->stop);
	free(s->schema);
	free(s->system);
	model_settings_init(s);
}
