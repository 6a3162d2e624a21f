/* SPDX-License-Identifier: Apache-2.0
 * What is a workflow, and what of it is named when it is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "common/attr.h"
#include "edge/workflow_doc.h"

#define A "{\"id\":\"a\",\"position\":{\"x\":0,\"y\":0}}"
#define B "{\"id\":\"b\",\"position\":{\"x\":1,\"y\":1.5}}"
#define DOC(nodes, edges) "{\"nodes\":[" nodes "],\"edges\":[" edges "]}"

static bool check_text(const char *text, struct workflow_fault *fault)
{
	AUTO(auto_json_free)
	struct json_doc *d = json_parse(slice_str(text), strlen(text), NULL, 0);
	assert_non_null(d);
	return workflow_check(json_root(d), fault);
}

static void test_good(void **state)
{
	(void)state;
	static const char *const docs[] = {
		DOC("", ""),
		DOC(A "," B, "{\"id\":\"e\",\"source\":\"a\",\"target\":\"b\"},"
			     "{\"id\":\"a\",\"source\":\"b\",\"target\":\"a\","
			     "\"sourceHandle\":null,\"label\":1,\"animated\":true}"),
		DOC("{\"id\":\"g\",\"type\":\"group\",\"position\":{\"y\":-1e9,\"x\":2},"
		    "\"data\":{\"any\":[1,{\"thing\":null}]},\"measured\":{\"width\":1},"
		    "\"selected\":false,\"zIndex\":-1,\"extent\":\"parent\"},"
		    "{\"id\":\"c\",\"position\":{\"x\":0,\"y\":0},\"parentId\":\"g\"}",
		    ""),
		"{\"edges\":[],\"nodes\":[],\"viewport\":{\"x\":1,\"y\":2,\"zoom\":0.5}"
		"}"};
	struct workflow_fault fault;
	for (size_t i = 0; i < ARRAY_LEN(docs); i++)
		if (!check_text(docs[i], &fault))
			fail_msg("%s: %s", docs[i], fault.message);
}

static void test_bad(void **state)
{
	(void)state;
	static const struct {
		const char *doc, *where, *says;
	} cases[] = {
		{"[]", "", "must be a JSON object"},
		{"{\"nodes\":[]}", "edges", "is missing"},
		{"{\"nodes\":{},\"edges\":[]}", "nodes", "must be a list"},
		{"{\"nodes\":[],\"edges\":[],\"colour\":1}", "colour", "nodes, edges"},
		{"{\"nodes\":[],\"edges\":[],\"viewport\":{\"x\":1}}", "viewport",
		 "zoom"},
		{DOC("1", ""), "nodes[0]", "must be an object"},
		{DOC(A ",{\"id\":\"c\"}", ""), "nodes[1].position", "is missing"},
		{DOC("{\"position\":{\"x\":0,\"y\":0}}", ""), "nodes[0].id",
		 "is missing"},
		{DOC("{\"id\":\"\",\"position\":{\"x\":0,\"y\":0}}", ""), "nodes[0].id",
		 "1 to 200 bytes"},
		{DOC("{\"id\":\"a\",\"position\":{\"x\":0,\"y\":\"1\"}}", ""),
		 "nodes[0].position", "number"},
		{DOC("{\"id\":\"a\",\"position\":{\"x\":0,\"y\":1,\"z\":1}}", ""),
		 "nodes[0].position", "number"},
		{DOC("{\"id\":\"a\",\"position\":{\"x\":0,\"y\":0},\"data\":[]}", ""),
		 "nodes[0].data", "must be an object"},
		{DOC("{\"id\":\"a\",\"position\":{\"x\":0,\"y\":0},\"hidden\":1}", ""),
		 "nodes[0].hidden", "true or false"},
		{DOC("{\"id\":\"a\",\"position\":{\"x\":0,\"y\":0},\"source\":\"a\"}",
		     ""),
		 "nodes[0].source", "no member"},
		{DOC("{\"id\":\"a\",\"position\":{\"x\":0,\"y\":0},\"parentId\":\"a\"}",
		     ""),
		 "nodes[0].parentId", "itself"},
		{DOC("{\"id\":\"a\",\"position\":{\"x\":0,\"y\":0},\"parentId\":\"z\"}",
		     ""),
		 "nodes[0].parentId", "no node"},
		{DOC(A "," A, ""), "nodes[1].id", "another one"},
		{DOC(A "," B, "{\"id\":\"e\",\"source\":\"a\",\"target\":\"b\"},"
			      "{\"id\":\"e\",\"source\":\"a\",\"target\":\"b\"}"),
		 "edges[1].id", "another one"},
		{DOC(A, "{\"id\":\"e\",\"source\":\"a\",\"target\":\"z\"}"),
		 "edges[0].target", "no node"},
		{DOC(A, "{\"id\":\"e\",\"source\":\"z\",\"target\":\"a\"}"),
		 "edges[0].source", "no node"},
		{DOC(A, "{\"id\":\"e\",\"source\":\"a\",\"target\":\"a\"}"),
		 "edges[0].target", "its source"},
		{DOC(A, "{\"id\":\"e\",\"source\":\"a\"}"), "edges[0].target",
		 "is missing"},
		{DOC(A,
		     "{\"id\":\"e\",\"source\":\"a\",\"target\":\"a\",\"position\":1}"),
		 "edges[0].position", "no member"}};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct workflow_fault fault;
		if (check_text(cases[i].doc, &fault) ||
		    strcmp(fault.where, cases[i].where) != 0 ||
		    !strstr(fault.message, cases[i].says))
			fail_msg("%s: '%s' %s", cases[i].doc, fault.where, fault.message);
	}
}

static void test_bounds(void **state)
{
	(void)state;
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct workflow_fault fault;
	char long_name[300];
	for (unsigned more = 0; more < 2; more++) {
		strbuf_reset(&b);
		strbuf_add_str(&b, "{\"edges\":[],\"nodes\":[");
		for (unsigned i = 0; i < WORKFLOW_NODES_MOST + more; i++)
			strbuf_printf(&b,
				      "%s{\"id\":\"%u\",\"position\":{\"x\":0,\"y\":0}}",
				      i ? "," : "", i);
		strbuf_add_str(&b, "]}");
		strbuf_add_char(&b, 0);
		assert_int_equal(check_text(b.p, &fault), !more);
	}
	assert_non_null(strstr(fault.message, "1001 items, 1000 at most"));
	memset(long_name, 'x', sizeof long_name);
	strbuf_reset(&b);
	strbuf_printf(&b, "{\"nodes\":[{\"%.*s\":1}],\"edges\":[]}", 299, long_name);
	assert_false(check_text(b.p, &fault));
	assert_true(strlen(fault.where) < sizeof fault.where);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_good),
					   cmocka_unit_test(test_bad),
					   cmocka_unit_test(test_bounds)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
