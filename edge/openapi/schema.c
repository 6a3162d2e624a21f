/* SPDX-License-Identifier: Apache-2.0
 * Types and objects, from their short form. */
#include "edge/openapi/schema.h"

#include <string.h>

#include "common/arena.h"
#include "common/attr.h"
#include "common/die.h"
#include "edge/client_tools.h"

struct named {
	const char *name, *form;
	bool is_object;
};
struct member {
	const char *name, *type;
};

static const struct named schemas[] = {
#define OBJECT(name, members) {#name, members, true},
#define ALIAS(name, type) {#name, type, false},
#include "edge/openapi/schemas.tbl"
#undef ALIAS
#undef OBJECT
};

/* ---- what other tables of the product say */

#define TYPE_read_model "string"
#define TYPE_read_fallbacks "[string]"
#define TYPE_read_temperature "num"
#define TYPE_read_top_p "num"
#define TYPE_read_max_tokens "int"
#define TYPE_read_stop "string|[string]"
#define TYPE_read_effort "'none,minimal,low,medium,high'"
#define TYPE_read_schema "object"
#define TYPE_read_system "string"
#define TYPE_read_tools "[string]"
#define TYPE_read_budget "object"
#define TYPE_read_metadata "object"
#define TYPE_read_number "int"
#define TYPE_read_window "int"
#define TYPE_read_bytes "int"
#define TYPE_read_files "int"
#define TYPE_read_skills "[string]"
#define TYPE_read_budgets "object"
#define TYPE_read_webhook "Webhook"
#define TYPE_read_embedding "string"
#define TYPE_read_word ""
#define TYPE_read_workspace ""

enum setting_of { OF_RUN = 1, OF_AGENT = 2, OF_BOTH = 3 };
static const struct setting {
	struct member member;
	enum setting_of of;
	const char *words; /* one of these, with | between them; then it has no type */
} settings[] = {
#define SETTING(name, reader, where) {{name, TYPE_##reader}, OF_##where, ""},
#include "proto/model/settings.tbl"
#undef SETTING
#define MEMBER(name, reader, low, high, words) {{name, TYPE_##reader}, OF_AGENT, words},
#define DOOR(name, reader, low, high, words) MEMBER(name, reader, low, high, words)
#include "proto/model/agent_config.tbl"
#undef DOOR
#undef MEMBER
};
/* What stands for the settings of one kind where an object says `...Name`. */
static const struct {
	const char *name;
	enum setting_of of;
	bool or_null;
} groups[] = {{"RunSettings", OF_RUN, false},
	      {"AgentSettings", OF_AGENT, false},
	      {"AgentChanges", OF_AGENT, true}};

/* ---- types */

static const struct {
	const char *word, *type, *format;
} primitives[] = {{"string", "string", NULL},    {"int", "integer", NULL},
		  {"num", "number", NULL},       {"bool", "boolean", NULL},
		  {"uuid", "string", "uuid"},    {"time", "string", "date-time"},
		  {"bytes", "string", "base64"}, {"object", "object", NULL},
		  {"null", "null", NULL},        {"any", NULL, NULL}};

/* Where the first alternative ends: brackets and quotes hold what stands in them. */
static size_t alternative(struct slice type)
{
	int depth = 0;
	bool quoted = false;
	for (size_t i = 0; i < type.n; i++) {
		char c = type.p[i];
		quoted ^= c == '\'';
		depth += !quoted && (c == '[' || c == '{');
		depth -= !quoted && (c == ']' || c == '}');
		if (c == '|' && !quoted && depth == 0)
			return i;
	}
	return type.n;
}

static void put_words(struct json_out *o, struct slice words, char between)
{
	json_kv_cstr(o, "type", "string");
	json_key(o, "enum");
	json_arr(o);
	while (words.p)
		json_put_str(o, slice_cut(&words, between));
	json_arr_end(o);
}

/* Of so many bytes: it has no more characters, which are what a schema counts. */
static void put_bounded(struct json_out *o, struct slice most)
{
	long long n = 0;
	if (!slice_to_i64(most, &n))
		panic("a length that is no number");
	json_kv_cstr(o, "type", "string");
	json_kv_i64(o, "maxLength", n);
}

static void put_primitive(struct json_out *o, struct slice word)
{
	for (size_t i = 0; i < ARRAY_LEN(primitives); i++) {
		if (!slice_is(word, primitives[i].word))
			continue;
		if (primitives[i].type)
			json_kv_cstr(o, "type", primitives[i].type);
		if (primitives[i].format && strcmp(primitives[i].format, "base64") != 0)
			json_kv_cstr(o, "format", primitives[i].format);
		else if (primitives[i].format)
			json_kv_cstr(o, "contentEncoding", "base64");
		return;
	}
	panic("a type that schema.c does not know");
}

static void put_reference(struct json_out *o, struct slice name)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	for (size_t i = 0; i < ARRAY_LEN(schemas); i++) {
		if (!slice_is(name, schemas[i].name))
			continue;
		strbuf_printf(&b, "#/components/schemas/%s", schemas[i].name);
		json_kv_str(o, "$ref", strbuf_slice(&b));
		return;
	}
	panic("a schema that schemas.tbl lacks");
}

static void put_single(struct json_out *o, struct slice type)
{
	struct slice inner = slice_of(type.p + 1, type.n < 2 ? 0 : type.n - 2);
	check(type.n > 0);
	json_obj(o);
	if (type.p[0] == '[') {
		json_kv_cstr(o, "type", "array");
		json_key(o, "items");
		schema_put(o, inner);
	} else if (type.p[0] == '{') {
		json_kv_cstr(o, "type", "object");
		json_key(o, "additionalProperties");
		schema_put(o, inner);
	} else if (type.p[0] == '\'') {
		put_words(o, inner, ',');
	} else if (type.p[0] >= 'A' && type.p[0] <= 'Z') {
		put_reference(o, type);
	} else if (slice_has_prefix(type, SLICE("string<="))) {
		put_bounded(o, slice_of(type.p + 8, type.n - 8));
	} else {
		put_primitive(o, type);
	}
	json_obj_end(o);
}

void schema_put(struct json_out *o, struct slice type)
{
	size_t n = alternative(type);
	if (n == type.n) {
		put_single(o, type);
		return;
	}
	json_obj(o);
	json_key(o, "anyOf");
	json_arr(o);
	while (type.n) {
		n = alternative(type);
		put_single(o, slice_of(type.p, n));
		type = n < type.n ? slice_of(type.p + n + 1, type.n - n - 1) : SLICE_NONE;
	}
	json_arr_end(o);
	json_obj_end(o);
}

/* ---- objects */

enum part { PART_PROPERTIES, PART_REQUIRED };

static void put_members(struct json_out *o, const char *members, enum part part);

static void put_setting_type(struct json_out *o, const struct setting *s)
{
	if (!s->words[0]) {
		schema_put(o, slice_str(s->member.type));
		return;
	}
	json_obj(o);
	put_words(o, slice_str(s->words), '|');
	json_obj_end(o);
}

static void put_setting(struct json_out *o, const struct setting *s, bool or_null)
{
	json_key(o, s->member.name);
	if (!or_null) {
		put_setting_type(o, s);
		return;
	}
	json_obj(o);
	json_key(o, "anyOf");
	json_arr(o);
	put_setting_type(o, s);
	schema_put(o, SLICE("null"));
	json_arr_end(o);
	json_obj_end(o);
}

static bool put_group(struct json_out *o, struct slice name, enum part part)
{
	for (size_t g = 0; g < ARRAY_LEN(groups); g++) {
		if (!slice_is(name, groups[g].name))
			continue;
		for (size_t i = 0; i < ARRAY_LEN(settings); i++)
			if (part == PART_PROPERTIES && settings[i].of & groups[g].of)
				put_setting(o, &settings[i], groups[g].or_null);
		return true;
	}
	return false;
}

static void put_spread(struct json_out *o, struct slice name, enum part part)
{
	if (put_group(o, name, part))
		return;
	for (size_t i = 0; i < ARRAY_LEN(schemas); i++) {
		if (slice_is(name, schemas[i].name)) {
			put_members(o, schemas[i].form, part);
			return;
		}
	}
	panic("members of an object that schemas.tbl lacks");
}

static void put_member(struct json_out *o, struct slice name, struct slice type,
		       enum part part)
{
	char text[64];
	bool optional = name.n && name.p[name.n - 1] == '?';
	name.n -= optional;
	check(name.n > 0 && name.n < sizeof text && type.p);
	if (part == PART_REQUIRED) {
		if (!optional)
			json_put_str(o, name);
		return;
	}
	memcpy(text, name.p, name.n);
	text[name.n] = 0;
	json_key(o, text);
	schema_put(o, type);
}

/* The end of a member: words in quotes may hold spaces. */
static struct slice next_member(struct slice *rest)
{
	bool quoted = false;
	size_t i = 0;
	while (rest->n && rest->p[0] == ' ')
		*rest = slice_of(rest->p + 1, rest->n - 1);
	for (; i < rest->n && (quoted || rest->p[i] != ' '); i++)
		quoted ^= rest->p[i] == '\'';
	struct slice member = slice_of(rest->p, i);
	*rest = slice_of(rest->p + i, rest->n - i);
	return member;
}

static void put_members(struct json_out *o, const char *members, enum part part)
{
	struct slice rest = slice_str(members), m;
	while ((m = next_member(&rest)).n) {
		if (slice_has_prefix(m, SLICE("..."))) {
			put_spread(o, slice_of(m.p + 3, m.n - 3), part);
			continue;
		}
		struct slice name = slice_cut(&m, ':');
		put_member(o, name, m, part);
	}
}

static void put_object(struct json_out *o, const char *members)
{
	json_obj(o);
	json_kv_cstr(o, "type", "object");
	json_key(o, "properties");
	json_obj(o);
	put_members(o, members, PART_PROPERTIES);
	json_obj_end(o);
	json_key(o, "required");
	json_arr(o);
	put_members(o, members, PART_REQUIRED);
	json_arr_end(o);
	json_obj_end(o);
}

void schema_put_all(struct json_out *o)
{
	for (size_t i = 0; i < ARRAY_LEN(schemas); i++) {
		json_key(o, schemas[i].name);
		if (schemas[i].is_object)
			put_object(o, schemas[i].form);
		else
			schema_put(o, slice_str(schemas[i].form));
	}
}

bool schema_is_needed(struct slice body)
{
	const struct named *s = NULL;
	for (size_t i = 0; i < ARRAY_LEN(schemas); i++)
		if (slice_is(body, schemas[i].name))
			s = &schemas[i];
	if (!s || !s->is_object)
		return !slice_is(body, "bytes"); /* a file may be empty */
	struct slice rest = slice_str(s->form);
	while (rest.n) {
		struct slice member = slice_cut(&rest, ' ');
		struct slice name = slice_cut(&member, ':');
		if (member.p && name.n && name.p[name.n - 1] != '?')
			return true;
	}
	return false;
}
