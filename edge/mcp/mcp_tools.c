/* SPDX-License-Identifier: Apache-2.0
 * The table, its list, and the check of arguments against it. */
#include "edge/mcp/mcp_tools.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/attr.h"
#include "edge/mcp/mcp_call.h"

static const struct mcp_tool tools[] = {
#define MCP_TOOL(name, scopes, reads, title, description, takes, gives)                  \
	{#name, scopes, reads, title, description, takes, gives, mcp_##name},
#include "edge/mcp/mcp_tools.tbl"
#undef MCP_TOOL
};

static bool may_use(const struct mcp_tool *t, unsigned scopes)
{
	return scopes & (t->scopes | SCOPE_ADMIN);
}

const struct mcp_tool *mcp_tool_find(struct slice name, unsigned scopes)
{
	for (size_t i = 0; i < ARRAY_LEN(tools); i++)
		if (slice_is(name, tools[i].name) && may_use(&tools[i], scopes))
			return &tools[i];
	return NULL;
}

/* ---- the list */

static void put_schema(struct json_out *o, const char *key, const char *members,
		       bool closed)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	strbuf_printf(&b,
		      "{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\","
		      "\"type\":\"object\",%s%s}",
		      members, closed ? ",\"additionalProperties\":false" : "");
	json_kv_raw(o, key, strbuf_slice(&b));
}

static void put_tool(struct json_out *o, const struct mcp_tool *t)
{
	json_obj(o);
	json_kv_cstr(o, "name", t->name);
	json_kv_cstr(o, "title", t->title);
	json_kv_cstr(o, "description", t->description);
	put_schema(o, "inputSchema", t->takes, true);
	put_schema(o, "outputSchema", t->gives, false);
	json_key(o, "annotations");
	json_obj(o);
	json_kv_bool(o, "readOnlyHint", t->reads);
	json_kv_bool(o, "openWorldHint", false);
	json_obj_end(o);
	json_obj_end(o);
}

void mcp_tools_put(struct json_out *o, unsigned scopes)
{
	json_arr(o);
	for (size_t i = 0; i < ARRAY_LEN(tools); i++)
		if (may_use(&tools[i], scopes))
			put_tool(o, &tools[i]);
	json_arr_end(o);
}

/* ---- arguments */

struct check {
	char *why;
	size_t size;
};

PRINTF_LIKE(2, 3) static bool wrong(const struct check *k, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(k->why, k->size, fmt, ap);
	va_end(ap);
	return false;
}

static int64_t bound(json_t schema, const char *name, int64_t otherwise)
{
	json_i64(json_get(schema, name), &otherwise);
	return otherwise;
}

static bool is_one_of(json_t words, struct slice s)
{
	struct json_iter it = json_iter(words);
	for (json_t w; (w = json_next(&it, NULL));)
		if (slice_eq(json_str(w), s))
			return true;
	return !words;
}

static bool check_text(const struct check *k, const char *name, json_t schema, json_t v)
{
	struct slice s = json_str(v);
	int64_t least = bound(schema, "minLength", 0),
		most = bound(schema, "maxLength", INT64_MAX);
	if (!s.p || (int64_t)s.n < least || (int64_t)s.n > most)
		return wrong(k, "%s must be a string of %lld to %lld bytes", name,
			     (long long)least, (long long)most);
	return is_one_of(json_get(schema, "enum"), s) ||
	       wrong(k, "%s must be one of the words that its schema names", name);
}

static bool check_number(const struct check *k, const char *name, json_t schema, json_t v)
{
	int64_t n, least = bound(schema, "minimum", INT64_MIN),
		   most = bound(schema, "maximum", INT64_MAX);
	return (json_i64(v, &n) && n >= least && n <= most) ||
	       wrong(k, "%s must be an integer from %lld to %lld", name, (long long)least,
		     (long long)most);
}

static bool check_list(const struct check *k, const char *name, json_t schema, json_t v)
{
	struct json_iter it = json_iter(v);
	bool fits = json_kind(v) == JSON_ARRAY &&
		    (int64_t)json_len(v) <= bound(schema, "maxItems", INT64_MAX);
	for (json_t item; fits && (item = json_next(&it, NULL));)
		fits = check_text(k, name, json_get(schema, "items"), item);
	return fits || wrong(k, "%s must be a list of strings, as its schema says", name);
}

static bool check_arg(const struct check *k, const char *name, json_t schema, json_t v)
{
	struct slice type = json_str(json_get(schema, "type"));
	if (slice_is(type, "string"))
		return check_text(k, name, schema, v);
	if (slice_is(type, "integer"))
		return check_number(k, name, schema, v);
	if (slice_is(type, "array"))
		return check_list(k, name, schema, v);
	return json_kind(v) == JSON_BOOL || wrong(k, "%s must be true or false", name);
}

static bool check_all(const struct check *k, json_t schema, json_t args)
{
	struct json_iter it = json_iter(args),
			 need = json_iter(json_get(schema, "required"));
	json_t v, properties = json_get(schema, "properties");
	struct slice key;
	while ((v = json_next(&it, &key))) {
		char name[64];
		snprintf(name, sizeof name, "%.*s", (int)(key.n < 63 ? key.n : 63),
			 key.p);
		json_t known = json_get(properties, name);
		if (!known)
			return wrong(k, "there is no argument \"%s\"", name);
		if (!check_arg(k, name, known, v))
			return false;
	}
	while ((v = json_next(&need, NULL)))
		if (!json_get(args, json_cstr(v, "")))
			return wrong(k, "%s is missing", json_cstr(v, ""));
	return true;
}

bool mcp_args_check(const struct mcp_tool *t, json_t args, char *why, size_t size)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct check k = {why, size};
	if (args && json_kind(args) != JSON_OBJECT)
		return wrong(&k, "arguments must be an object");
	strbuf_printf(&b, "{%s}", t->takes);
	AUTO(auto_json_free)
	struct json_doc *doc = json_parse(strbuf_slice(&b), b.n, NULL, 0);
	return check_all(&k, json_root(doc), args);
}
