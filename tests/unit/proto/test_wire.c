/* SPDX-License-Identifier: Apache-2.0
 * The codec over every message of the table, and frames no honest peer would send. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/alloc.h"
#include "common/crypto.h"
#include "proto/wire.h"
#include "tests/unit/common/rand.h"

static char filler[LIMIT_BODY_BYTES + 1];
static const char *why;

static const unsigned in_table = 0
#define MSG(U, l, id, route, phases) +1
#define FIELD(m, f, T, max)
#define END(m)
#include "proto/messages.tbl"
#undef MSG
#undef FIELD
#undef END
	;

static const struct wire_desc *next_desc(unsigned *id)
{
	while (++*id < WIRE__MAX)
		if (wire_desc(*id))
			return wire_desc(*id);
	return NULL;
}
#define EACH_MESSAGE(d)                                                                  \
	unsigned d##_id = 0;                                                             \
	for (const struct wire_desc *d; (d = next_desc(&d##_id));)

static bool is_bytes(const struct wire_field *f)
{
	return f->type == WIRE_T_STR || f->type == WIRE_T_BIN;
}

static void *field_at(union wire_any *m, const struct wire_field *f)
{
	return (char *)m + f->offset;
}

/* Values of every magnitude. */
static uint64_t some_number(void)
{
	return rand_next() >> rand_below(64);
}

static void fill(union wire_any *m, const struct wire_desc *d, bool longest)
{
	memset(m, 0, sizeof *m);
	for (unsigned i = 0; i < d->field_count; i++) {
		const struct wire_field *f = &d->fields[i];
		void *at = field_at(m, f);
		uint32_t n =
			longest ? f->max : rand_below((f->max < 300 ? f->max : 300) + 1);
		switch (f->type) {
		case WIRE_T_STR:
		case WIRE_T_BIN:
			*(struct slice *)at = slice_of(filler + rand_below(10), n);
			if (longest)
				*(struct slice *)at = slice_of(filler, n);
			break;
		case WIRE_T_U32:
			*(uint32_t *)at = longest ? UINT32_MAX : (uint32_t)some_number();
			break;
		case WIRE_T_U64:
			*(uint64_t *)at = longest ? UINT64_MAX : some_number();
			break;
		case WIRE_T_I64:
			*(int64_t *)at = longest ? INT64_MIN : (int64_t)some_number();
			if (!longest && rand_chance(50))
				*(int64_t *)at = ~*(int64_t *)at;
			break;
		case WIRE_T_BOOL:
			*(bool *)at = longest || rand_chance(50);
			break;
		case WIRE_T_UUID:
			rand_bytes(at, 16);
			break;
		}
	}
}

static size_t size_of(enum wire_type t)
{
	static const size_t size[] = {[WIRE_T_U32] = 4,
				      [WIRE_T_U64] = 8,
				      [WIRE_T_I64] = 8,
				      [WIRE_T_BOOL] = sizeof(bool),
				      [WIRE_T_UUID] = 16};
	return size[t];
}

static void assert_same(union wire_any *a, union wire_any *b, const struct wire_desc *d)
{
	for (unsigned i = 0; i < d->field_count; i++) {
		const struct wire_field *f = &d->fields[i];
		bool same = is_bytes(f) ? slice_eq(*(struct slice *)field_at(a, f),
						   *(struct slice *)field_at(b, f))
					: !memcmp(field_at(a, f), field_at(b, f),
						  size_of(f->type));
		if (!same)
			fail_msg("%s.%s", d->name, f->name);
	}
}

static enum err open_one(struct slice frame, enum wire_id *id, union wire_any *out)
{
	struct wire_frame f;
	enum err e = wire_frame_open(frame, &f, &why);
	return e ? e : wire_frame_next(&f, id, out, &why);
}

static void test_round_trip(void **state)
{
	(void)state;
	unsigned messages = 0;
	EACH_MESSAGE(d)
	{
		messages++;
		for (int round = 0; round < 60; round++) {
			AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
			union wire_any in, out;
			struct wire_frame f;
			enum wire_id id;
			uint64_t counter = some_number();
			fill(&in, d, round == 0);
			wire_encode_counter(&b, counter);
			assert_int_equal(wire_encode(&b, d->id, &in), ERR_OK);
			assert_int_equal(wire_encode(&b, d->id, &in), ERR_OK);
			assert_int_equal(wire_frame_open(strbuf_slice(&b), &f, &why), 0);
			assert_true(f.counter == counter);
			for (int i = 0; i < 2; i++) {
				assert_int_equal(wire_frame_next(&f, &id, &out, &why), 0);
				assert_int_equal(id, d->id);
				assert_same(&in, &out, d);
			}
			assert_int_equal(wire_frame_next(&f, &id, &out, &why),
					 ERR_NOT_FOUND);
		}
	}
	assert_int_equal(messages, in_table);
}

static void test_too_long_appends_nothing(void **state)
{
	(void)state;
	unsigned seen = 0;
	EACH_MESSAGE(d)
	for (unsigned i = 0; i < d->field_count; i++) {
		if (!is_bytes(&d->fields[i]))
			continue;
		AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
		union wire_any m;
		fill(&m, d, false);
		*(struct slice *)field_at(&m, &d->fields[i]) =
			slice_of(filler, d->fields[i].max + 1);
		strbuf_add_str(&b, "kept");
		assert_int_equal(wire_encode(&b, d->id, &m), ERR_TOO_LARGE);
		assert_string_equal(b.p, "kept");
		seen++;
	}
	assert_true(seen > 15);
}

/* ---- frames made by hand */

static void raw_number(struct strbuf *b, uint64_t n)
{
	wire_encode_counter(b, n);
}

static void raw_bin(struct strbuf *b, char type, uint32_t n)
{
	char head[5] = {type, (char)(n >> 24), (char)(n >> 16), (char)(n >> 8), (char)n};
	strbuf_add(b, head, 5);
	strbuf_add(b, filler, n);
}

enum twist { HONEST, OTHER_TYPE, OTHER_STRING_TYPE, TOO_LONG, TOO_BIG };

static void raw_field(struct strbuf *b, const struct wire_field *f, enum twist t)
{
	char bin = (char)0xc6, str = (char)0xdb;
	if (is_bytes(f) || f->type == WIRE_T_UUID) {
		char right = f->type == WIRE_T_STR ? str : bin;
		uint32_t n = f->type == WIRE_T_UUID ? 16 : 0;
		if (t == OTHER_TYPE)
			raw_number(b, 1);
		else if (t == OTHER_STRING_TYPE)
			raw_bin(b, right == str ? bin : str, n);
		else if (t == TOO_LONG)
			raw_bin(b, right, (f->type == WIRE_T_UUID ? 16 : f->max) + 1);
		else if (t == TOO_BIG)
			strbuf_add_char(b, (char)0x90); /* an empty array */
		else
			raw_bin(b, right, n);
		return;
	}
	bool is_bool = f->type == WIRE_T_BOOL;
	if (t == OTHER_TYPE)
		strbuf_add_char(b, is_bool ? 1 : (char)0xc3);
	else if (t == OTHER_STRING_TYPE)
		raw_bin(b, str, 1);
	else if (t == TOO_LONG)
		strbuf_add(b, "\xca\0\0\0\0", 5); /* a float */
	else if (t == TOO_BIG && f->type == WIRE_T_U32)
		raw_number(b, (uint64_t)UINT32_MAX + 1);
	else if (t == TOO_BIG && f->type == WIRE_T_I64)
		raw_number(b, (uint64_t)INT64_MAX + 1);
	else if (t == TOO_BIG)
		strbuf_add_char(b, is_bool ? 0 : (char)0xff); /* -1 */
	else
		strbuf_add_char(b, is_bool ? (char)0xc2 : 0);
}

static enum err play(const struct wire_desc *d, unsigned fields, unsigned bad,
		     enum twist twist)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	union wire_any m;
	enum wire_id id;
	raw_number(&b, 1);
	strbuf_add_char(&b, (char)0xdc);
	strbuf_add_char(&b, 0);
	strbuf_add_char(&b, (char)(fields + 1));
	raw_number(&b, d->id);
	for (unsigned i = 0; i < fields; i++)
		raw_field(&b, &d->fields[i < d->field_count ? i : 0],
			  i == bad ? twist : HONEST);
	return open_one(strbuf_slice(&b), &id, &m);
}

static void test_wrong_fields(void **state)
{
	(void)state;
	EACH_MESSAGE(d)
	{
		unsigned n = d->field_count;
		assert_int_equal(play(d, n, UINT32_MAX, HONEST), ERR_OK);
		assert_int_equal(play(d, n - 1, UINT32_MAX, HONEST), ERR_PROTOCOL);
		assert_int_equal(play(d, n + 1, UINT32_MAX, HONEST), ERR_PROTOCOL);
		for (unsigned i = 0; i < n; i++)
			for (enum twist t = OTHER_TYPE; t <= TOO_BIG; t++)
				if (play(d, n, i, t) != ERR_PROTOCOL)
					fail_msg("%s.%s twist %d", d->name,
						 d->fields[i].name, t);
	}
}

/* A sanitizer sees any read past the end: each piece is memory of its own. */
static void test_truncated_everywhere(void **state)
{
	(void)state;
	EACH_MESSAGE(d)
	{
		AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
		union wire_any m;
		enum wire_id id;
		fill(&m, d, false);
		wire_encode_counter(&b, 77);
		size_t head = b.n;
		assert_int_equal(wire_encode(&b, d->id, &m), ERR_OK);
		for (size_t n = 0; n < b.n; n++) {
			char *piece = xmemdup(b.p, n ? n : 1);
			enum err e = open_one(slice_of(piece, n), &id, &m);
			assert_int_equal(e, n == head ? ERR_NOT_FOUND : ERR_PROTOCOL);
			free(piece);
		}
		strbuf_add_char(&b, 5); /* a number is no message */
		struct wire_frame f;
		assert_int_equal(wire_frame_open(strbuf_slice(&b), &f, &why), ERR_OK);
		assert_int_equal(wire_frame_next(&f, &id, &m, &why), ERR_OK);
		assert_int_equal(wire_frame_next(&f, &id, &m, &why), ERR_PROTOCOL);
	}
}

/* One changed byte: refused or some message, never a fault. */
static void test_bent_bytes(void **state)
{
	(void)state;
	EACH_MESSAGE(d)
	for (int round = 0; round < 300; round++) {
		AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
		union wire_any m;
		struct wire_frame f;
		enum wire_id id;
		fill(&m, d, false);
		wire_encode_counter(&b, 77);
		assert_int_equal(wire_encode(&b, d->id, &m), ERR_OK);
		for (uint32_t i = 0; i <= rand_below(3); i++)
			b.p[rand_below((uint32_t)b.n)] = (char)rand_next();
		char *piece = xmemdup(b.p, b.n);
		if (!wire_frame_open(slice_of(piece, b.n), &f, &why))
			while (!wire_frame_next(&f, &id, &m, &why))
				assert_non_null(wire_desc(id));
		free(piece);
	}
}

static void assert_refused(const void *p, size_t n, const char *reason)
{
	struct wire_frame f;
	why = NULL;
	char *copy = xmemdup(p, n ? n : 1);
	assert_int_equal(wire_frame_open(slice_of(copy, n), &f, &why), ERR_PROTOCOL);
	free(copy);
	assert_non_null(why);
	if (!strstr(why, reason))
		fail_msg("refused as '%s', not as '%s'", why, reason);
}
#define REFUSED(bytes, reason) assert_refused(bytes, sizeof(bytes) - 1, reason)

static void test_bombs(void **state)
{
	(void)state;
	REFUSED("", "no frame counter");
	REFUSED("\xc3", "no frame counter");
	REFUSED("\xff", "no frame counter");
	REFUSED("\x90", "no frame counter");
	REFUSED("\x01\xdd\x05\xf5\xe1\x00", "declared size"); /* 100 million elements */
	REFUSED("\x01\xdd\xff\xff\xff\xff", "declared size");
	REFUSED("\x01\xdc\xff\xff", "declared size");
	REFUSED("\x01\xc6\xff\xff\xff\xff", "declared size");
	REFUSED("\x01\xdb\x05\xf5\xe1\x00", "declared size");
	REFUSED("\x01\xc5\xff\xff", "declared size");
	REFUSED("\x01\xcf\x01\x02", "declared size");
	REFUSED("\x01\xdd\x05\xf5", "truncated");
	REFUSED("\x01\x93\x01\x02", "declared size");
	REFUSED("\x01\x92\x92\x01\x02", "truncated");
	REFUSED("\x01\x81\x01\x02", "a type");             /* a map */
	REFUSED("\x01\xdf\x05\xf5\xe1\x00", "a type");     /* a large one */
	REFUSED("\x01\xc0", "a type");                     /* nil */
	REFUSED("\x01\xc1", "a type");                     /* never used */
	REFUSED("\x01\xd4\x01\x01", "a type");             /* an extension */
	REFUSED("\x01\xc9\xff\xff\xff\xff\x01", "a type"); /* a large one */
	REFUSED("\x01\xcb\0\0\0\0\0\0\0\0", "a type");     /* a double */
	REFUSED("\x01\x91\x91\x91\x91\x91\x01", "nested too deep");
}

static void test_bounds_of_a_frame(void **state)
{
	(void)state;
	struct wire_frame f;
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	char *at = strbuf_reserve(&b, LIMIT_FRAME_BYTES + 1);
	memset(at, 1, LIMIT_FRAME_BYTES + 1);
	assert_int_equal(wire_frame_open(slice_of(at, LIMIT_FRAME_VALUES), &f, &why), 0);
	assert_refused(at, LIMIT_FRAME_VALUES + 1, "too many values");
	assert_refused(at, LIMIT_FRAME_BYTES + 1, "over the frame limit");
	/* many elements, each an array of as many: counted, not multiplied out */
	strbuf_reset(&b);
	strbuf_add(&b, "\x01", 1);
	for (int i = 0; i < 3; i++)
		strbuf_add(&b, "\xdc\xff\xff", 3);
	for (int i = 0; i < 70000; i++)
		strbuf_add_char(&b, 0);
	assert_refused(b.p, b.n, "too many values");
	assert_int_equal(wire_frame_open(SLICE("\x01\x91\x91\x91\x91"), &f, &why),
			 ERR_PROTOCOL);
	assert_int_equal(wire_frame_open(SLICE("\x01\x91\x91\x91\x91\x01"), &f, &why), 0);
}

static void test_unknown_message(void **state)
{
	(void)state;
	union wire_any m;
	enum wire_id id;
	assert_int_equal(open_one(SLICE("\x01\x91\x3f"), &id, &m), ERR_PROTOCOL);
	assert_string_equal(why, "an unknown message");
	assert_int_equal(open_one(SLICE("\x01\x91\x00"), &id, &m), ERR_PROTOCOL);
	assert_int_equal(open_one(SLICE("\x01\x91\xcd\xff\xff"), &id, &m), ERR_PROTOCOL);
	assert_int_equal(open_one(SLICE("\x01\x91\xff"), &id, &m), ERR_PROTOCOL);
	assert_int_equal(open_one(SLICE("\x01\x90"), &id, &m), ERR_PROTOCOL);
	assert_int_equal(open_one(SLICE("\x01\x91\xa1x"), &id, &m), ERR_PROTOCOL);
	assert_null(wire_desc(WIRE__MAX));
	assert_null(wire_desc(UINT32_MAX));
	assert_true(wire_table_hash() != 0);
	assert_true(wire_table_hash() == wire_table_hash());
}

int main(void)
{
	crypto_init();
	rand_begin();
	for (size_t i = 0; i < sizeof filler; i++)
		filler[i] = (char)('a' + i % 26);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_too_long_appends_nothing),
		cmocka_unit_test(test_wrong_fields),
		cmocka_unit_test(test_truncated_everywhere),
		cmocka_unit_test(test_bent_bytes),
		cmocka_unit_test(test_bombs),
		cmocka_unit_test(test_bounds_of_a_frame),
		cmocka_unit_test(test_unknown_message),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
