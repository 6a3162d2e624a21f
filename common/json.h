/* SPDX-License-Identifier: Apache-2.0
 * JSON: reading (the home of yyjson) and streaming writing.
 * Reading refuses, before it parses, what is larger than its limit or nested deeper than
 * 64; the text must be strict RFC 8259 in valid UTF-8. Values borrow from the document.
 */
#ifndef TB_JSON_H
#define TB_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/slice.h"
#include "common/strbuf.h"

#define JSON_MAX_DEPTH 64

struct json_doc;
/* An opaque value inside a document; NULL stands for "absent" in every reading function,
 * so look-ups chain. */
typedef const struct json_value *json_t;

enum json_kind {
	JSON_ABSENT,
	JSON_NULL,
	JSON_BOOL,
	JSON_NUMBER,
	JSON_STRING,
	JSON_ARRAY,
	JSON_OBJECT
};

/* Parses a copy of text (the text need not outlive the call). On failure returns NULL and
 * writes one sentence with the byte position to err (which may be NULL). U+0000 in a
 * string is refused (Postgres cannot keep it). */
struct json_doc *json_parse(struct slice text, size_t max_bytes, char *err,
			    size_t err_size);
/* As json_parse, but an object that names a key twice is refused: for policies and
 * credentials. */
struct json_doc *json_parse_unique(struct slice text, size_t max_bytes, char *err,
				   size_t err_size);
void json_free(struct json_doc *d);
void auto_json_free(struct json_doc **d);
json_t json_root(const struct json_doc *d);

enum json_kind json_kind(json_t v);
/* The member of an object; NULL when v is no object or has none. */
json_t json_get(json_t v, const char *key);
/* Elements of an array or members of an object; 0 for anything else. */
size_t json_len(json_t v);
/* The i-th element of an array (or member value of an object), O(1) amortised when walked
 * in order by json_iter. */
json_t json_at(json_t v, size_t i);
/* The string; SLICE_NONE (p == NULL) when v is no string. NUL-terminated by the document.
 */
struct slice json_str(json_t v);
/* A string's C form, or `otherwise`. */
const char *json_cstr(json_t v, const char *otherwise);
bool json_bool(json_t v, bool otherwise);
/* An integer that fits; false (and *out untouched) for anything else, 1.5 and 1e3
 * included. */
bool json_i64(json_t v, int64_t *out);
/* Any number; `otherwise` for anything else. */
double json_double(json_t v, double otherwise);

struct json_iter {
	json_t container;
	size_t index;
	void *cursor;
};
struct json_iter json_iter(json_t container);
/* The next element; for objects *key (may be NULL) gets the member's name. NULL at the
 * end. */
json_t json_next(struct json_iter *it, struct slice *key);
/* Appends the value's JSON text. */
void json_print(struct strbuf *out, json_t v);

/* Likewise, the members of objects in the order that Postgres gives them (jsonb): what is
 * written so reads the same when it comes back from there. */
void json_print_ordered(struct strbuf *out, json_t v);

/* ---- writing: appends to a strbuf, inserts commas, escapes. Nesting is the caller's to
 * balance (checked). */
struct json_out {
	struct strbuf *b;
	unsigned depth;
	bool comma; /* a value was written at this level */
};
struct json_out json_out(struct strbuf *b);
void json_obj(struct json_out *o);
void json_obj_end(struct json_out *o);
void json_arr(struct json_out *o);
void json_arr_end(struct json_out *o);
void json_key(struct json_out *o, const char *key);
void json_put_str(struct json_out *o,
		  struct slice s); /* invalid UTF-8 becomes U+FFFD, U+0000 vanishes */
void json_put_cstr(struct json_out *o, const char *s); /* NULL writes null */
void json_put_i64(struct json_out *o, int64_t v);
void json_put_double(struct json_out *o, double v);
void json_put_bool(struct json_out *o, bool v);
void json_put_null(struct json_out *o);
/* Text that already is one JSON value. */
void json_put_raw(struct json_out *o, struct slice json);
void json_put_value(struct json_out *o, json_t v);
/* key and value in one call. */
void json_kv_str(struct json_out *o, const char *key, struct slice s);
void json_kv_cstr(struct json_out *o, const char *key, const char *s);
void json_kv_i64(struct json_out *o, const char *key, int64_t v);
void json_kv_bool(struct json_out *o, const char *key, bool v);
void json_kv_raw(struct json_out *o, const char *key, struct slice json);
/* Only the escaped inside of a string, without quotes: for text that is written in
 * pieces. */
void json_escape(struct strbuf *b, struct slice s);

#endif
