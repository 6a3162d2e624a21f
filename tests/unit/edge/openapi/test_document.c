/* SPDX-License-Identifier: Apache-2.0
 * The API's description: whole, readable, and true to the tables. */
#include "edge/openapi/document.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/json.h"
#include "edge/openapi/operations.h"
#include "edge/openapi/schema.h"

static struct json_doc *document(struct strbuf *b)
{
	char why[160];
	openapi_write(b);
	struct json_doc *d =
		json_parse_unique(strbuf_slice(b), 4u << 20, why, sizeof why);
	if (!d)
		fail_msg("%s", why);
	return d;
}

static void test_every_route_is_described(void **state)
{
	(void)state;
	for (enum route r = ROUTE_NONE + 1; r < ROUTE__COUNT; r++)
		if (!operation_of(r)->tag)
			fail_msg("edge/openapi/operations.tbl has no row for %s",
				 route_row(r)->name);
}

static void test_every_parameter_is_known(void **state)
{
	(void)state;
	for (enum route r = ROUTE_NONE + 1; r < ROUTE__COUNT; r++) {
		struct slice rest = slice_str(operation_of(r)->params), word;
		bool needed;
		while ((word = operation_param(&rest, &needed)).p)
			if (!param_named(word))
				fail_msg("%s: params.tbl has no %.*s", route_row(r)->name,
					 SLICE_ARG(word));
	}
}

static void test_it_is_one_json_object_without_twins(void **state)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	(void)state;
	AUTO(auto_json_free) struct json_doc *d = document(&b);
	json_t run = json_get(json_get(json_root(d), "paths"), "/v1/runs/{run}");
	json_t get = json_get(run, "get");
	assert_true(slice_is(json_str(json_get(get, "operationId")), "runGet"));
	assert_true(json_get(json_get(json_get(json_root(d), "paths"),
				      "/v1/agents/{agent}/sessions/{sessionKey}"),
			     "delete"));
}

/* What has to be there, and what comes in two forms. */
static void test_needs_and_media(void **state)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	(void)state;
	AUTO(auto_json_free) struct json_doc *d = document(&b);
	json_t paths = json_get(json_root(d), "paths");
	json_t file =
		json_get(json_get(paths, "/v1/agents/{agent}/files/content"), "get");
	bool found = false;
	struct json_iter it = json_iter(json_get(file, "parameters"));
	for (json_t p; (p = json_next(&it, NULL));)
		if (slice_is(json_str(json_get(p, "name")), "path"))
			found = json_bool(json_get(p, "required"), false);
	assert_true(found);
	json_t chat = json_get(json_get(paths, "/v1/chat/completions"), "post");
	assert_true(
		json_bool(json_get(json_get(chat, "requestBody"), "required"), false));
	json_t content =
		json_get(json_get(json_get(chat, "responses"), "200"), "content");
	assert_true(json_get(content, "application/json") &&
		    json_get(content, "text/event-stream"));
	json_t compact =
		json_get(json_get(paths, "/v1/sessions/{session}/compact"), "post");
	assert_true(json_get(compact, "requestBody"));
	assert_false(json_get(json_get(compact, "requestBody"), "required"));
}

static void put(const char *type, const char *expected)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	schema_put(&o, slice_str(type));
	strbuf_add_char(&b, 0);
	assert_string_equal(b.p, expected);
}

static void test_types(void **state)
{
	(void)state;
	put("int", "{\"type\":\"integer\"}");
	put("string<=12", "{\"type\":\"string\",\"maxLength\":12}");
	put("[uuid]",
	    "{\"type\":\"array\",\"items\":{\"type\":\"string\",\"format\":\"uuid\"}}");
	put("{[num]}", "{\"type\":\"object\",\"additionalProperties\":{\"type\":"
		       "\"array\",\"items\":{\"type\":\"number\"}}}");
	put("'a,b|c'", "{\"type\":\"string\",\"enum\":[\"a\",\"b|c\"]}");
	put("string|null", "{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"null\"}]}");
	put("[Run|any]|bytes",
	    "{\"anyOf\":[{\"type\":\"array\",\"items\":{\"anyOf\":[{\"$ref\":\"#/"
	    "components/schemas/Run\"},{}]}},{\"type\":\"string\",\"contentEncoding\":"
	    "\"base64\"}]}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_route_is_described),
		cmocka_unit_test(test_every_parameter_is_known),
		cmocka_unit_test(test_it_is_one_json_object_without_twins),
		cmocka_unit_test(test_needs_and_media), cmocka_unit_test(test_types)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
