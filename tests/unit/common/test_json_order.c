/* SPDX-License-Identifier: Apache-2.0
 * The order of members that Postgres gives jsonb: by length, then byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/json.h"

static void becomes(const char *text, const char *want)
{
	struct strbuf b = STRBUF_INIT;
	struct json_doc *d = json_parse(slice_str(text), 1 << 20, NULL, 0);
	assert_non_null(d);
	json_print_ordered(&b, json_root(d));
	assert_string_equal(b.p, want);
	json_free(d);
	strbuf_fini(&b);
}

static void test_members(void **state)
{
	(void)state;
	becomes("{\"text\":1,\"path\":2,\"a\":3,\"bb\":4,\"aaa\":5}",
		"{\"a\":3,\"bb\":4,\"aaa\":5,\"path\":2,\"text\":1}");
	becomes("[{\"b\":{\"d\":[],\"c\":{}},\"a\":[{\"y\":1,\"x\":2}]}]",
		"[{\"a\":[{\"x\":2,\"y\":1}],\"b\":{\"c\":{},\"d\":[]}}]");
	becomes("{\"\xc3\xbc\":1,\"zz\":2,\"\":0}", "{\"\":0,\"zz\":2,\"\xc3\xbc\":1}");
}

static void test_what_has_none(void **state)
{
	(void)state;
	becomes("[3,1,2]", "[3,1,2]");
	becomes("{}", "{}");
	becomes("\"a \\\" b\"", "\"a \\\" b\"");
	becomes("[null,true,1.5,-7]", "[null,true,1.5,-7]");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_members),
		cmocka_unit_test(test_what_has_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
