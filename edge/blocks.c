/* SPDX-License-Identifier: Apache-2.0
 * Blocks, member by member. An image comes as it will be kept: base64 of one of the types
 * that models read, or an https address that the model's provider fetches. */
#include "edge/blocks.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/attr.h"

#define URL_MOST 2000

struct reading {
	struct blocks_fault *fault;
	struct json_out *o;
	char at[48];
};

PRINTF_LIKE(2, 3) static bool wrong(struct reading *r, const char *fmt, ...)
{
	va_list ap;
	snprintf(r->fault->member, sizeof r->fault->member, "%s", r->at);
	va_start(ap, fmt);
	vsnprintf(r->fault->message, sizeof r->fault->message, fmt, ap);
	va_end(ap);
	return false;
}

void blocks_put_text(struct json_out *o, struct slice text)
{
	json_obj(o);
	json_kv_cstr(o, "type", "text");
	json_kv_str(o, "text", text);
	json_obj_end(o);
}

static bool take_text(struct reading *r, json_t block)
{
	struct slice text = json_str(json_get(block, "text"));
	if (!text.n)
		return wrong(r, "%s.text must be a non-empty string", r->at);
	blocks_put_text(r->o, text);
	return true;
}

static bool is_base64(struct slice s)
{
	size_t n = s.n;
	while (n && s.n - n < 2 && s.p[n - 1] == '=')
		n--;
	for (size_t i = 0; i < n; i++) {
		char c = s.p[i];
		bool fits = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
			    (c >= '0' && c <= '9') || c == '+' || c == '/';
		if (!fits)
			return false;
	}
	return s.n && s.n % 4 == 0;
}

static bool is_image_type(struct slice s)
{
	static const char *const types[] = {"image/png", "image/jpeg", "image/gif",
					    "image/webp"};
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (slice_is(s, types[i]))
			return true;
	return false;
}

const char *blocks_put_image(struct json_out *o, struct slice media_type,
			     struct slice base64)
{
	if (!is_base64(base64))
		return "must be base64";
	if (!is_image_type(media_type))
		return "must be image/png, image/jpeg, image/gif or image/webp";
	json_obj(o);
	json_kv_cstr(o, "type", "image");
	json_kv_str(o, "mediaType", media_type);
	json_kv_str(o, "data", base64);
	json_obj_end(o);
	return NULL;
}

const char *blocks_put_link(struct json_out *o, struct slice url)
{
	static const char why[] =
		"must begin with https:// and have at most " TEXT_OF(URL_MOST) " bytes";
	if (!slice_has_prefix(url, SLICE("https://")) || url.n > URL_MOST ||
	    slice_has_control(url))
		return why;
	json_obj(o);
	json_kv_cstr(o, "type", "image");
	json_kv_str(o, "url", url);
	json_obj_end(o);
	return NULL;
}

static bool take_image(struct reading *r, json_t block)
{
	struct slice data = json_str(json_get(block, "data")),
		     url = json_str(json_get(block, "url")),
		     type = json_str(json_get(block, "mediaType"));
	if (!data.p == !url.p)
		return wrong(r, "%s must have either data (base64) or url", r->at);
	const char *why =
		data.p ? blocks_put_image(r->o, type, data) : blocks_put_link(r->o, url);
	const char *member = url.p ? "url" : is_base64(data) ? "mediaType" : "data";
	return !why || wrong(r, "%s.%s %s", r->at, member, why);
}

static const struct kind {
	const char *type;
	const char *members[4];
	bool (*take)(struct reading *r, json_t block);
} kinds[] = {
	{"text", {"type", "text"}, take_text},
	{"image", {"type", "mediaType", "data", "url"}, take_image},
};

static const struct kind *kind_of(json_t block)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (slice_is(json_str(json_get(block, "type")), kinds[i].type))
			return &kinds[i];
	return NULL;
}

static bool has_member(const struct kind *k, struct slice name)
{
	for (size_t i = 0; i < ARRAY_LEN(k->members) && k->members[i]; i++)
		if (slice_is(name, k->members[i]))
			return true;
	return false;
}

static bool take_block(struct reading *r, json_t block)
{
	const struct kind *k = kind_of(block);
	struct json_iter it = json_iter(block);
	struct slice key;
	if (json_kind(block) != JSON_OBJECT || !k)
		return wrong(r, "%s must be an object of type \"text\" or \"image\"",
			     r->at);
	while (json_next(&it, &key))
		if (!has_member(k, key))
			return wrong(r, "%s has an unknown member \"%.*s\"", r->at,
				     (int)(key.n < 64 ? key.n : 64), key.p);
	return k->take(r, block);
}

static bool take_list(struct reading *r, json_t list)
{
	struct json_iter it = json_iter(list);
	json_t block;
	if (json_len(list) == 0 || json_len(list) > BLOCKS_MOST)
		return wrong(r, "message must hold 1 to %u blocks", BLOCKS_MOST);
	for (size_t i = 0; (block = json_next(&it, NULL)); i++) {
		snprintf(r->at, sizeof r->at, "message[%zu]", i);
		if (!take_block(r, block))
			return false;
	}
	return true;
}

bool blocks_read(json_t message, struct strbuf *out, struct blocks_fault *fault)
{
	struct json_out o = json_out(out);
	struct reading r = {.fault = fault, .o = &o, .at = "message"};
	struct slice text = json_str(message);
	bool is_list = json_kind(message) == JSON_ARRAY;
	if (!is_list && !text.n)
		return wrong(&r,
			     "message must be a non-empty string or a list of blocks");
	json_arr(&o);
	if (is_list && !take_list(&r, message))
		return false;
	if (!is_list)
		blocks_put_text(&o, text);
	json_arr_end(&o);
	return true;
}
