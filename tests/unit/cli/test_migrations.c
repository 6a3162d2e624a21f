/* SPDX-License-Identifier: Apache-2.0
 * Names, order, gaps and duplicates of migration files, and reading a directory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "cli/migrations.h"
#include "common/attr.h"
#include "common/crypto.h"

static void test_names(void **state)
{
	(void)state;
	static const struct {
		const char *file;
		int version;
	} cases[] = {
		{"0001_roles.sql", 1}, {"9999_x.sql", 9999},   {"0010_a_b2.sql", 10},
		{"0000_zero.sql", 0},  {"001_roles.sql", 0},   {"00001_roles.sql", 0},
		{"0001-roles.sql", 0}, {"0001_.sql", 0},       {"0001_Roles.sql", 0},
		{"0001_roles.SQL", 0}, {"0001_ro les.sql", 0}, {"0001_roles.sql.bak", 0},
		{"x001_roles.sql", 0}, {"+001_roles.sql", 0},  {"", 0}};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (migrations_version_of(cases[i].file) != cases[i].version)
			fail_msg("'%s'", cases[i].file);
}

/* Orders migrations of these versions; NULL when they are fine, else the sentence. */
static const char *order(const int *versions, size_t n)
{
	static char err[200];
	static char names[8][8];
	static struct migration list[8];
	struct migrations m = {list, n};
	for (size_t i = 0; i < n; i++) {
		snprintf(names[i], sizeof names[i], "f%d", versions[i]);
		list[i] = (struct migration){.version = versions[i], .file = names[i]};
	}
	err[0] = 0;
	if (migrations_order(&m, err, sizeof err))
		return err;
	for (size_t i = 0; i < n; i++)
		assert_int_equal(list[i].version, i + 1);
	return NULL;
}

static void test_order(void **state)
{
	(void)state;
	assert_null(order((int[]){1}, 0));
	assert_null(order((int[]){1}, 1));
	assert_null(order((int[]){3, 1, 2}, 3));
	assert_non_null(strstr(order((int[]){2}, 1), "0001 is missing before f2"));
	assert_non_null(strstr(order((int[]){1, 4, 2}, 3), "0003 is missing before f4"));
	assert_non_null(strstr(order((int[]){2, 1, 2}, 3), "f2 and f2 have the same"));
	assert_non_null(strstr(order((int[]){1, 1}, 2), "same number"));
}

static char directory[] = "/tmp/test-migrations-XXXXXX";

static void put(const char *file, const char *text, size_t n)
{
	char path[128];
	snprintf(path, sizeof path, "%s/%s", directory, file);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, n, f), n);
	fclose(f);
}

static void take(const char *file)
{
	char path[128];
	snprintf(path, sizeof path, "%s/%s", directory, file);
	assert_int_equal(unlink(path), 0);
}

static const char *load(struct migrations *m)
{
	static char err[400];
	err[0] = 0;
	return migrations_load(m, directory, err, sizeof err) ? err : NULL;
}

static void test_load(void **state)
{
	(void)state;
	struct migrations m;
	uint8_t hash[32];
	assert_non_null(mkdtemp(directory));
	assert_non_null(strstr(load(&m), "there is no migration"));
	put("0002_b.sql", "select 2;", 9);
	put("0001_a.sql", "select 1;", 9);
	put("README.md", "not mine", 8);
	put(".0003_hidden.sql", "x", 1);
	assert_null(load(&m));
	assert_int_equal(m.count, 2);
	assert_string_equal(m.list[0].file, "0001_a.sql");
	assert_string_equal(m.list[1].sql, "select 2;");
	crypto_sha256(SLICE("select 2;"), hash);
	assert_memory_equal(m.list[1].sha256, hash, 32);
	migrations_fini(&m);
	put("0003_nul.sql", "a\0b", 3);
	assert_non_null(strstr(load(&m), "0003_nul.sql is no text"));
	migrations_fini(&m);
	put("0003_nul.sql", "", 0);
	assert_non_null(strstr(load(&m), "0003_nul.sql is empty"));
	migrations_fini(&m);
	take("0003_nul.sql");
	put("3_c.sql", "x", 1);
	assert_non_null(strstr(load(&m), "3_c.sql is no migration's name"));
	migrations_fini(&m);
	take("3_c.sql");
	take("0001_a.sql");
	take("0002_b.sql");
	take("README.md");
	take(".0003_hidden.sql");
	rmdir(directory);
	assert_non_null(strstr(load(&m), directory));
}

static void test_corrected(void **state)
{
	static const struct {
		int version;
		const char *hex;
	} rows[] = {
#define CORRECTED(version, hex) {version, hex},
#include "cli/corrected.tbl"
#undef CORRECTED
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char hash[32];
		unsigned byte;
		assert_int_equal(strlen(rows[i].hex), 64);
		for (size_t k = 0; k < sizeof hash; k++) {
			assert_int_equal(sscanf(rows[i].hex + 2 * k, "%2x", &byte), 1);
			hash[k] = (char)byte;
		}
		struct slice was = slice_of(hash, sizeof hash);
		assert_true(migrations_was_so(rows[i].version, was));
		assert_false(migrations_was_so(rows[i].version + 1, was));
		assert_false(migrations_was_so(rows[i].version, slice_of(hash, 31)));
		hash[0] ^= 1;
		assert_false(migrations_was_so(rows[i].version, was));
	}
	assert_false(migrations_was_so(21, SLICE_NONE));
}

static void test_directory(void **state)
{
	(void)state;
	char err[300], *found;
	assert_null(migrations_directory("/nonexistent/m", err, sizeof err));
	assert_non_null(strstr(err, "--dir: /nonexistent/m"));
	setenv("TERABITS_MIGRATIONS", "/tmp", 1);
	found = migrations_directory(NULL, err, sizeof err);
	assert_string_equal(found, "/tmp");
	free(found);
	found = migrations_directory("/", err, sizeof err);
	assert_string_equal(found, "/");
	free(found);
	unsetenv("TERABITS_MIGRATIONS");
}

int main(void)
{
	crypto_init();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names), cmocka_unit_test(test_order),
		cmocka_unit_test(test_load), cmocka_unit_test(test_directory),
		cmocka_unit_test(test_corrected)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
