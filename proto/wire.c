/* SPDX-License-Identifier: Apache-2.0
 * The codec: msgpack-c behind a pre-scan, both driven by the descriptors of messages.tbl.
 */
#include "proto/wire.h"

#include <msgpack.h>
#include <string.h>

#include "common/alloc.h"
#include "common/crypto.h"
#include "common/die.h"

#define MSG(U, l, id, route, phases) static const struct wire_field fields_##l[] = {
#define FIELD(m, f, T, max) {#f, WIRE_T_##T, offsetof(struct wire_##m, f), max},
#define END(m)                                                                           \
	}                                                                                \
	;
#include "proto/messages.tbl"
#undef MSG
#undef FIELD
#undef END

#define MSG(U, l, id, route, phases)                                                     \
	[id] = {#l, WIRE_##U, route, phases, fields_##l, ARRAY_LEN(fields_##l)},
#define FIELD(m, f, T, max)
#define END(m)
static const struct wire_desc descs[WIRE__MAX] = {
#include "proto/messages.tbl"
};
#undef MSG
#undef FIELD
#undef END

const struct wire_desc *wire_desc(unsigned id)
{
	return id < WIRE__MAX && descs[id].name ? &descs[id] : NULL;
}

uint64_t wire_table_hash(void)
{
	static const uint8_t key[16] = "terabits-wire-01";
	static uint64_t hash;
	if (hash)
		return hash;
	struct strbuf b = STRBUF_INIT;
	for (unsigned i = 0; i < WIRE__MAX; i++) {
		const struct wire_desc *d = wire_desc(i);
		if (!d)
			continue;
		strbuf_printf(&b, "%s %u %d %u\n", d->name, i, d->route, d->phases);
		for (unsigned f = 0; f < d->field_count; f++)
			strbuf_printf(&b, " %s %d %u\n", d->fields[f].name,
				      d->fields[f].type, d->fields[f].max);
	}
	hash = crypto_siphash(key, strbuf_slice(&b));
	strbuf_fini(&b);
	return hash;
}

/* ---- encoding */

static int append(void *out, const char *p, size_t n)
{
	strbuf_add(out, p, n);
	return 0;
}

static bool fits(const struct wire_field *f, const char *at)
{
	if (f->type != WIRE_T_STR && f->type != WIRE_T_BIN)
		return true;
	return ((const struct slice *)(const void *)at)->n <= f->max;
}

static void put_field(msgpack_packer *pk, const struct wire_field *f, const char *at)
{
	const void *p = at;
	const struct slice *s = p;
	switch (f->type) {
	case WIRE_T_STR:
		msgpack_pack_str(pk, s->n);
		msgpack_pack_str_body(pk, s->p, s->n);
		break;
	case WIRE_T_BIN:
		msgpack_pack_bin(pk, s->n);
		msgpack_pack_bin_body(pk, s->p, s->n);
		break;
	case WIRE_T_U32:
		msgpack_pack_uint32(pk, *(const uint32_t *)p);
		break;
	case WIRE_T_U64:
		msgpack_pack_uint64(pk, *(const uint64_t *)p);
		break;
	case WIRE_T_I64:
		msgpack_pack_int64(pk, *(const int64_t *)p);
		break;
	case WIRE_T_BOOL:
		if (*(const bool *)p)
			msgpack_pack_true(pk);
		else
			msgpack_pack_false(pk);
		break;
	case WIRE_T_UUID:
		msgpack_pack_bin(pk, 16);
		msgpack_pack_bin_body(pk, p, 16);
		break;
	}
}

enum err wire_encode(struct strbuf *out, enum wire_id id, const void *msg)
{
	const struct wire_desc *d = wire_desc(id);
	const char *base = msg;
	msgpack_packer pk;
	check(d);
	for (unsigned i = 0; i < d->field_count; i++)
		if (!fits(&d->fields[i], base + d->fields[i].offset))
			return ERR_TOO_LARGE;
	msgpack_packer_init(&pk, out, append);
	msgpack_pack_array(&pk, d->field_count + 1);
	msgpack_pack_uint32(&pk, id);
	for (unsigned i = 0; i < d->field_count; i++)
		put_field(&pk, &d->fields[i], base + d->fields[i].offset);
	return ERR_OK;
}

void wire_encode_counter(struct strbuf *out, uint64_t counter)
{
	msgpack_packer pk;
	msgpack_packer_init(&pk, out, append);
	msgpack_pack_uint64(&pk, counter);
}

/* ---- the pre-scan: sizes and nesting only, nothing allocated */

struct scan {
	const uint8_t *p;
	size_t n, at;
	unsigned values;
	const char *why;
};

static uint32_t scan_number(const struct scan *s, size_t bytes)
{
	uint32_t v = 0;
	for (size_t i = 0; i < bytes; i++)
		v = v << 8 | s->p[s->at + i];
	return v;
}

static bool scan_fail(struct scan *s, const char *why)
{
	s->why = why;
	return false;
}

/* The header of one value: how many payload bytes follow, or how many elements (an
 * array). */
static bool scan_header(struct scan *s, size_t *payload, uint32_t *elements)
{
	static const uint8_t int_bytes[] = {1, 2, 4, 8, 1, 2, 4, 8}; /* cc .. d3 */
	uint8_t t = s->p[s->at++];
	size_t len_bytes = 0;
	*payload = 0;
	*elements = 0;
	if (t < 0x80 || t >= 0xe0 || t == 0xc2 || t == 0xc3)
		return true;
	if (t >= 0xcc && t <= 0xd3) {
		*payload = int_bytes[t - 0xcc];
		return true;
	}
	if ((t & 0xf0) == 0x90) {
		*elements = t & 15;
		return true;
	}
	if ((t & 0xe0) == 0xa0) {
		*payload = t & 31;
		return true;
	}
	if (t == 0xc4 || t == 0xd9)
		len_bytes = 1;
	else if (t == 0xc5 || t == 0xda || t == 0xdc)
		len_bytes = 2;
	else if (t == 0xc6 || t == 0xdb || t == 0xdd)
		len_bytes = 4;
	else
		return scan_fail(s, "a type the protocol does not use");
	if (s->n - s->at < len_bytes)
		return scan_fail(s, "truncated");
	uint32_t len = scan_number(s, len_bytes);
	s->at += len_bytes;
	if (t == 0xdc || t == 0xdd)
		*elements = len;
	else
		*payload = len;
	return true;
}

static bool scan_value(struct scan *s, uint32_t left[], unsigned *depth)
{
	size_t payload;
	uint32_t elements;
	if (++s->values > LIMIT_FRAME_VALUES)
		return scan_fail(s, "too many values");
	if (!scan_header(s, &payload, &elements))
		return false;
	if (payload > s->n - s->at || elements > s->n - s->at)
		return scan_fail(s, "a declared size exceeds the frame");
	s->at += payload;
	if (elements == 0)
		return true;
	if (*depth == LIMIT_FRAME_DEPTH)
		return scan_fail(s, "nested too deep");
	left[(*depth)++] = elements;
	return true;
}

static bool scan_frame(struct scan *s)
{
	uint32_t left[LIMIT_FRAME_DEPTH];
	unsigned depth = 0;
	if (s->n > LIMIT_FRAME_BYTES)
		return scan_fail(s, "over the frame limit");
	while (s->at < s->n) {
		while (depth > 0 && left[depth - 1] == 0)
			depth--;
		if (depth > 0)
			left[depth - 1]--;
		if (!scan_value(s, left, &depth))
			return false;
	}
	while (depth > 0 && left[depth - 1] == 0)
		depth--;
	return depth == 0 || scan_fail(s, "truncated");
}

/* ---- decoding */

/* One arena of msgpack-c serves every message: cleared, not freed. */
static msgpack_zone *zone(void)
{
	static msgpack_zone *z;
	if (!z) {
		z = msgpack_zone_new(8192);
		check(z);
	}
	msgpack_zone_clear(z);
	return z;
}

static bool take(struct slice *rest, msgpack_object *o)
{
	size_t off = 0;
	msgpack_unpack_return r = msgpack_unpack(rest->p, rest->n, &off, zone(), o);
	if (r != MSGPACK_UNPACK_SUCCESS && r != MSGPACK_UNPACK_EXTRA_BYTES)
		return false;
	rest->p += off;
	rest->n -= off;
	return true;
}

enum err wire_frame_open(struct slice frame, struct wire_frame *f, const char **why)
{
	struct scan s = {.p = (const uint8_t *)frame.p, .n = frame.n};
	msgpack_object o;
	if (!scan_frame(&s)) {
		*why = s.why;
		return ERR_PROTOCOL;
	}
	f->rest = frame;
	if (frame.n == 0 || !take(&f->rest, &o) ||
	    o.type != MSGPACK_OBJECT_POSITIVE_INTEGER) {
		*why = "no frame counter";
		return ERR_PROTOCOL;
	}
	f->counter = o.via.u64;
	return ERR_OK;
}

static bool get_bytes(const struct wire_field *f, const char *p, uint32_t n, void *out)
{
	if (n > f->max)
		return false;
	*(struct slice *)out = slice_of(p, n);
	return true;
}

static bool get_i64(const msgpack_object *o, int64_t *out)
{
	if (o->type == MSGPACK_OBJECT_NEGATIVE_INTEGER)
		*out = o->via.i64;
	else if (o->type == MSGPACK_OBJECT_POSITIVE_INTEGER && o->via.u64 <= INT64_MAX)
		*out = (int64_t)o->via.u64;
	else
		return false;
	return true;
}

static bool get_field(const struct wire_field *f, const msgpack_object *o, void *out)
{
	bool is_number = o->type == MSGPACK_OBJECT_POSITIVE_INTEGER;
	switch (f->type) {
	case WIRE_T_STR:
		return o->type == MSGPACK_OBJECT_STR &&
		       get_bytes(f, o->via.str.ptr, o->via.str.size, out);
	case WIRE_T_BIN:
		return o->type == MSGPACK_OBJECT_BIN &&
		       get_bytes(f, o->via.bin.ptr, o->via.bin.size, out);
	case WIRE_T_U32:
		if (!is_number || o->via.u64 > UINT32_MAX)
			return false;
		*(uint32_t *)out = (uint32_t)o->via.u64;
		return true;
	case WIRE_T_U64:
		if (!is_number)
			return false;
		*(uint64_t *)out = o->via.u64;
		return true;
	case WIRE_T_I64:
		return get_i64(o, out);
	case WIRE_T_BOOL:
		if (o->type != MSGPACK_OBJECT_BOOLEAN)
			return false;
		*(bool *)out = o->via.boolean;
		return true;
	case WIRE_T_UUID:
		if (o->type != MSGPACK_OBJECT_BIN || o->via.bin.size != 16)
			return false;
		memcpy(out, o->via.bin.ptr, 16);
		return true;
	}
	return false;
}

enum err wire_frame_next(struct wire_frame *f, enum wire_id *id, union wire_any *out,
			 const char **why)
{
	msgpack_object o;
	if (f->rest.n == 0)
		return ERR_NOT_FOUND;
	*why = "no message";
	if (!take(&f->rest, &o) || o.type != MSGPACK_OBJECT_ARRAY ||
	    o.via.array.size == 0)
		return ERR_PROTOCOL;
	const msgpack_object *a = o.via.array.ptr;
	const struct wire_desc *d = NULL;
	if (a[0].type == MSGPACK_OBJECT_POSITIVE_INTEGER && a[0].via.u64 < WIRE__MAX)
		d = wire_desc((unsigned)a[0].via.u64);
	*why = "an unknown message";
	if (!d)
		return ERR_PROTOCOL;
	*why = d->name;
	if (o.via.array.size != d->field_count + 1)
		return ERR_PROTOCOL;
	for (unsigned i = 0; i < d->field_count; i++)
		if (!get_field(&d->fields[i], &a[i + 1],
			       (char *)out + d->fields[i].offset))
			return ERR_PROTOCOL;
	*id = d->id;
	return ERR_OK;
}
