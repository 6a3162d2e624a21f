/* SPDX-License-Identifier: Apache-2.0
 * Server-sent events from a run's events. */
#include "edge/sse.h"

#include "common/clock.h"
#include "edge/number.h"

/* ---- writing */

/* A JSON text holds line ends only between its tokens; an event's line holds none. */
static void add_one_line(struct strbuf *out, struct slice s)
{
	size_t at = out->n;
	strbuf_add_slice(out, s);
	if (!memchr(s.p, '\n', s.n) && !memchr(s.p, '\r', s.n))
		return;
	for (size_t i = at; i < out->n; i++)
		if (out->p[i] == '\n' || out->p[i] == '\r')
			out->p[i] = ' ';
}

/* The members of an object, without braces. */
static struct slice members(struct slice body)
{
	struct slice s = slice_trim(body);
	if (s.n < 2 || s.p[0] != '{' || s.p[s.n - 1] != '}')
		return SLICE_NONE;
	return slice_trim(slice_of(s.p + 1, s.n - 2));
}

static void add_text(struct strbuf *out, const char *before, const char *text)
{
	strbuf_add_str(out, before);
	strbuf_add_str(out, text);
}

/* As clock_format; events of one second share all but the milliseconds. */
static void add_time(struct strbuf *out, int64_t us)
{
	static int64_t second = -1;
	static char text[CLOCK_TEXT_LEN + 1];
	unsigned ms = (unsigned)(us / 1000 % 1000);
	if (us / 1000000 != second)
		clock_format(us, text);
	second = us / 1000000;
	text[20] = (char)('0' + ms / 100);
	text[21] = (char)('0' + ms / 10 % 10);
	text[22] = (char)('0' + ms % 10);
	strbuf_add(out, text, CLOCK_TEXT_LEN);
}

void sse_write(struct strbuf *out, const struct sse_item *item)
{
	char run[UUID_TEXT_LEN + 1];
	struct slice rest = members(item->body);
	uuid_format(item->run, run);
	strbuf_add(out, "id: ", 4);
	number_add(out, item->seq);
	if (!item->durable) {
		strbuf_add_char(out, '.');
		number_add(out, item->offset);
	}
	add_text(out, "\nevent: ", item->type);
	add_text(out, "\ndata: {\"type\":\"", item->type);
	add_text(out, "\",\"runId\":\"", run);
	strbuf_add_str(out, "\",\"seq\":");
	number_add(out, item->seq);
	strbuf_add_str(out, ",\"at\":\"");
	add_time(out, item->at_us);
	strbuf_add_char(out, '"');
	if (rest.n)
		strbuf_add_char(out, ',');
	if (rest.n)
		add_one_line(out, rest);
	strbuf_add(out, "}\n\n", 3);
}

/* ---- ids */

static bool to_u32(struct slice s, uint32_t *out)
{
	long long v;
	if (s.n == 0 || s.p[0] == '-' || !slice_to_i64(s, &v) || v > UINT32_MAX)
		return false;
	*out = (uint32_t)v;
	return true;
}

bool sse_parse_id(struct slice text, struct sse_place *out)
{
	struct slice rest = text;
	uint32_t seq;
	*out = (struct sse_place){0};
	if (!to_u32(slice_cut(&rest, '.'), &seq))
		return false;
	if (!rest.p) {
		out->seq = seq;
		return true;
	}
	out->part_seq = seq;
	out->seq = seq ? seq - 1 : 0;
	return seq > 0 && to_u32(rest, &out->part_offset);
}

/* ---- the member "content" */

static size_t skip_string(struct slice s, size_t at)
{
	for (at++; at < s.n && s.p[at] != '"'; at++)
		if (s.p[at] == '\\')
			at++;
	return at + 1;
}

static size_t skip_space(struct slice s, size_t at)
{
	while (at < s.n &&
	       (s.p[at] == ' ' || s.p[at] == '\n' || s.p[at] == '\r' || s.p[at] == '\t'))
		at++;
	return at;
}

/* From a value's first byte to the ',' or '}' after it. */
static size_t skip_value(struct slice s, size_t at)
{
	int depth = 0;
	while (at < s.n) {
		char c = s.p[at];
		if (c == '"') {
			at = skip_string(s, at);
			continue;
		}
		if (depth == 0 && (c == ',' || c == '}'))
			return at;
		depth += (c == '{' || c == '[') - (c == '}' || c == ']');
		at++;
	}
	return at;
}

/* The raw inside of the top-level string member "content"; p == NULL: there is none. */
static struct slice find_content(struct slice s)
{
	size_t at = skip_space(s, 0);
	if (at >= s.n || s.p[at] != '{')
		return SLICE_NONE;
	for (at = skip_space(s, at + 1); at < s.n && s.p[at] == '"';) {
		size_t key_end = skip_string(s, at);
		bool is_content =
			key_end <= s.n &&
			slice_is(slice_of(s.p + at, key_end - at), "\"content\"");
		at = skip_space(s, skip_space(s, key_end) + 1);
		if (is_content && at < s.n && s.p[at] == '"') {
			size_t end = skip_string(s, at);
			return end <= s.n ? slice_of(s.p + at + 1, end - at - 2)
					  : SLICE_NONE;
		}
		at = skip_value(s, at);
		at = skip_space(s, at + 1);
	}
	return SLICE_NONE;
}

static unsigned hex4(const char *p)
{
	unsigned v = 0;
	for (int i = 0; i < 4; i++) {
		unsigned c = (unsigned char)p[i] | 0x20;
		v = v * 16 + (c <= '9' ? c - '0' : c - 'a' + 10);
	}
	return v;
}

/* One character of a JSON string at raw[at]: its raw length, and its UTF-8 length in
 * *bytes. */
static size_t one_character(struct slice raw, size_t at, size_t *bytes)
{
	unsigned char c = (unsigned char)raw.p[at];
	*bytes = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	if (c != '\\')
		return *bytes < raw.n - at ? *bytes : raw.n - at;
	if (raw.n - at < 6 || raw.p[at + 1] != 'u')
		return raw.n - at < 2 ? raw.n - at : 2;
	unsigned code = hex4(raw.p + at + 2);
	*bytes = code < 0x80 ? 1 : code < 0x800 ? 2 : 3;
	if (code < 0xd800 || code > 0xdbff || raw.n - at < 12)
		return 6;
	*bytes = 4;
	return 12;
}

size_t sse_content_bytes(struct slice body)
{
	struct slice raw = find_content(body);
	size_t total = 0, bytes;
	for (size_t at = 0; at < raw.n; total += bytes)
		at += one_character(raw, at, &bytes);
	return total;
}

void sse_cut_content(struct strbuf *out, struct slice body, size_t skip)
{
	struct slice raw = find_content(body);
	size_t at = 0, done = 0, bytes;
	while (at < raw.n) {
		size_t n = one_character(raw, at, &bytes);
		if (done + bytes > skip)
			break;
		done += bytes;
		at += n;
	}
	if (!raw.p) {
		strbuf_add_slice(out, body);
		return;
	}
	const char *rest = raw.p + at;
	strbuf_add(out, body.p, (size_t)(raw.p - body.p));
	strbuf_add(out, rest, (size_t)(body.p + body.n - rest));
}

bool sse_is_reset(struct slice body)
{
	return slice_find(body, SLICE("\"reset\":true")) >= 0 ||
	       slice_find(body, SLICE("\"reset\": true")) >= 0;
}
