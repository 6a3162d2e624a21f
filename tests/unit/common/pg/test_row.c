/* SPDX-License-Identifier: Apache-2.0
 * Typed reading of a result made by hand, and the death of a wrong type. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <libpq-fe.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/attr.h"
#include "common/pg/param.h"
#include "common/pg/row.h"

static const struct {
	unsigned oid;
	const char *bytes;
	int n;
} columns[] = {
	{PG_BOOL, "\x01", 1},
	{PG_INT2, "\xff\xfe", 2},
	{PG_INT4, "\x80\0\0\0", 4},
	{PG_INT8, "\x7f\xff\xff\xff\xff\xff\xff\xff", 8},
	{PG_TEXT, "a\0b", 3},
	{PG_BYTEA, "\0\xff", 2},
	{PG_UUID, "0123456789abcdef", 16},
	{PG_TIMESTAMPTZ, "\0\0\0\0\0\0\0\x01", 8},
	{PG_JSONB, "\x01{\"a\":1}", 8},
	{1043, "varchar", 7},
};
enum { BOOL, I2, I4, I8, TEXT, BYTEA, UUID, TIME, JSONB, VARCHAR };

/* Row 0 as above, row 1 all NULL. */
static struct pg_result *make(int format)
{
	PGresult *r = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
	PGresAttDesc d[ARRAY_LEN(columns)];
	static char name[] = "c";
	for (size_t i = 0; i < ARRAY_LEN(columns); i++)
		d[i] = (PGresAttDesc){
			.name = name, .format = format, .typid = columns[i].oid};
	assert_true(PQsetResultAttrs(r, ARRAY_LEN(columns), d));
	for (int i = 0; i < (int)ARRAY_LEN(columns); i++) {
		char copy[32];
		memcpy(copy, columns[i].bytes, (size_t)columns[i].n);
		assert_true(PQsetvalue(r, 0, i, copy, columns[i].n));
		assert_true(PQsetvalue(r, 1, i, NULL, -1));
	}
	return (struct pg_result *)(void *)r;
}

static void drop(struct pg_result *r)
{
	PQclear((PGresult *)(void *)r);
}

static void test_values(void **state)
{
	(void)state;
	struct pg_result *r = make(1);
	assert_int_equal(pg_rows(r), 2);
	assert_true(pg_get_bool(r, 0, BOOL));
	assert_int_equal(pg_get_i64(r, 0, I2), -2);
	assert_int_equal(pg_get_i64(r, 0, I4), INT32_MIN);
	assert_true(pg_get_i64(r, 0, I8) == INT64_MAX);
	assert_true(slice_eq(pg_get_text(r, 0, TEXT), SLICE("a\0b")));
	assert_true(slice_eq(pg_get_bytea(r, 0, BYTEA), SLICE("\0\xff")));
	assert_memory_equal(pg_get_uuid(r, 0, UUID).b, "0123456789abcdef", 16);
	assert_true(pg_get_time(r, 0, TIME) == 946684800000001);
	assert_true(slice_is(pg_get_text(r, 0, JSONB), "{\"a\":1}"));
	assert_true(slice_is(pg_get_text(r, 0, VARCHAR), "varchar"));
	drop(r);
}

static void test_nulls(void **state)
{
	(void)state;
	struct pg_result *r = make(1);
	for (int i = 0; i < (int)ARRAY_LEN(columns); i++) {
		assert_false(pg_is_null(r, 0, i));
		assert_true(pg_is_null(r, 1, i));
	}
	assert_false(pg_get_bool(r, 1, BOOL));
	assert_int_equal(pg_get_i64(r, 1, I8), 0);
	assert_null(pg_get_text(r, 1, TEXT).p);
	assert_null(pg_get_text(r, 1, JSONB).p);
	assert_null(pg_get_bytea(r, 1, BYTEA).p);
	assert_true(uuid_is_nil(pg_get_uuid(r, 1, UUID)));
	assert_int_equal(pg_get_time(r, 1, TIME), 0);
	drop(r);
}

static bool dies(int how, const struct pg_result *r)
{
	int status;
	pid_t pid = fork();
	if (pid == 0) {
		struct rlimit none = {0, 0};
		setrlimit(RLIMIT_CORE, &none);
		close(STDERR_FILENO);
		switch (how) {
		case 0:
			pg_get_i64(r, 0, TEXT);
			break;
		case 1:
			pg_get_text(r, 0, I8);
			break;
		case 2:
			pg_get_bool(r, 0, I2);
			break;
		case 3:
			pg_get_uuid(r, 0, BYTEA);
			break;
		case 4:
			pg_get_time(r, 0, I8);
			break;
		case 5:
			pg_get_bytea(r, 0, TEXT);
			break;
		case 6:
			pg_get_i64(r, 2, I8);
			break;
		case 7:
			pg_get_i64(r, 0, ARRAY_LEN(columns));
			break;
		case 8:
			pg_get_i64(r, -1, I8);
			break;
		case 9:
			pg_get_i64(r, 0, UUID);
			break;
		case 10:
			pg_get_text(r, 0, UUID);
			break;
		case 11:
			pg_get_text(r, 0, BYTEA);
			break;
		case 12:
			pg_get_text(r, 0, I4);
			break;
		case 13:
			pg_get_text(r, 0, TIME);
			break;
		default:
			pg_get_text(r, 0, BOOL);
			break;
		}
		_exit(0);
	}
	waitpid(pid, &status, 0);
	return WIFSIGNALED(status) || WEXITSTATUS(status) != 0;
}

static void test_wrong_type_is_a_bug(void **state)
{
	(void)state;
	struct pg_result *r = make(1), *text = make(0);
	for (int how = 0; how <= 14; how++)
		if (!dies(how, r))
			fail_msg("case %d was let through", how);
	assert_true(dies(0, text)); /* and text format */
	drop(r);
	drop(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_values),
					   cmocka_unit_test(test_nulls),
					   cmocka_unit_test(test_wrong_type_is_a_bug)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
