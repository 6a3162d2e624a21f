/* SPDX-License-Identifier: Apache-2.0
 * Kinds of SQLSTATEs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/attr.h"
#include "common/pg/error.h"

static const struct {
	const char *sqlstate;
	enum pg_error kind;
} cases[] = {
	{"40001", PG_ERROR_AGAIN},   {"40P01", PG_ERROR_AGAIN},
	{"26000", PG_ERROR_AGAIN},   {"0A000", PG_ERROR_AGAIN},
	{"55P03", PG_ERROR_LOCK},    {"57014", PG_ERROR_LOCK},
	{"55006", PG_ERROR_WEATHER}, /* object in use */
	{"57P01", PG_ERROR_WEATHER}, /* admin shutdown */
	{"57P02", PG_ERROR_WEATHER}, /* crash shutdown */
	{"57P03", PG_ERROR_WEATHER}, /* cannot connect now */
	{"08006", PG_ERROR_WEATHER}, /* connection failure */
	{"25006", PG_ERROR_WEATHER}, /* read-only transaction */
	{"53100", PG_ERROR_WEATHER}, /* disk full */
	{"53200", PG_ERROR_WEATHER}, /* out of memory */
	{"53300", PG_ERROR_WEATHER}, /* too many connections */
	{"58030", PG_ERROR_WEATHER}, /* io error */
	{"58P01", PG_ERROR_WEATHER}, /* undefined file */
	{"XX000", PG_ERROR_WEATHER}, /* internal error */
	{"XX001", PG_ERROR_WEATHER}, /* data corrupted */
	{"42501", PG_ERROR_WEATHER}, /* insufficient privilege */
	{"42883", PG_ERROR_WEATHER}, /* undefined function */
	{"22003", PG_ERROR_ROW},     /* numeric out of range */
	{"22023", PG_ERROR_ROW},     /* invalid parameter */
	{"22P05", PG_ERROR_ROW},     /* untranslatable character */
	{"23502", PG_ERROR_ROW},     /* not null */
	{"23505", PG_ERROR_ROW},     /* unique */
	{"23514", PG_ERROR_ROW},     /* check */
	{"54000", PG_ERROR_ROW},     /* program limit */
	{"P0001", PG_ERROR_ROW},     /* raise */
	{"P0002", PG_ERROR_ROW},     /* no data found */
	{"TB003", PG_ERROR_ROW},     {"", PG_ERROR_WEATHER},
	{"?????", PG_ERROR_WEATHER},
};

static void test_kinds(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (pg_error_kind(cases[i].sqlstate) != cases[i].kind)
			fail_msg("%s is of kind %d", cases[i].sqlstate,
				 (int)pg_error_kind(cases[i].sqlstate));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_kinds)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
