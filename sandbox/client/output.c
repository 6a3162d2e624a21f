/* SPDX-License-Identifier: Apache-2.0
 * Head and tail. */
#include "sandbox/client/output.h"

#include <stdio.h>
#include <string.h>

#define LOOK_BYTES 8192u

void output_init(struct output *o, size_t most)
{
	*o = (struct output){.most = most};
}

void output_fini(struct output *o)
{
	strbuf_fini(&o->head);
	strbuf_fini(&o->tail);
}

/* Programs print NUL only when they print something else than text. What was printed
 * before the first one is whole in the head. */
static void look_for_binary(struct output *o, struct slice bytes)
{
	size_t most = o->most / 2 < LOOK_BYTES ? o->most / 2 : LOOK_BYTES;
	size_t n = o->total < most ? most - (size_t)o->total : 0;
	if (o->is_binary || !n || !bytes.n ||
	    !memchr(bytes.p, 0, n < bytes.n ? n : bytes.n))
		return;
	o->is_binary = true;
	crypto_sha256_begin(&o->sum);
	crypto_sha256_add(&o->sum, strbuf_slice(&o->head));
}

void output_add(struct output *o, struct slice bytes)
{
	size_t half = o->most / 2;
	size_t room = half - o->head.n, n = bytes.n < room ? bytes.n : room;
	look_for_binary(o, bytes);
	if (o->is_binary)
		crypto_sha256_add(&o->sum, bytes);
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

/* ---- as text */

static void put_binary(const struct output *o, struct json_out *out, const char *key)
{
	struct crypto_sha256_state so_far = o->sum;
	uint8_t sum[32];
	char hex[65], text[128];
	crypto_sha256_end(&so_far, sum);
	crypto_hex(sum, sizeof sum, hex);
	snprintf(text, sizeof text, "[binary %llu bytes, sha256 %s]",
		 (unsigned long long)o->total, hex);
	json_kv_cstr(out, key, text);
}

static bool is_within(unsigned char c)
{
	return (c & 0xC0) == 0x80;
}

/* What there is from an offset on: a part of the head, a part of the tail, and how much
 * is missing between them. */
struct view {
	struct slice head, tail;
	uint64_t left_out;
};

static struct slice after(struct slice s, uint64_t n)
{
	return n < s.n ? slice_of(s.p + n, s.n - (size_t)n) : slice_of(s.p, 0);
}

static struct view view_from(const struct output *o, uint64_t from, size_t most)
{
	size_t half = o->most / 2;
	size_t kept = o->tail.n < half ? o->tail.n : half;
	uint64_t tail_at = o->total - kept;
	struct view v = {.head = after(strbuf_slice(&o->head), from)};
	if (kept)
		v.tail = after(slice_of(o->tail.p + (o->tail.n - kept), kept),
			       from > tail_at ? from - tail_at : 0);
	if (v.head.n + v.tail.n > most) { /* what the one does not need is the other's */
		size_t least = v.tail.n < most / 2 ? v.tail.n : most / 2;
		if (v.head.n > most - least)
			v.head.n = most - least;
		if (v.tail.n > most - v.head.n)
			v.tail = after(v.tail, v.tail.n - (most - v.head.n));
		if (!v.tail.n) { /* all of it was head: its end is worth as much */
			v.tail = after(strbuf_slice(&o->head), o->head.n - most / 2);
			v.head.n = most - v.tail.n;
		}
	}
	v.left_out = (from < o->total ? o->total - from : 0) - v.head.n - v.tail.n;
	return v;
}

bool output_is_cut(const struct output *o, uint64_t from, size_t most)
{
	return o->is_binary || view_from(o, from, most).left_out > 0;
}

/* Bytes at the end of s that begin a character and do not end it. */
static size_t unfinished(struct slice s)
{
	size_t n = 0;
	while (n < s.n && n < 3 && is_within((unsigned char)s.p[s.n - 1 - n]))
		n++;
	if (n == s.n)
		return 0;
	unsigned char first = (unsigned char)s.p[s.n - 1 - n];
	size_t whole = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : first >= 0xC0 ? 2 : 1;
	return whole > n + 1 ? n + 1 : 0;
}

/* Where a character ends, and where one begins. */
static void cut_between_characters(struct view *v)
{
	size_t n = unfinished(v->head);
	v->head.n -= n;
	v->left_out += n;
	for (int i = 0; i < 3 && v->tail.n && is_within((unsigned char)*v->tail.p); i++) {
		v->tail = after(v->tail, 1);
		v->left_out++;
	}
}

uint64_t output_put_from(const struct output *o, struct json_out *out, const char *key,
			 uint64_t from, size_t most, bool open)
{
	AUTO(strbuf_fini) struct strbuf text = STRBUF_INIT;
	uint64_t next = from > o->total ? from : o->total;
	if (o->is_binary) {
		put_binary(o, out, key);
		return next;
	}
	struct view v = view_from(o, from, most);
	struct slice *last = v.left_out || v.tail.n ? &v.tail : &v.head;
	if (v.left_out)
		cut_between_characters(&v);
	if (open) {
		size_t n = unfinished(*last);
		last->n -= n;
		next -= n;
	}
	strbuf_add_slice(&text, v.head);
	if (v.left_out)
		strbuf_printf(&text, "\n[... %llu bytes left out ...]\n",
			      (unsigned long long)v.left_out);
	strbuf_add_slice(&text, v.tail);
	json_kv_str(out, key, text.p ? strbuf_slice(&text) : SLICE(""));
	return next;
}

void output_put(const struct output *o, struct json_out *out, const char *key)
{
	output_put_from(o, out, key, 0, o->most, false);
}
