/* SPDX-License-Identifier: Apache-2.0
 * Which variables a call may set: every row of the table is refused, its neighbours are
 * not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/attr.h"
#include "proto/limits.h"
#include "worker/tools/environment.h"

static struct strbuf out;
static char why[300];

static bool add(const char *name, const char *value)
{
	AUTO(strbuf_fini) struct strbuf text = STRBUF_INIT;
	struct json_out o = json_out(&text);
	json_obj(&o);
	json_kv_cstr(&o, name, value);
	json_obj_end(&o);
	AUTO(auto_json_free)
	struct json_doc *d = json_parse(strbuf_slice(&text), 1 << 20, NULL, 0);
	strbuf_reset(&out);
	why[0] = 0;
	return environment_add(&out, json_root(d), why, sizeof why);
}

static bool holds(const char *word)
{
	for (size_t at = 0; at < out.n; at += strlen(out.p + at) + 1)
		if (!strcmp(out.p + at, word))
			return true;
	return false;
}

static void test_every_row(void **state)
{
	(void)state;
	static const char *const patterns[] = {
#define ENV_NAME(pattern, reason) pattern,
#include "worker/tools/env_names.tbl"
#undef ENV_NAME
	};
	for (size_t i = 0; i < ARRAY_LEN(patterns); i++) {
		char name[60];
		size_t n = strlen(patterns[i]);
		snprintf(name, sizeof name, "%s", patterns[i]);
		if (name[n - 1] == '*')
			snprintf(name + n - 1, sizeof name - n + 1, "X");
		assert_false(add(name, "x"));
		assert_non_null(strstr(why, name));
		snprintf(name, sizeof name, "MY_%s", patterns[i]);
		name[strcspn(name, "*")] = 0;
		assert_true(add(name, "x"));
	}
	assert_false(add("LD_PRELOAD", "x"));
	assert_false(add("BASH_FUNC_ls%%", "() { :; }"));
}

static void test_names(void **state)
{
	(void)state;
	static const char *const bad[] = {"", "1A", "A B", "A=B", "A-B", "\xC3\xA9"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(add(bad[i], "x"));
	assert_true(add("lower_1", "a=b c"));
	assert_true(holds("lower_1=a=b c"));
	assert_true(holds("PATH=/usr/local/bin:/usr/bin:/bin"));
	assert_true(add("EMPTY", ""));
	assert_true(holds("EMPTY="));
	assert_false(add("NO_TEXT", NULL));
}

static void test_length(void **state)
{
	(void)state;
	static char value[LIMIT_ENV_BYTES + 1];
	memset(value, 'x', sizeof value - 1);
	assert_false(add("LONG", value));
	assert_non_null(strstr(why, "16 KiB"));
	strbuf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_row),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_length),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
