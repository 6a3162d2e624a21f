/* SPDX-License-Identifier: Apache-2.0
 * Reading JSON with yyjson, after a look at size and depth that costs no recursion. */
#include <stdio.h>
#include <stdlib.h>
#include <yyjson.h>

#include "common/alloc.h"
#include "common/json.h"

struct json_doc {
	yyjson_doc *doc;
};

/* The handles of the interface are yyjson's values. */
static yyjson_val *val(json_t v)
{
	union {
		json_t in;
		yyjson_val *out;
	} u = {.in = v};
	return u.out;
}

static json_t handle(yyjson_val *v)
{
	union {
		yyjson_val *in;
		json_t out;
	} u = {.in = v};
	return u.out;
}

static void say(char *err, size_t err_size, const char *what, size_t at)
{
	if (err && err_size)
		snprintf(err, err_size, "%s at byte %zu", what, at);
}

/* The quote that ends the string which begins at `from`; NULL: none. */
static const char *string_end(const char *from, const char *end)
{
	const char *q = from;
	while ((q = memchr(q, '"', (size_t)(end - q))) != NULL) {
		const char *before = q;
		while (before > from && before[-1] == '\\')
			before--;
		if ((q - before) % 2 == 0)
			return q;
		q++;
	}
	return NULL;
}

/* Nesting outside of strings; the parser judges everything else. */
static bool depth_fits(struct slice text, size_t *at)
{
	unsigned depth = 0;
	const char *end = text.n ? text.p + text.n : text.p;
	for (const char *p = text.p; p < end; p++) {
		if (*p == '"') {
			p = string_end(p + 1, end);
			if (!p)
				return true;
		} else if (*p == '[' || *p == '{') {
			if (++depth > JSON_MAX_DEPTH) {
				*at = (size_t)(p - text.p);
				return false;
			}
		} else if ((*p == ']' || *p == '}') && depth > 0) {
			depth--;
		}
	}
	return true;
}

static bool has_nul(yyjson_val *v)
{
	return yyjson_is_str(v) &&
	       memchr(yyjson_get_str(v), 0, yyjson_get_len(v)) != NULL;
}

/* Every value of a document lies in one array, keys included. */
static bool any_nul(yyjson_doc *doc)
{
	yyjson_val *v = yyjson_doc_get_root(doc);
	size_t n = yyjson_doc_get_val_count(doc);
	for (size_t i = 0; i < n; i++)
		if (has_nul(v + i))
			return true;
	return false;
}

static struct json_doc *parse(struct slice text, size_t max_bytes, char *err,
			      size_t err_size)
{
	size_t at = 0;
	if (text.n > max_bytes) {
		if (err && err_size)
			snprintf(err, err_size,
				 "%zu bytes of JSON, at most %zu are taken", text.n,
				 max_bytes);
		return NULL;
	}
	if (!depth_fits(text, &at)) {
		say(err, err_size, "nested deeper than 64", at);
		return NULL;
	}
	yyjson_read_err why;
	yyjson_doc *doc =
		yyjson_read_opts((char *)(uintptr_t)text.p, text.n, 0, NULL, &why);
	if (!doc) {
		say(err, err_size, why.msg ? why.msg : "malformed JSON", why.pos);
		return NULL;
	}
	if (any_nul(doc)) {
		if (err && err_size)
			snprintf(err, err_size, "U+0000 in a string cannot be stored");
		yyjson_doc_free(doc);
		return NULL;
	}
	struct json_doc *d = xmalloc(sizeof *d);
	d->doc = doc;
	return d;
}

struct json_doc *json_parse(struct slice text, size_t max_bytes, char *err,
			    size_t err_size)
{
	return parse(text, max_bytes, err, err_size);
}

static int by_key(const void *a, const void *b)
{
	yyjson_val *x, *y;
	memcpy(&x, a, sizeof x);
	memcpy(&y, b, sizeof y);
	size_t nx = yyjson_get_len(x), ny = yyjson_get_len(y);
	int order = memcmp(yyjson_get_str(x), yyjson_get_str(y), nx < ny ? nx : ny);
	return order ? order : (nx > ny) - (nx < ny);
}

/* The first key an object names twice; NULL when there is none. */
static yyjson_val *repeated_key(yyjson_val *obj)
{
	size_t n = yyjson_obj_size(obj), i, max;
	yyjson_val *key, *value;
	if (n < 2)
		return NULL;
	AUTO(auto_free) yyjson_val **keys = xmalloc(n * sizeof(yyjson_val *));
	yyjson_obj_foreach(obj, i, max, key, value) keys[i] = key;
	qsort(keys, n, sizeof(yyjson_val *), by_key);
	for (i = 1; i < n; i++)
		if (by_key(&keys[i - 1], &keys[i]) == 0)
			return keys[i];
	return NULL;
}

struct json_doc *json_parse_unique(struct slice text, size_t max_bytes, char *err,
				   size_t err_size)
{
	struct json_doc *d = parse(text, max_bytes, err, err_size);
	if (!d)
		return NULL;
	yyjson_val *v = yyjson_doc_get_root(d->doc);
	size_t n = yyjson_doc_get_val_count(d->doc);
	for (size_t i = 0; i < n; i++) {
		yyjson_val *key = yyjson_is_obj(v + i) ? repeated_key(v + i) : NULL;
		if (!key)
			continue;
		if (err && err_size)
			snprintf(err, err_size,
				 "the key \"%.60s\" stands twice in an object",
				 yyjson_get_str(key));
		json_free(d);
		return NULL;
	}
	return d;
}

void json_free(struct json_doc *d)
{
	if (!d)
		return;
	yyjson_doc_free(d->doc);
	free(d);
}

void auto_json_free(struct json_doc **d)
{
	json_free(*d);
}

json_t json_root(const struct json_doc *d)
{
	return d ? handle(yyjson_doc_get_root(d->doc)) : NULL;
}

enum json_kind json_kind(json_t v)
{
	switch (yyjson_get_type(val(v))) {
	case YYJSON_TYPE_NULL:
		return JSON_NULL;
	case YYJSON_TYPE_BOOL:
		return JSON_BOOL;
	case YYJSON_TYPE_NUM:
		return JSON_NUMBER;
	case YYJSON_TYPE_STR:
		return JSON_STRING;
	case YYJSON_TYPE_ARR:
		return JSON_ARRAY;
	case YYJSON_TYPE_OBJ:
		return JSON_OBJECT;
	default:
		return JSON_ABSENT;
	}
}

json_t json_get(json_t v, const char *key)
{
	return handle(yyjson_obj_get(val(v), key));
}

size_t json_len(json_t v)
{
	yyjson_val *y = val(v);
	return yyjson_is_arr(y)   ? yyjson_arr_size(y)
	       : yyjson_is_obj(y) ? yyjson_obj_size(y)
				  : 0;
}

json_t json_at(json_t v, size_t i)
{
	yyjson_val *y = val(v);
	if (yyjson_is_arr(y))
		return handle(yyjson_arr_get(y, i));
	struct json_iter it = json_iter(v);
	json_t found = json_next(&it, NULL);
	while (found && i--)
		found = json_next(&it, NULL);
	return found;
}

struct slice json_str(json_t v)
{
	yyjson_val *y = val(v);
	return yyjson_is_str(y) ? slice_of(yyjson_get_str(y), yyjson_get_len(y))
				: SLICE_NONE;
}

const char *json_cstr(json_t v, const char *otherwise)
{
	return yyjson_is_str(val(v)) ? yyjson_get_str(val(v)) : otherwise;
}

bool json_bool(json_t v, bool otherwise)
{
	return yyjson_is_bool(val(v)) ? yyjson_get_bool(val(v)) : otherwise;
}

bool json_i64(json_t v, int64_t *out)
{
	yyjson_val *y = val(v);
	if (yyjson_is_uint(y) && yyjson_get_uint(y) > INT64_MAX)
		return false;
	if (!yyjson_is_int(y))
		return false;
	*out = yyjson_get_sint(y);
	return true;
}

double json_double(json_t v, double otherwise)
{
	yyjson_val *y = val(v);
	return yyjson_is_num(y) ? yyjson_get_num(y) : otherwise;
}

struct json_iter json_iter(json_t container)
{
	return (struct json_iter){.container = container};
}

json_t json_next(struct json_iter *it, struct slice *key)
{
	yyjson_val *c = val(it->container), *k = it->cursor;
	if (it->index >= json_len(it->container))
		return NULL;
	if (it->index++ == 0)
		k = unsafe_yyjson_get_first(c);
	yyjson_val *value = k;
	if (yyjson_is_obj(c)) {
		if (key)
			*key = slice_of(yyjson_get_str(k), yyjson_get_len(k));
		value = k + 1;
	}
	it->cursor = unsafe_yyjson_get_next(value);
	return handle(value);
}

void json_print(struct strbuf *out, json_t v)
{
	size_t n = 0;
	char *text = yyjson_val_write(val(v), 0, &n);
	strbuf_add(out, text ? text : "null", text ? n : 4);
	free(text);
}
