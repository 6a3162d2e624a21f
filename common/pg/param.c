/* SPDX-License-Identifier: Apache-2.0
 * Binary parameters: every number in network order, arrays with the header of
 * src/backend/utils/adt/arrayfuncs. */
#include "common/pg/param.h"

#include <string.h>

#include "common/die.h"

#define EPOCH_2000_US 946684800000000LL
#define LEN_NULL ((size_t)-1)

void pg_params_init(struct pg_params *p)
{
	*p = (struct pg_params){.buf = STRBUF_INIT};
}

void pg_params_fini(struct pg_params *p)
{
	strbuf_fini(&p->buf);
}

void pg_params_reset(struct pg_params *p)
{
	strbuf_reset(&p->buf);
	p->count = 0;
	p->open_array = false;
}

static void put(struct strbuf *b, uint64_t v, size_t bytes)
{
	char *at = strbuf_reserve(b, bytes);
	for (size_t i = 0; i < bytes; i++)
		at[i] = (char)(v >> (8 * (bytes - 1 - i)));
	b->n += bytes;
}

static void patch32(struct strbuf *b, size_t at, uint32_t v)
{
	for (size_t i = 0; i < 4; i++)
		b->p[at + i] = (char)(v >> (8 * (3 - i)));
}

static uint32_t array_oid(enum pg_type element)
{
	switch (element) {
	case PG_BOOL:
		return 1000;
	case PG_BYTEA:
		return 1001;
	case PG_INT2:
		return 1005;
	case PG_INT4:
		return 1007;
	case PG_TEXT:
		return 1009;
	case PG_INT8:
		return 1016;
	case PG_TIMESTAMPTZ:
		return 1185;
	case PG_UUID:
		return 2951;
	case PG_JSONB:
		return 3807;
	}
	panic("no array of that type");
}

/* Opens a value of `len` bytes: a parameter, or an element of the open array. */
static void value(struct pg_params *p, enum pg_type t, size_t len)
{
	if (p->open_array) {
		check(t == p->array_type);
		p->array_elements++;
		put(&p->buf, len == LEN_NULL ? UINT32_MAX : len, 4);
		if (len == LEN_NULL)
			patch32(&p->buf, p->array_at + 4, 1);
		return;
	}
	check(p->count < PG_MAX_PARAMS);
	p->item[p->count].at = p->buf.n;
	p->item[p->count].len = len;
	p->item[p->count++].oid = (uint32_t)t;
}

void pg_null(struct pg_params *p, enum pg_type t)
{
	value(p, t, LEN_NULL);
}

void pg_bool(struct pg_params *p, bool v)
{
	value(p, PG_BOOL, 1);
	put(&p->buf, v, 1);
}

void pg_i16(struct pg_params *p, int16_t v)
{
	value(p, PG_INT2, 2);
	put(&p->buf, (uint16_t)v, 2);
}

void pg_i32(struct pg_params *p, int32_t v)
{
	value(p, PG_INT4, 4);
	put(&p->buf, (uint32_t)v, 4);
}

void pg_i64(struct pg_params *p, int64_t v)
{
	value(p, PG_INT8, 8);
	put(&p->buf, (uint64_t)v, 8);
}

static void bytes(struct pg_params *p, enum pg_type t, struct slice s)
{
	if (!s.p) {
		pg_null(p, t);
		return;
	}
	value(p, t, s.n);
	strbuf_add_slice(&p->buf, s);
}

void pg_text(struct pg_params *p, struct slice s)
{
	bytes(p, PG_TEXT, s);
}

void pg_bytea(struct pg_params *p, struct slice s)
{
	bytes(p, PG_BYTEA, s);
}

void pg_uuid(struct pg_params *p, struct uuid u)
{
	bytes(p, PG_UUID, uuid_slice(&u));
}

void pg_time(struct pg_params *p, int64_t real_us)
{
	value(p, PG_TIMESTAMPTZ, 8);
	put(&p->buf, (uint64_t)(real_us - EPOCH_2000_US), 8);
}

void pg_jsonb(struct pg_params *p, struct slice json)
{
	if (!json.p) {
		pg_null(p, PG_JSONB);
		return;
	}
	value(p, PG_JSONB, json.n + 1);
	strbuf_add_char(&p->buf, 1); /* version of the format */
	strbuf_add_slice(&p->buf, json);
}

void pg_array(struct pg_params *p, enum pg_type element)
{
	check(!p->open_array && p->count < PG_MAX_PARAMS);
	p->item[p->count].at = p->buf.n;
	p->item[p->count].oid = array_oid(element);
	p->array_at = p->buf.n;
	p->array_elements = 0;
	p->array_type = element;
	p->open_array = true;
	put(&p->buf, 1, 4); /* dimensions */
	put(&p->buf, 0, 4); /* has NULLs */
	put(&p->buf, (uint32_t)element, 4);
	put(&p->buf, 0, 4); /* elements */
	put(&p->buf, 1, 4); /* lower bound */
}

void pg_array_end(struct pg_params *p)
{
	check(p->open_array);
	p->open_array = false;
	if (p->array_elements == 0) {
		patch32(&p->buf, p->array_at, 0);
		p->buf.n = p->array_at + 12;
	} else {
		patch32(&p->buf, p->array_at + 12, p->array_elements);
	}
	p->item[p->count].len = p->buf.n - p->array_at;
	p->count++;
}
