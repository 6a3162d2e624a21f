/* SPDX-License-Identifier: Apache-2.0
 * Writing JSON in one pass, straight into a buffer. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/die.h"
#include "common/json.h"

struct json_out json_out(struct strbuf *b)
{
	return (struct json_out){.b = b};
}

static void separate(struct json_out *o)
{
	if (o->comma)
		strbuf_add_char(o->b, ',');
	o->comma = true;
}

static void begin(struct json_out *o, char c)
{
	separate(o);
	strbuf_add_char(o->b, c);
	o->depth++;
	o->comma = false;
}

static void end(struct json_out *o, char c)
{
	check(o->depth > 0);
	strbuf_add_char(o->b, c);
	o->depth--;
	o->comma = true;
}

void json_obj(struct json_out *o)
{
	begin(o, '{');
}

void json_obj_end(struct json_out *o)
{
	end(o, '}');
}

void json_arr(struct json_out *o)
{
	begin(o, '[');
}

void json_arr_end(struct json_out *o)
{
	end(o, ']');
}

/* Bytes of the well-formed UTF-8 sequence at p; 0 when it is none. */
static size_t sequence(const char *p, size_t n)
{
	unsigned char c = (unsigned char)p[0];
	size_t len = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	return len <= n && slice_is_utf8(slice_of(p, len)) ? len : 0;
}

static void escape_one(struct strbuf *b, unsigned char c)
{
	switch (c) {
	case '"':
		strbuf_add_str(b, "\\\"");
		break;
	case '\\':
		strbuf_add_str(b, "\\\\");
		break;
	case '\n':
		strbuf_add_str(b, "\\n");
		break;
	case '\r':
		strbuf_add_str(b, "\\r");
		break;
	case '\t':
		strbuf_add_str(b, "\\t");
		break;
	case 0:
		break;
	default:
		strbuf_printf(b, "\\u%04x", c);
	}
}

/* What stands for itself in a string. */
static bool is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

/* How many bytes from p on need no escape, a whole word of them at a time: a byte is
 * found that is a quote or a backslash, below 0x20, or has its high bit. */
static size_t plain_run(const char *p, size_t n)
{
	const uint64_t ones = 0x0101010101010101ull, highs = 0x8080808080808080ull;
	size_t i = 0;
	for (uint64_t w; i + sizeof w <= n; i += sizeof w) {
		memcpy(&w, p + i, sizeof w);
		uint64_t quote = w ^ ones * '"', back = w ^ ones * '\\';
		if (((w - ones * 0x20) | (quote - ones) | (back - ones) | w) & highs)
			break;
	}
	while (i < n && is_plain((unsigned char)p[i]))
		i++;
	return i;
}

void json_escape(struct strbuf *b, struct slice s)
{
	size_t plain = 0; /* start of the run that needs no escape */
	for (size_t i = 0; i < s.n;) {
		i += plain_run(s.p + i, s.n - i);
		if (i == s.n)
			break;
		unsigned char c = (unsigned char)s.p[i];
		size_t len = c >= 0x80 ? sequence(s.p + i, s.n - i) : 0;
		if (len) {
			i += len;
			continue;
		}
		strbuf_add(b, s.p + plain, i - plain);
		if (c >= 0x80)
			strbuf_add_str(b, "\xef\xbf\xbd");
		else
			escape_one(b, c);
		plain = ++i;
	}
	if (s.n)
		strbuf_add(b, s.p + plain, s.n - plain);
}

static void quoted(struct strbuf *b, struct slice s)
{
	strbuf_add_char(b, '"');
	json_escape(b, s);
	strbuf_add_char(b, '"');
}

void json_key(struct json_out *o, const char *key)
{
	separate(o);
	quoted(o->b, slice_str(key));
	strbuf_add_char(o->b, ':');
	o->comma = false;
}

void json_put_raw(struct json_out *o, struct slice json)
{
	separate(o);
	strbuf_add_slice(o->b, json);
}

void json_put_str(struct json_out *o, struct slice s)
{
	separate(o);
	quoted(o->b, s);
}

void json_put_null(struct json_out *o)
{
	json_put_raw(o, SLICE("null"));
}

void json_put_cstr(struct json_out *o, const char *s)
{
	if (s)
		json_put_str(o, slice_str(s));
	else
		json_put_null(o);
}

void json_put_i64(struct json_out *o, int64_t v)
{
	separate(o);
	strbuf_printf(o->b, "%" PRId64, v);
}

void json_put_double(struct json_out *o, double v)
{
	if (!isfinite(v)) {
		json_put_null(o);
		return;
	}
	char text[40];
	for (int digits = 15; digits <= 17;
	     digits++) { /* the shortest that reads back the same */
		snprintf(text, sizeof text, "%.*g", digits, v);
		double back = 0;
		if (sscanf(text, "%lf", &back) == 1 && memcmp(&back, &v, sizeof v) == 0)
			break;
	}
	json_put_raw(o, slice_str(text));
}

void json_put_bool(struct json_out *o, bool v)
{
	json_put_raw(o, v ? SLICE("true") : SLICE("false"));
}

void json_put_value(struct json_out *o, json_t v)
{
	separate(o);
	json_print(o->b, v);
}

void json_kv_str(struct json_out *o, const char *key, struct slice s)
{
	json_key(o, key);
	json_put_str(o, s);
}

void json_kv_cstr(struct json_out *o, const char *key, const char *s)
{
	json_key(o, key);
	json_put_cstr(o, s);
}

void json_kv_i64(struct json_out *o, const char *key, int64_t v)
{
	json_key(o, key);
	json_put_i64(o, v);
}

void json_kv_bool(struct json_out *o, const char *key, bool v)
{
	json_key(o, key);
	json_put_bool(o, v);
}

void json_kv_raw(struct json_out *o, const char *key, struct slice json)
{
	json_key(o, key);
	json_put_raw(o, json);
}
