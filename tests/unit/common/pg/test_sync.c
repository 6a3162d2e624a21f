/* SPDX-License-Identifier: Apache-2.0
 * Blocking use, and every parameter type there and back; needs TB_TEST_DATABASE. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/attr.h"
#include "common/crypto.h"
#include "common/pg/pool.h"

static const char *conninfo;
static struct pg_sync *s;
static struct pg_params p;

static int begin(void **state)
{
	(void)state;
	char err[300] = "";
	pg_params_init(&p);
	if (conninfo && !(s = pg_sync_open(conninfo, err, sizeof err)))
		fail_msg("%s", err);
	return 0;
}

static int finish(void **state)
{
	(void)state;
	pg_params_fini(&p);
	pg_sync_close(s);
	return 0;
}
#define NEEDS_POSTGRES()                                                                 \
	do {                                                                             \
		(void)state;                                                             \
		pg_params_reset(&p);                                                     \
		if (!conninfo)                                                           \
			skip();                                                          \
	} while (0)

static struct pg_result *query(const char *sql)
{
	char err[300] = "";
	struct pg_result *r = NULL;
	if (pg_sync_query(s, sql, &p, &r, err, sizeof err))
		fail_msg("%s: %s", sql, err);
	return r;
}

/* What Postgres understands of the parameters, as it writes it. */
static void assert_reads(const char *sql, const char *want)
{
	struct pg_result *r = query(sql);
	struct slice got = pg_get_text(r, 0, 0);
	if (!slice_is(got, want))
		fail_msg("%s: '%.*s' is not '%s'", sql, SLICE_ARG(got), want);
	pg_result_free(r);
	pg_params_reset(&p);
}

static const struct uuid id = {{0xab, 1, [15] = 0xcd}};
#define ID_TEXT "ab010000-0000-0000-0000-0000000000cd"

static void test_scalars(void **state)
{
	NEEDS_POSTGRES();
	pg_bool(&p, true);
	pg_i16(&p, -32768);
	pg_i32(&p, INT32_MIN);
	pg_i64(&p, INT64_MAX);
	pg_text(&p, SLICE("t\xc3\xa4"));
	pg_bytea(&p, SLICE("\0\xff"));
	pg_uuid(&p, id);
	pg_time(&p, 1767225600000001);
	pg_jsonb(&p, SLICE("{\"a\": [1]}"));
	pg_null(&p, PG_INT8);
	struct pg_result *r = query("SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10");
	assert_true(pg_get_bool(r, 0, 0));
	assert_int_equal(pg_get_i64(r, 0, 1), -32768);
	assert_int_equal(pg_get_i64(r, 0, 2), INT32_MIN);
	assert_true(pg_get_i64(r, 0, 3) == INT64_MAX);
	assert_true(slice_is(pg_get_text(r, 0, 4), "t\xc3\xa4"));
	assert_true(slice_eq(pg_get_bytea(r, 0, 5), SLICE("\0\xff")));
	assert_true(uuid_eq(pg_get_uuid(r, 0, 6), id));
	assert_true(pg_get_time(r, 0, 7) == 1767225600000001);
	assert_true(slice_is(pg_get_text(r, 0, 8), "{\"a\": [1]}"));
	assert_true(pg_is_null(r, 0, 9));
	pg_result_free(r);
	pg_params_reset(&p);
	pg_time(&p, 1767225600000001);
	assert_reads("SELECT to_char($1 AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')",
		     "2026-01-01 00:00:00.000001");
}

static void test_arrays(void **state)
{
	NEEDS_POSTGRES();
	pg_array(&p, PG_BOOL);
	pg_bool(&p, true);
	pg_bool(&p, false);
	pg_array_end(&p);
	assert_reads("SELECT $1::text", "{t,f}");
	pg_array(&p, PG_INT2);
	pg_i16(&p, -1);
	pg_null(&p, PG_INT2);
	pg_array_end(&p);
	assert_reads("SELECT $1::text", "{-1,NULL}");
	pg_array(&p, PG_INT4);
	pg_i32(&p, INT32_MIN);
	pg_array_end(&p);
	assert_reads("SELECT $1::text", "{-2147483648}");
	pg_array(&p, PG_INT8);
	pg_i64(&p, INT64_MIN);
	pg_i64(&p, 0);
	pg_array_end(&p);
	assert_reads("SELECT $1::text", "{-9223372036854775808,0}");
	pg_array(&p, PG_TEXT);
	pg_text(&p, SLICE("a b"));
	pg_text(&p, SLICE(""));
	pg_text(&p, SLICE_NONE);
	pg_text(&p, SLICE("NULL"));
	pg_array_end(&p);
	assert_reads("SELECT $1::text", "{\"a b\",\"\",NULL,\"NULL\"}");
	pg_array(&p, PG_BYTEA);
	pg_bytea(&p, SLICE("\0\xff"));
	pg_array_end(&p);
	assert_reads("SELECT encode($1[1], 'hex')", "00ff");
	pg_array(&p, PG_UUID);
	pg_uuid(&p, id);
	pg_uuid(&p, id);
	pg_array_end(&p);
	assert_reads("SELECT $1::text", "{" ID_TEXT "," ID_TEXT "}");
	pg_array(&p, PG_TIMESTAMPTZ);
	pg_time(&p, 0);
	pg_array_end(&p);
	assert_reads("SELECT ($1[1] AT TIME ZONE 'UTC')::text", "1970-01-01 00:00:00");
	pg_array(&p, PG_JSONB);
	pg_jsonb(&p, SLICE("[1]"));
	pg_null(&p, PG_JSONB);
	pg_array_end(&p);
	assert_reads("SELECT $1::text", "{[1],NULL}");
}

static void test_empty_and_long_arrays(void **state)
{
	NEEDS_POSTGRES();
	static const enum pg_type all[] = {PG_BOOL,        PG_BYTEA, PG_INT8,
					   PG_INT2,        PG_INT4,  PG_TEXT,
					   PG_TIMESTAMPTZ, PG_UUID,  PG_JSONB};
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		pg_array(&p, all[i]);
		pg_array_end(&p);
		assert_reads("SELECT $1::text", "{}");
	}
	pg_array(&p, PG_INT8);
	for (int i = 1; i <= 100000; i++)
		pg_i64(&p, i);
	pg_array_end(&p);
	pg_array(&p, PG_TEXT);
	for (int i = 1; i <= 1000; i++)
		pg_text(&p, SLICE("text"));
	pg_array_end(&p);
	assert_reads("SELECT (SELECT sum(x) FROM unnest($1) x)::text || "
		     "cardinality($2)::text",
		     "50000500001000");
}

static void test_types_of_text(void **state)
{
	NEEDS_POSTGRES();
	assert_reads("SELECT 'a'::varchar", "a");
	assert_reads("SELECT 'a'::name", "a");
	assert_reads("SELECT '{\"a\" : 1}'::json", "{\"a\" : 1}");
	assert_reads("SELECT '{\"a\" : 1}'::jsonb", "{\"a\": 1}");
	assert_reads("SELECT 'a'", "a");
}

static void test_errors(void **state)
{
	NEEDS_POSTGRES();
	char err[300] = "";
	assert_int_equal(pg_sync_exec(s, "SELECT 1; SELEC 2", err, sizeof err),
			 ERR_DATABASE);
	assert_non_null(strstr(err, "syntax error"));
	assert_null(strchr(err, '\n'));
	/* a script is one transaction: the first part is gone too */
	assert_int_equal(pg_sync_exec(s, "CREATE TEMP TABLE tb_ut_t (n int); SELECT 1/0",
				      err, sizeof err),
			 ERR_DATABASE);
	assert_int_equal(pg_sync_exec(s, "SELECT * FROM tb_ut_t", err, sizeof err),
			 ERR_DATABASE);
	assert_int_equal(pg_sync_query(s, "SELECT 1/0", NULL, NULL, err, sizeof err),
			 ERR_DATABASE);
	assert_string_equal(err, "ERROR:  division by zero");
	assert_int_equal(pg_sync_query(s, "SELECT 1", NULL, NULL, NULL, 0), ERR_OK);
}

static void test_scram(void **state)
{
	NEEDS_POSTGRES();
	char *v = pg_sync_scram(s, "somebody", "pass word");
	assert_non_null(v);
	assert_memory_equal(v, "SCRAM-SHA-256$4096:", 19);
	assert_null(strstr(v, "pass"));
	free(v);
}

/* ---- without a database */

static void assert_set(const char *from, const char *key, const char *value,
		       const char *want)
{
	char err[300] = "";
	char *got = pg_conninfo_set(from, key, value, err, sizeof err);
	if (!got)
		fail_msg("%s: %s", from, err);
	if (!strstr(got, want))
		fail_msg("%s has no %s", got, want);
	/* what comes out is taken again */
	char *again = pg_conninfo_set(got, "application_name", "x", err, sizeof err);
	assert_non_null(again);
	assert_non_null(strstr(again, want));
	free(again);
	free(got);
}

static void test_conninfo(void **state)
{
	(void)state;
	char err[300] = "";
	assert_set("host=a user=b", "user", "c", "user='c'");
	assert_set("host=a user=b", "user", "c", "host='a'");
	assert_set("host=a", "password", "it's a \\ b", "password='it\\'s a \\\\ b'");
	assert_set("postgresql://u:p%27w@h:77/d", "user", "v", "password='p\\'w'");
	assert_set("postgresql://u:p@h:77/d", "user", "v", "port='77'");
	assert_set("", "host", "/run/x y", "host='/run/x y'");
	char *got = pg_conninfo_set("user=b", "user", "c", err, sizeof err);
	assert_null(strstr(got, "'b'"));
	free(got);
	assert_null(pg_conninfo_set("nonsense", "user", "c", err, sizeof err));
	assert_true(*err && !strchr(err, '\n'));
	assert_null(pg_conninfo_set("no_such_key=1", "user", "c", err, sizeof err));
	assert_null(pg_sync_open("host=/nonexistent dbname=x", err, sizeof err));
	assert_true(*err && !strchr(err, '\n'));
}

int main(void)
{
	crypto_init();
	conninfo = getenv("TB_TEST_DATABASE");
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scalars),
		cmocka_unit_test(test_arrays),
		cmocka_unit_test(test_empty_and_long_arrays),
		cmocka_unit_test(test_types_of_text),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_scram),
		cmocka_unit_test(test_conninfo),
	};
	return cmocka_run_group_tests(tests, begin, finish);
}
