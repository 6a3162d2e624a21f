/* SPDX-License-Identifier: Apache-2.0
 * Head and tail. */
#include "sandbox/client/output.h"

#include <string.h>

void output_init(struct output *o, size_t most)
{
	*o = (struct output){.most = most};
}

void output_fini(struct output *o)
{
	strbuf_fini(&o->head);
	strbuf_fini(&o->tail);
}

void output_add(struct output *o, struct slice bytes)
{
	size_t half = o->most / 2;
	size_t room = half - o->head.n, n = bytes.n < room ? bytes.n : room;
	o->total += bytes.n;
	strbuf_add(&o->head, bytes.p, n);
	bytes.p += n;
	bytes.n -= n;
	if (bytes.n > half) { /* the rest of it would be forgotten at once */
		bytes.p += bytes.n - half;
		bytes.n = half;
		strbuf_reset(&o->tail);
	}
	strbuf_add(&o->tail, bytes.p, bytes.n);
	if (o->tail.n > 2 * half)
		strbuf_eat(&o->tail, o->tail.n - half);
}

/* Programs print NUL only when they print something else than text. */
static bool is_binary(const struct output *o)
{
	size_t n = o->head.n < 8192 ? o->head.n : 8192;
	return n && memchr(o->head.p, 0, n);
}

static bool is_within(unsigned char c)
{
	return (c & 0xC0) == 0x80;
}

void output_put(const struct output *o, struct json_out *out, const char *key)
{
	AUTO(strbuf_fini) struct strbuf text = STRBUF_INIT;
	size_t half = o->most / 2;
	size_t kept = o->tail.n < half ? o->tail.n : half;
	uint64_t left_out = o->total - o->head.n - kept;
	if (is_binary(o)) {
		strbuf_printf(&text, "[binary %llu bytes]", (unsigned long long)o->total);
		json_kv_str(out, key, strbuf_slice(&text));
		return;
	}
	size_t head = o->head.n;
	const char *tail = o->tail.p ? o->tail.p + (o->tail.n - kept) : NULL;
	if (left_out) { /* where a character ends, and where one begins */
		while (head && is_within((unsigned char)o->head.p[head - 1]))
			head--;
		if (head && (unsigned char)o->head.p[head - 1] >= 0xC0)
			head--;
		while (kept && is_within((unsigned char)*tail)) {
			tail++;
			kept--;
		}
	}
	strbuf_add(&text, o->head.p, head);
	if (left_out)
		strbuf_printf(&text, "\n[... %llu bytes left out ...]\n",
			      (unsigned long long)(o->total - head - kept));
	strbuf_add(&text, tail, kept);
	json_kv_str(out, key, text.p ? strbuf_slice(&text) : SLICE(""));
}
