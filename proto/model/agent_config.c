/* SPDX-License-Identifier: Apache-2.0
 * agent_config.tbl, read. */
#include "proto/model/agent_config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/attr.h"
#include "common/ident.h"
#include "common/strbuf.h"
#include "proto/model/webhook.h"
#include "proto/tools/catalog.h"

#define SKILL_NAME_BYTES 64
#define NAME_BYTES 63

struct member {
	const char *name;
	bool (*read)(struct agent_config *c, json_t v, const struct member *m,
		     struct settings_fault *fault);
	int64_t low, high;
	const char *words;
	bool door;
};

PRINTF_LIKE(3, 4)
static bool wrong(struct settings_fault *f, const struct member *m, const char *fmt, ...)
{
	va_list ap;
	int n = snprintf(f->message, sizeof f->message, "%s ", m->name);
	snprintf(f->member, sizeof f->member, "%s", m->name);
	va_start(ap, fmt);
	vsnprintf(f->message + n, sizeof f->message - (size_t)n, fmt, ap);
	va_end(ap);
	return false;
}

/* ---- the readers */

static bool take_number(int64_t *out, json_t v, const struct member *m,
			struct settings_fault *fault)
{
	if (json_i64(v, out) && *out >= m->low && *out <= m->high)
		return true;
	*out = 0;
	return wrong(fault, m, "must be an integer from %lld to %lld", (long long)m->low,
		     (long long)m->high);
}

static bool read_number(struct agent_config *c, json_t v, const struct member *m,
			struct settings_fault *fault)
{
	int64_t n;
	(void)c;
	return take_number(&n, v, m, fault);
}

static bool read_window(struct agent_config *c, json_t v, const struct member *m,
			struct settings_fault *fault)
{
	return take_number(&c->context_window, v, m, fault);
}

static bool take_size(uint64_t *out, json_t v, const struct member *m,
		      struct settings_fault *fault)
{
	int64_t n;
	bool fine = take_number(&n, v, m, fault);
	*out = (uint64_t)n;
	return fine;
}

static bool read_bytes(struct agent_config *c, json_t v, const struct member *m,
		       struct settings_fault *fault)
{
	return take_size(&c->workspace_bytes, v, m, fault);
}

static bool read_files(struct agent_config *c, json_t v, const struct member *m,
		       struct settings_fault *fault)
{
	return take_size(&c->workspace_files, v, m, fault);
}

static bool read_word(struct agent_config *c, json_t v, const struct member *m,
		      struct settings_fault *fault)
{
	struct slice words = slice_str(m->words);
	(void)c;
	while (json_kind(v) == JSON_STRING && words.n)
		if (slice_eq(slice_cut(&words, '|'), json_str(v)))
			return true;
	return wrong(fault, m, "must be one of %s", m->words);
}

static bool read_workspace(struct agent_config *c, json_t v, const struct member *m,
			   struct settings_fault *fault)
{
	c->by_session = slice_is(json_str(v), "session");
	return read_word(c, v, m, fault);
}

static bool read_system(struct agent_config *c, json_t v, const struct member *m,
			struct settings_fault *fault)
{
	struct slice text = json_str(v);
	if (json_kind(v) != JSON_STRING || (int64_t)text.n > m->high)
		return wrong(fault, m, "must be a text of at most %lld bytes",
			     (long long)m->high);
	free(c->system);
	c->system = xstrndup(text.p, text.n);
	return true;
}

/* A tool that is named twice is granted once: providers refuse doubles. */
static bool read_tools(struct agent_config *c, json_t v, const struct member *m,
		       struct settings_fault *fault)
{
	struct json_iter it = json_iter(v);
	if (json_kind(v) != JSON_ARRAY)
		return wrong(fault, m, "must be a list of tools");
	c->tool_set = 0;
	for (json_t t; (t = json_next(&it, NULL));) {
		struct slice name = json_str(t);
		size_t i = catalog_find(name);
		if (i == catalog_count())
			return wrong(fault, m, "names a tool that does not exist: %.*s",
				     name.n > 100 ? 100 : (int)name.n,
				     name.p ? name.p : "");
		c->tool_set |= 1ull << i;
	}
	return true;
}

static bool read_skills(struct agent_config *c, json_t v, const struct member *m,
			struct settings_fault *fault)
{
	AUTO(strbuf_fini) struct strbuf names = STRBUF_INIT;
	struct json_iter it = json_iter(v);
	bool fine = json_kind(v) == JSON_ARRAY && (int64_t)json_len(v) <= m->high;
	for (json_t name; fine && (name = json_next(&it, NULL));)
		fine = json_str(name).n > 0 && json_str(name).n <= SKILL_NAME_BYTES;
	if (!fine)
		return wrong(fault, m, "must be a list of at most %lld skills' names",
			     (long long)m->high);
	json_print(&names, v);
	json_free(c->skills);
	c->skills = json_parse(strbuf_slice(&names), names.n, NULL, 0);
	return true;
}

static bool read_budgets(struct agent_config *c, json_t v, const struct member *m,
			 struct settings_fault *fault)
{
	struct json_iter it = json_iter(v);
	struct slice key;
	bool fine = json_kind(v) == JSON_OBJECT;
	for (json_t one; fine && (one = json_next(&it, &key));)
		fine = slice_is(key, "run") ? budget_limits_read(one, &c->run_budget)
		       : slice_is(key, "session")
			       ? budget_limits_read(one, &c->session_budget)
			       : false;
	return fine || wrong(fault, m,
			     "must hold limits (tokens, costMicros, calls, seconds: "
			     "whole numbers above 0) of a 'run' or 'session'");
}

/* As the door's embeddings take it. */
static bool read_embedding(struct agent_config *c, json_t v, const struct member *m,
			   struct settings_fault *fault)
{
	struct slice s = json_str(v);
	const char *slash = s.n ? memchr(s.p, '/', s.n) : NULL;
	bool named = slash && slash > s.p && slash < s.p + s.n - 1;
	(void)c;
	return (slice_is(s, "offline") || (named && (int64_t)s.n <= m->high)) ||
	       wrong(fault, m, "must be PROVIDER/NAME, or offline");
}

static bool read_webhook(struct agent_config *c, json_t v, const struct member *m,
			 struct settings_fault *fault)
{
	char why[160];
	(void)c;
	return webhook_check(v, why, sizeof why) || wrong(fault, m, "%s", why);
}

/* ---- the table */

static const struct member members[] = {
#define MEMBER(name, reader, low, high, words) {name, reader, low, high, words, false},
#define DOOR(name, reader, low, high, words) {name, reader, low, high, words, true},
#include "proto/model/agent_config.tbl"
#undef MEMBER
#undef DOOR
};

static const struct member *find(struct slice name)
{
	for (size_t i = 0; i < ARRAY_LEN(members); i++)
		if (slice_is(name, members[i].name))
			return &members[i];
	return NULL;
}

const char *agent_name_problem(struct slice name)
{
	struct uuid id;
	if (!name.n || name.n > NAME_BYTES)
		return "must be a text of 1 to 63 bytes";
	if (!slice_is_utf8(name) || slice_has_control(name))
		return "must be text without control characters";
	if (slice_trim(name).n != name.n)
		return "must not begin or end with a blank";
	if (memchr(name.p, '/', name.n))
		return "must not hold a '/'";
	return uuid_parse(name, &id) ? "must not look like an id" : NULL;
}

bool agent_config_knows(struct slice name)
{
	return find(name) || model_setting_exists(name, SETTINGS_AGENT);
}

static bool read_member(struct agent_config *c, struct slice name, json_t v, bool door,
			struct settings_fault *fault)
{
	const struct member *m = find(name);
	if (json_kind(v) == JSON_NULL || (m && m->door && !door))
		return true;
	if (m)
		return m->read(c, v, m, fault);
	return !model_setting_exists(name, SETTINGS_AGENT) ||
	       model_settings_read(&c->settings, name, v, SETTINGS_AGENT, fault);
}

bool agent_config_read(struct agent_config *c, json_t object, bool door,
		       struct settings_fault *fault)
{
	struct json_iter it = json_iter(object);
	struct slice name;
	struct settings_fault more, *where = fault;
	if (json_kind(object) != JSON_OBJECT) {
		*fault = (struct settings_fault){.message = "it is no object"};
		return false;
	}
	for (json_t v; (v = json_next(&it, &name));)
		if (!read_member(c, name, v, door, where))
			where = &more; /* it is the first that is told */
	return where == fault;
}

void agent_config_init(struct agent_config *c)
{
	*c = (struct agent_config){.system = xstrdup("")};
	model_settings_init(&c->settings);
	c->tool_set = ~0ull >> (CATALOG_MOST - catalog_count());
}

void agent_config_fini(struct agent_config *c)
{
	model_settings_fini(&c->settings);
	json_free(c->skills);
	free(c->system);
	c->skills = NULL;
	c->system = NULL;
}
