/* SPDX-License-Identifier: Apache-2.0
 * The table of tools: each row is whole, and its schema uses only what the validator
 * knows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "common/attr.h"
#include "worker/tools/args.h"
#include "worker/tools/registry.h"

static struct json_doc *schema_of(const struct tool_spec *t)
{
	char why[160] = "";
	struct json_doc *d =
		json_parse_unique(slice_str(t->schema), 1 << 20, why, sizeof why);
	if (!d)
		fail_msg("%s: %s", t->name, why);
	return d;
}

static void test_rows_are_whole(void **state)
{
	(void)state;
	assert_true(tool_count() > 0);
	for (size_t i = 0; i < tool_count(); i++) {
		const struct tool_spec *t = tool_at(i);
		if (!t->name[0] || !t->category[0] || !t->description[0] ||
		    !tool_starter(t) || t->deadline_us < 1000000 || t->output_most < 1024)
			fail_msg("row %zu, %s", i, t->name);
		/* providers take 64 of [a-zA-Z0-9_-] */
		assert_true(strlen(t->name) <= 64);
		assert_int_equal(strspn(t->name, "abcdefghijklmnopqrstuvwxyz0123456789_"),
				 strlen(t->name));
	}
}

static void test_names(void **state)
{
	(void)state;
	for (size_t i = 0; i < tool_count(); i++)
		assert_ptr_equal(tool_find(slice_str(tool_at(i)->name)), tool_at(i));
	assert_null(tool_find(SLICE("")));
	assert_null(tool_find(SLICE_NONE));
	assert_null(tool_find(SLICE("memory")));
	assert_null(tool_find(SLICE("memory_gets")));
	assert_null(tool_find(SLICE("MEMORY_GET")));
}

static void test_schemas_are_closed_objects(void **state)
{
	(void)state;
	for (size_t i = 0; i < tool_count(); i++) {
		const struct tool_spec *t = tool_at(i);
		AUTO(auto_json_free) struct json_doc *d = schema_of(t);
		json_t root = json_root(d);
		if (!slice_is(json_str(json_get(root, "type")), "object") ||
		    json_kind(json_get(root, "additionalProperties")) != JSON_BOOL ||
		    json_bool(json_get(root, "additionalProperties"), true) ||
		    json_kind(json_get(root, "properties")) != JSON_OBJECT)
			fail_msg("%s", t->name);
		struct json_iter it = json_iter(json_get(root, "required"));
		for (json_t w; (w = json_next(&it, NULL));)
			if (!json_get(json_get(root, "properties"), json_cstr(w, "")))
				fail_msg("%s requires what it does not have", t->name);
	}
}

static void check_words(const char *tool, json_t schema)
{
	static const char *const known[] = {
		"type",       "properties", "required", "additionalProperties",
		"enum",       "items",      "minItems", "maxItems",
		"minLength",  "maxLength",  "minimum",  "maximum",
		"description"};
	struct json_iter it = json_iter(schema);
	struct slice key;
	for (json_t v; (v = json_next(&it, &key));) {
		bool found = false;
		for (size_t i = 0; i < ARRAY_LEN(known); i++)
			found |= slice_is(key, known[i]);
		if (!found)
			fail_msg("%s: the validator ignores '%.*s'", tool,
				 SLICE_ARG(key));
		if (slice_is(key, "items"))
			check_words(tool, v);
		if (!slice_is(key, "properties"))
			continue;
		struct json_iter members = json_iter(v);
		for (json_t m; (m = json_next(&members, NULL));)
			check_words(tool, m);
	}
}

static void test_schemas_say_what_the_validator_knows(void **state)
{
	(void)state;
	for (size_t i = 0; i < tool_count(); i++) {
		AUTO(auto_json_free) struct json_doc *d = schema_of(tool_at(i));
		check_words(tool_at(i)->name, json_root(d));
	}
}

static void test_effects(void **state)
{
	(void)state;
	assert_string_equal(tool_effect_word(EFFECT_PURE), "pure");
	assert_string_equal(tool_effect_word(EFFECT_IDEMPOTENT), "idempotent");
	assert_string_equal(tool_effect_word(EFFECT_KEYED), "keyed");
	assert_string_equal(tool_effect_word(EFFECT_ONCE), "once");
	/* a wrong word here repeats writes after a crash */
	assert_int_equal(tool_find(SLICE("memory_get"))->effect, EFFECT_PURE);
	assert_int_equal(tool_find(SLICE("memory_store"))->effect, EFFECT_KEYED);
}

static void test_error_replaces_the_output(void **state)
{
	(void)state;
	struct tool_call c = {.output = STRBUF_INIT};
	strbuf_add_str(&c.output, "{\"half\":");
	tool_error(&c, "no '%s' \xFF here", "a\"b");
	AUTO(auto_json_free)
	struct json_doc *d = json_parse(strbuf_slice(&c.output), c.output.n, NULL, 0);
	assert_true(slice_is(json_str(json_get(json_root(d), "error")),
			     "no 'a\"b' \xEF\xBF\xBD here"));
	strbuf_fini(&c.output);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows_are_whole),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_schemas_are_closed_objects),
		cmocka_unit_test(test_schemas_say_what_the_validator_knows),
		cmocka_unit_test(test_effects),
		cmocka_unit_test(test_error_replaces_the_output),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
