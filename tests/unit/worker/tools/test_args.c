/* SPDX-License-Identifier: Apache-2.0
 * The validator of arguments: each keyword, and that the sentence names the field. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/attr.h"
#include "worker/tools/args.h"

static const struct {
	const char *schema, *args;
	const char *says; /* NULL: fits */
} cases[] = {
	/* types */
	{"{}", "{}", NULL},
	{"{}", "[]", "must be a JSON object"},
	{"{}", "7", "must be a JSON object"},
	{"{}", "null", "must be a JSON object"},
	{"{\"type\":\"object\"}", "{}", NULL},
	{"{\"type\":\"array\"}", "{}", "'(all)' must be of type array"},
	{"{\"properties\":{\"a\":{\"type\":\"string\"}}}", "{\"a\":\"\"}", NULL},
	{"{\"properties\":{\"a\":{\"type\":\"string\"}}}", "{\"a\":7}",
	 "'a' must be of type string"},
	{"{\"properties\":{\"a\":{\"type\":\"string\"}}}", "{\"a\":null}",
	 "'a' must be of type string"},
	{"{\"properties\":{\"a\":{\"type\":\"integer\"}}}", "{\"a\":-3}", NULL},
	{"{\"properties\":{\"a\":{\"type\":\"integer\"}}}", "{\"a\":1.5}",
	 "'a' must be of type integer"},
	{"{\"properties\":{\"a\":{\"type\":\"integer\"}}}", "{\"a\":\"1\"}",
	 "'a' must be of type integer"},
	{"{\"properties\":{\"a\":{\"type\":\"number\"}}}", "{\"a\":1.5}", NULL},
	{"{\"properties\":{\"a\":{\"type\":\"number\"}}}", "{\"a\":true}",
	 "'a' must be of type number"},
	{"{\"properties\":{\"a\":{\"type\":\"boolean\"}}}", "{\"a\":false}", NULL},
	{"{\"properties\":{\"a\":{\"type\":\"boolean\"}}}", "{\"a\":0}",
	 "'a' must be of type boolean"},
	{"{\"properties\":{\"a\":{\"type\":\"array\"}}}", "{\"a\":[]}", NULL},
	{"{\"properties\":{\"a\":{\"type\":\"array\"}}}", "{\"a\":{}}",
	 "'a' must be of type array"},
	{"{\"properties\":{\"a\":{\"type\":\"object\"}}}", "{\"a\":[]}",
	 "'a' must be of type object"},
	{"{\"properties\":{\"a\":{}}}", "{\"a\":[1,{\"x\":null}]}", NULL},
	/* required, additionalProperties */
	{"{\"required\":[\"a\",\"b\"]}", "{\"a\":1,\"b\":null}", NULL},
	{"{\"required\":[\"a\",\"b\"]}", "{\"a\":1}", "'b' is missing"},
	{"{\"required\":[]}", "{}", NULL},
	{"{\"properties\":{\"a\":{}},\"additionalProperties\":false}", "{\"a\":1}", NULL},
	{"{\"properties\":{\"a\":{}},\"additionalProperties\":false}",
	 "{\"a\":1,\"x\":1}", "'x' is not known to this tool"},
	{"{\"additionalProperties\":false}", "{\"\":1}", "is not known to this tool"},
	{"{\"properties\":{\"a\":{}},\"additionalProperties\":true}", "{\"x\":1}", NULL},
	{"{\"properties\":{\"a\":{}}}", "{\"x\":1}", NULL},
	/* enum */
	{"{\"properties\":{\"a\":{\"enum\":[\"x\",\"y\"]}}}", "{\"a\":\"y\"}", NULL},
	{"{\"properties\":{\"a\":{\"enum\":[\"x\",\"y\"]}}}", "{\"a\":\"z\"}",
	 "'a' must be one of x y"},
	{"{\"properties\":{\"a\":{\"enum\":[\"x\",\"y\"]}}}", "{\"a\":\"\"}",
	 "'a' must be one of x y"},
	{"{\"properties\":{\"a\":{\"enum\":[\"\",\"y\"]}}}", "{\"a\":7}",
	 "'a' must be one of"},
	{"{\"properties\":{\"a\":{\"enum\":[\"\",\"y\"]}}}", "{\"a\":\"\"}", NULL},
	/* bounds: each at its edge and one beyond */
	{"{\"properties\":{\"a\":{\"minLength\":2}}}", "{\"a\":\"ab\"}", NULL},
	{"{\"properties\":{\"a\":{\"minLength\":2}}}", "{\"a\":\"b\"}",
	 "'a' is out of bounds: it has at least 2 bytes"},
	{"{\"properties\":{\"a\":{\"maxLength\":2}}}", "{\"a\":\"ab\"}", NULL},
	{"{\"properties\":{\"a\":{\"maxLength\":2}}}", "{\"a\":\"abc\"}",
	 "'a' is out of bounds: it has at most 2 bytes"},
	{"{\"properties\":{\"a\":{\"maxLength\":2}}}", "{\"a\":\"\xC3\xA4\xC3\xA4\"}",
	 "'a' is out of bounds: it has at most 2 bytes"},
	{"{\"properties\":{\"a\":{\"maxLength\":2}}}", "{\"a\":1234}", NULL},
	{"{\"properties\":{\"a\":{\"minItems\":1}}}", "{\"a\":[0]}", NULL},
	{"{\"properties\":{\"a\":{\"minItems\":1}}}", "{\"a\":[]}",
	 "'a' is out of bounds: it has at least 1 elements"},
	{"{\"properties\":{\"a\":{\"maxItems\":1}}}", "{\"a\":[0]}", NULL},
	{"{\"properties\":{\"a\":{\"maxItems\":1}}}", "{\"a\":[0,0]}",
	 "'a' is out of bounds: it has at most 1 elements"},
	{"{\"properties\":{\"a\":{\"minimum\":-1}}}", "{\"a\":-1}", NULL},
	{"{\"properties\":{\"a\":{\"minimum\":-1}}}", "{\"a\":-2}",
	 "'a' is out of bounds: it is at least -1"},
	{"{\"properties\":{\"a\":{\"minimum\":1}}}", "{\"a\":0.99}",
	 "'a' is out of bounds: it is at least 1"},
	{"{\"properties\":{\"a\":{\"maximum\":120}}}", "{\"a\":120}", NULL},
	{"{\"properties\":{\"a\":{\"maximum\":120}}}", "{\"a\":120.5}",
	 "'a' is out of bounds: it is at most 120"},
	{"{\"properties\":{\"a\":{\"maximum\":120}}}", "{\"a\":9223372036854775807}",
	 "'a' is out of bounds: it is at most 120"},
	/* nested */
	{"{\"properties\":{\"a\":{\"items\":{\"type\":\"string\"}}}}",
	 "{\"a\":[\"x\",\"y\"]}", NULL},
	{"{\"properties\":{\"a\":{\"items\":{\"type\":\"string\"}}}}",
	 "{\"a\":[\"x\",\"y\",7]}", "'a[2]' must be of type string"},
	{"{\"properties\":{\"a\":{\"properties\":{\"b\":{\"type\":\"integer\"}}}}}",
	 "{\"a\":{\"b\":\"\"}}", "'a.b' must be of type integer"},
	{"{\"properties\":{\"a\":{\"required\":[\"b\"]}}}", "{\"a\":{}}",
	 "'a.b' is missing"},
	{"{\"properties\":{\"a\":{\"items\":{\"properties\":{\"b\":{\"items\":{"
	 "\"maximum\":"
	 "1}}},\"additionalProperties\":false}}}}",
	 "{\"a\":[{},{\"b\":[0,1,2]}]}", "'a[1].b[2]' is out of bounds"},
	{"{\"properties\":{\"a\":{\"items\":{\"additionalProperties\":false}}}}",
	 "{\"a\":[{\"c\":1}]}", "'a[0].c' is not known to this tool"},
};

static enum err judge(const char *schema, struct slice args, char *why, size_t size)
{
	AUTO(auto_json_free)
	struct json_doc *s = json_parse(slice_str(schema), 1 << 20, NULL, 0);
	AUTO(auto_json_free) struct json_doc *v = json_parse(args, 1 << 20, NULL, 0);
	assert_non_null(s);
	assert_non_null(v);
	return args_check(json_root(s), json_root(v), why, size);
}

static void test_keywords(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char why[320] = "";
		enum err e =
			judge(cases[i].schema, slice_str(cases[i].args), why, sizeof why);
		if (e != (cases[i].says ? ERR_TOOL_ARGUMENTS : ERR_OK) ||
		    (cases[i].says && !strstr(why, cases[i].says)))
			fail_msg("%s in %s: %s, %s", cases[i].args, cases[i].schema,
				 err_code(e), why);
	}
}

/* Long names, deep places and long lists of words are cut to the room there is. */
static void test_the_sentence_fits(void **state)
{
	(void)state;
	struct strbuf schema = STRBUF_INIT, args = STRBUF_INIT;
	char name[200];
	memset(name, 'n', sizeof name);
	strbuf_add_str(&schema, "{\"additionalProperties\":false}");
	strbuf_printf(&args, "{\"%.200s\":1}", name);
	for (size_t size = 1; size < 330; size += 7) {
		char *why = malloc(size);
		assert_int_equal(judge(schema.p, strbuf_slice(&args), why, size),
				 ERR_TOOL_ARGUMENTS);
		assert_true(strlen(why) < size);
		free(why);
	}
	strbuf_reset(&schema);
	strbuf_reset(&args);
	for (int i = 0; i < 12; i++) {
		strbuf_printf(&schema, "{\"properties\":{\"%.50s\":", name);
		strbuf_printf(&args, "{\"%.50s\":", name);
	}
	strbuf_add_str(&schema, "{\"enum\":[\"");
	for (int i = 0; i < 100; i++)
		strbuf_add_str(&schema, "a word\",\"");
	strbuf_add_str(&schema, "\"]}");
	strbuf_add_str(&args, "\"none\"");
	for (int i = 0; i < 12; i++) {
		strbuf_add_str(&schema, "}}");
		strbuf_add_char(&args, '}');
	}
	char why[320];
	assert_int_equal(judge(schema.p, strbuf_slice(&args), why, sizeof why),
			 ERR_TOOL_ARGUMENTS);
	assert_int_equal(strncmp(why, "argument 'nnn", 13), 0);
	strbuf_fini(&schema);
	strbuf_fini(&args);
}

/* A name too long for any schema is unknown, not cut to one that is known. */
static void test_long_names_are_not_cut_to_known_ones(void **state)
{
	(void)state;
	struct strbuf schema = STRBUF_INIT, args = STRBUF_INIT;
	char name[128], why[320];
	memset(name, 'n', sizeof name);
	strbuf_printf(&schema,
		      "{\"properties\":{\"%.127s\":{}},\"additionalProperties\":"
		      "false}",
		      name);
	strbuf_printf(&args, "{\"%.127s\":1}", name);
	assert_int_equal(judge(schema.p, strbuf_slice(&args), why, sizeof why), ERR_OK);
	strbuf_reset(&args);
	strbuf_printf(&args, "{\"%.127sx\":1}", name);
	assert_int_equal(judge(schema.p, strbuf_slice(&args), why, sizeof why),
			 ERR_TOOL_ARGUMENTS);
	strbuf_fini(&schema);
	strbuf_fini(&args);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keywords),
		cmocka_unit_test(test_the_sentence_fits),
		cmocka_unit_test(test_long_names_are_not_cut_to_known_ones),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
