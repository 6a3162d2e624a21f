/* SPDX-License-Identifier: Apache-2.0
 * Parameters as bytes: what Postgres's binary protocol prescribes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/pg/param.h"

static struct pg_params p;

static void assert_item(int i, uint32_t oid, const char *bytes, size_t n)
{
	assert_true(i < p.count);
	assert_int_equal(p.item[i].oid, oid);
	assert_int_equal(p.item[i].len, n);
	assert_memory_equal(p.buf.p + p.item[i].at, bytes, n);
}
#define ITEM(i, oid, bytes) assert_item(i, oid, bytes, sizeof(bytes) - 1)

static void test_scalars(void **state)
{
	(void)state;
	struct uuid u = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};
	pg_params_init(&p);
	pg_bool(&p, true);
	pg_i16(&p, -2);
	pg_i32(&p, 0x01020304);
	pg_i64(&p, -1);
	pg_text(&p, SLICE("a\0b"));
	pg_bytea(&p, SLICE(""));
	pg_uuid(&p, u);
	pg_time(&p, 946684800000001); /* one microsecond after 2000 */
	pg_jsonb(&p, SLICE("{}"));
	pg_time(&p, 0);
	ITEM(0, PG_BOOL, "\x01");
	ITEM(1, PG_INT2, "\xff\xfe");
	ITEM(2, PG_INT4, "\x01\x02\x03\x04");
	ITEM(3, PG_INT8, "\xff\xff\xff\xff\xff\xff\xff\xff");
	ITEM(4, PG_TEXT, "a\0b");
	ITEM(5, PG_BYTEA, "");
	ITEM(6, PG_UUID,
	     "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10");
	ITEM(7, PG_TIMESTAMPTZ, "\0\0\0\0\0\0\0\x01");
	ITEM(8, PG_JSONB, "\x01{}");
	ITEM(9, PG_TIMESTAMPTZ, "\xff\xfc\xa2\xfe\xc4\xc8\x20\x00");
	assert_int_equal(p.count, 10);
	pg_params_fini(&p);
}

static void test_nulls(void **state)
{
	(void)state;
	pg_params_init(&p);
	pg_null(&p, PG_INT8);
	pg_text(&p, SLICE_NONE);
	pg_bytea(&p, SLICE_NONE);
	pg_jsonb(&p, SLICE_NONE);
	static const uint32_t oid[] = {PG_INT8, PG_TEXT, PG_BYTEA, PG_JSONB};
	for (int i = 0; i < 4; i++) {
		assert_int_equal(p.item[i].len, SIZE_MAX);
		assert_int_equal(p.item[i].oid, oid[i]);
	}
	assert_int_equal(p.buf.n, 0);
	pg_params_fini(&p);
}

static void test_arrays(void **state)
{
	(void)state;
	pg_params_init(&p);
	pg_array(&p, PG_INT2);
	pg_i16(&p, 5);
	pg_null(&p, PG_INT2);
	pg_i16(&p, 6);
	pg_array_end(&p);
	pg_array(&p, PG_TEXT);
	pg_array_end(&p);
	pg_array(&p, PG_JSONB);
	pg_jsonb(&p, SLICE("1"));
	pg_array_end(&p);
	pg_i16(&p, 7); /* and single ones again */
	ITEM(0, 1005,
	     "\0\0\0\x01\0\0\0\x01\0\0\0\x15\0\0\0\x03\0\0\0\x01"
	     "\0\0\0\x02\0\x05\xff\xff\xff\xff\0\0\0\x02\0\x06");
	ITEM(1, 1009, "\0\0\0\0\0\0\0\0\0\0\0\x19"); /* no dimension at all */
	ITEM(2, 3807,
	     "\0\0\0\x01\0\0\0\0\0\0\x0e\xda\0\0\0\x01\0\0\0\x01\0\0\0\x02\x01"
	     "1");
	ITEM(3, PG_INT2, "\0\x07");
	pg_params_fini(&p);
}

static void test_reset(void **state)
{
	(void)state;
	pg_params_init(&p);
	pg_array(&p, PG_INT8); /* left open */
	pg_i64(&p, 1);
	pg_params_reset(&p);
	pg_i64(&p, 2);
	assert_int_equal(p.count, 1);
	ITEM(0, PG_INT8, "\0\0\0\0\0\0\0\x02");
	pg_params_fini(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scalars), cmocka_unit_test(test_nulls),
		cmocka_unit_test(test_arrays), cmocka_unit_test(test_reset)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
