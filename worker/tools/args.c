/* SPDX-License-Identifier: Apache-2.0
 * The schema walk; recursion is bounded by the schema, which is ours. */
#include "worker/tools/args.h"

#include <stdio.h>
#include <string.h>

#include "common/attr.h"

struct place {
	const struct place *up;
	const char *name; /* NULL: an element */
	size_t name_len, index;
};

struct report {
	char *text;
	size_t size;
};

static size_t print_place(char *out, size_t size, const struct place *at)
{
	size_t n = 0;
	if (!at)
		return 0;
	n = print_place(out, size, at->up);
	if (n >= size)
		return n;
	if (at->name)
		return n + (size_t)snprintf(out + n, size - n, "%s%.*s", n ? "." : "",
					    (int)(at->name_len > 60 ? 60 : at->name_len),
					    at->name);
	return n + (size_t)snprintf(out + n, size - n, "[%zu]", at->index);
}

static enum err refuse(const struct report *r, const struct place *at, const char *what)
{
	char name[200] = "";
	print_place(name, sizeof name, at);
	snprintf(r->text, r->size, "argument '%s' %s", name[0] ? name : "(all)", what);
	return ERR_TOOL_ARGUMENTS;
}

static bool has_type(json_t v, struct slice type)
{
	int64_t n;
	enum json_kind k = json_kind(v);
	return (slice_is(type, "string") && k == JSON_STRING) ||
	       (slice_is(type, "object") && k == JSON_OBJECT) ||
	       (slice_is(type, "array") && k == JSON_ARRAY) ||
	       (slice_is(type, "boolean") && k == JSON_BOOL) ||
	       (slice_is(type, "number") && k == JSON_NUMBER) ||
	       (slice_is(type, "integer") && json_i64(v, &n));
}

static enum err check_value(json_t schema, json_t v, const struct place *at,
			    const struct report *r);

static enum err check_bounds(json_t schema, json_t v, const struct place *at,
			     const struct report *r)
{
	static const struct {
		const char *word, *what;
		enum json_kind kind;
		int sign; /* 1: at most, -1: at least */
	} bounds[] = {
		{"minLength", "has at least %lld bytes", JSON_STRING, -1},
		{"maxLength", "has at most %lld bytes", JSON_STRING, 1},
		{"minItems", "has at least %lld elements", JSON_ARRAY, -1},
		{"maxItems", "has at most %lld elements", JSON_ARRAY, 1},
		{"minimum", "is at least %lld", JSON_NUMBER, -1},
		{"maximum", "is at most %lld", JSON_NUMBER, 1},
	};
	enum json_kind k = json_kind(v);
	double have = k == JSON_STRING  ? (double)json_str(v).n
		      : k == JSON_ARRAY ? (double)json_len(v)
					: json_double(v, 0);
	for (size_t i = 0; i < ARRAY_LEN(bounds); i++) {
		int64_t limit;
		char what[80], must[120];
		if (bounds[i].kind != k ||
		    !json_i64(json_get(schema, bounds[i].word), &limit) ||
		    (have - (double)limit) * bounds[i].sign <= 0)
			continue;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(what, sizeof what, bounds[i].what, (long long)limit);
#pragma GCC diagnostic pop
		snprintf(must, sizeof must, "is out of bounds: it %s", what);
		return refuse(r, at, must);
	}
	return ERR_OK;
}

static enum err check_enum(json_t schema, json_t v, const struct place *at,
			   const struct report *r)
{
	json_t words = json_get(schema, "enum");
	char what[300];
	size_t n;
	struct json_iter it = json_iter(words);
	if (json_kind(words) != JSON_ARRAY)
		return ERR_OK;
	n = (size_t)snprintf(what, sizeof what, "must be one of");
	for (json_t w; (w = json_next(&it, NULL));) {
		if (slice_eq(json_str(w), json_str(v)) && json_kind(v) == JSON_STRING)
			return ERR_OK;
		if (n < sizeof what)
			n += (size_t)snprintf(what + n, sizeof what - n, " %.*s",
					      SLICE_ARG(json_str(w)));
	}
	return refuse(r, at, what);
}

static enum err check_object(json_t schema, json_t v, const struct place *at,
			     const struct report *r)
{
	json_t properties = json_get(schema, "properties");
	struct json_iter it = json_iter(json_get(schema, "required"));
	for (json_t w; (w = json_next(&it, NULL));) {
		struct slice name = json_str(w);
		struct place here = {.up = at, .name = name.p, .name_len = name.n};
		if (!json_get(v, json_cstr(w, "")))
			return refuse(r, &here, "is missing");
	}
	struct slice key;
	it = json_iter(v);
	for (json_t member; (member = json_next(&it, &key));) {
		struct place here = {.up = at, .name = key.p, .name_len = key.n};
		char name[128];
		snprintf(name, sizeof name, "%.*s", SLICE_ARG(key));
		json_t sub = key.n < sizeof name ? json_get(properties, name) : NULL;
		if (!sub && !json_bool(json_get(schema, "additionalProperties"), true))
			return refuse(r, &here, "is not known to this tool");
		enum err e = sub ? check_value(sub, member, &here, r) : ERR_OK;
		if (e)
			return e;
	}
	return ERR_OK;
}

static enum err check_items(json_t schema, json_t v, const struct place *at,
			    const struct report *r)
{
	json_t items = json_get(schema, "items");
	struct json_iter it = json_iter(v);
	size_t i = 0;
	for (json_t x; items && (x = json_next(&it, NULL)); i++) {
		struct place here = {.up = at, .index = i};
		enum err e = check_value(items, x, &here, r);
		if (e)
			return e;
	}
	return ERR_OK;
}

static enum err check_value(json_t schema, json_t v, const struct place *at,
			    const struct report *r)
{
	struct slice type = json_str(json_get(schema, "type"));
	char what[64];
	enum err e;
	if (type.n && !has_type(v, type)) {
		snprintf(what, sizeof what, "must be of type %.*s", SLICE_ARG(type));
		return refuse(r, at, what);
	}
	e = check_bounds(schema, v, at, r);
	if (!e)
		e = check_enum(schema, v, at, r);
	if (!e && json_kind(v) == JSON_OBJECT)
		e = check_object(schema, v, at, r);
	if (!e && json_kind(v) == JSON_ARRAY)
		e = check_items(schema, v, at, r);
	return e;
}

enum err args_check(json_t schema, json_t args, char *err, size_t err_size)
{
	struct report r = {err, err_size};
	if (json_kind(args) != JSON_OBJECT) {
		snprintf(err, err_size, "the arguments must be a JSON object");
		return ERR_TOOL_ARGUMENTS;
	}
	return check_value(schema, args, NULL, &r);
}
