/* SPDX-License-Identifier: Apache-2.0
 * The rules of the tool policy, a case each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "common/attr.h"
#include "proto/tools/policy_doc.h"
#include "proto/tools/policy_words.h"

static struct policy *p;

static int setup(void **state)
{
	(void)state;
	p = policy_new();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	policy_free(p);
	return 0;
}

static void anew(void)
{
	policy_free(p);
	p = policy_new();
}

static void put(enum policy_layer l, const char *json)
{
	policy_put(p, l, slice_str(json));
}

static size_t tool(const char *name)
{
	size_t i = catalog_find(slice_str(name));
	assert_true(i < catalog_count());
	return i;
}

/* What every tool is, in the catalogue's order: those named are as `verdict`, all others
 * as `otherwise`. */
static void expect(enum policy_verdict verdict, const char *const *tools,
		   enum policy_verdict otherwise)
{
	for (size_t i = 0; i < catalog_count(); i++) {
		enum policy_verdict want = otherwise;
		for (const char *const *t = tools; *t; t++)
			if (tool(*t) == i)
				want = verdict;
		if (policy_judge(p, i, NULL) != want)
			fail_msg("%s is %s", catalog_at(i)->name,
				 policy_verdict_word(policy_judge(p, i, NULL)));
	}
}
#define TOOLS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define ALLOWED(...) expect(POLICY_ALLOW, TOOLS(__VA_ARGS__), POLICY_DENY)
#define DENIED(...) expect(POLICY_DENY, TOOLS(__VA_ARGS__), POLICY_ALLOW)
#define ASKED(...) expect(POLICY_ASK, TOOLS(__VA_ARGS__), POLICY_ALLOW)
#define NONE expect(POLICY_ALLOW, TOOLS(NULL), POLICY_DENY)

static void why(const char *name, const char *verdict, const char *layer,
		const char *rule)
{
	struct policy_reason r;
	policy_judge(p, tool(name), &r);
	assert_string_equal(policy_verdict_word(r.verdict), verdict);
	assert_string_equal(r.layer, layer);
	assert_string_equal(r.rule, rule);
}

static void test_profiles(void **state)
{
	(void)state;
	ALLOWED("read", "memory_get"); /* no row */
	put(POLICY_AGENT, "{\"profile\":\"minimal\"}");
	ALLOWED("read", "memory_get");
	put(POLICY_AGENT, "{}");
	ALLOWED("read", "memory_get");
	put(POLICY_AGENT, "{\"profile\":\"full\"}");
	DENIED(NULL);
	put(POLICY_AGENT, "{\"profile\":\"messaging\"}");
	ALLOWED("read", "memory_get", "memory_store");
	put(POLICY_AGENT, "{\"profile\":\"coding\"}");
	DENIED("bash", "exec", "process", "agent_create", "agent_update",
	       "policy_set"); /* the tests' own tools are among it */
	assert_null(policy_problem(p));
}

static void test_allowed_are_exactly_these(void **state)
{
	(void)state;
	put(POLICY_AGENT, "{\"profile\":\"full\",\"allowed\":[]}");
	DENIED(NULL); /* the profile's */
	put(POLICY_AGENT, "{\"profile\":\"full\",\"allowed\":[\"read\"]}");
	ALLOWED("read");
	put(POLICY_AGENT, "{\"profile\":\"minimal\",\"allowed\":[\"bash\",\"exec\"]}");
	ALLOWED("bash", "exec"); /* may name what the profile lacks */
	put(POLICY_AGENT, "{\"allowed\":[\"group:memory\",\"write\"]}");
	ALLOWED("memory_get", "memory_store", "write");
	put(POLICY_AGENT, "{\"allowed\":[\"*\"]}");
	DENIED(NULL);
	put(POLICY_AGENT, "{\"allowed\":[\"group:web\"]}"); /* none of it is built */
	NONE;
}

static void test_a_denial_wins(void **state)
{
	(void)state;
	put(POLICY_AGENT, "{\"profile\":\"full\",\"denied\":[\"bash\"]}");
	DENIED("bash"); /* and not exec */
	put(POLICY_AGENT, "{\"allowed\":[\"bash\",\"exec\"],\"denied\":[\"exec\"]}");
	ALLOWED("bash");
	put(POLICY_AGENT, "{\"allowed\":[\"bash\"],\"ask\":[\"bash\"],\"denied\":"
			  "[\"group:runtime\"]}");
	NONE;
	put(POLICY_AGENT, "{\"profile\":\"full\",\"denied\":[\"*\"]}");
	NONE;
}

static void test_who_may_not_write_may_not_edit(void **state)
{
	(void)state;
	put(POLICY_AGENT, "{\"profile\":\"full\",\"denied\":[\"write\"]}");
	DENIED("write", "edit");
	put(POLICY_AGENT, "{\"profile\":\"full\",\"denied\":[\"edit\"]}");
	DENIED("edit");
	put(POLICY_AGENT, "{\"profile\":\"full\",\"ask\":[\"write\"]}");
	ASKED("write", "edit");
	put(POLICY_AGENT, "{\"allowed\":[\"write\"]}"); /* gives nothing beside */
	ALLOWED("write");
}

static void test_letters_and_words(void **state)
{
	(void)state;
	put(POLICY_AGENT,
	    "{\"profile\":\"full\",\"denied\":[\"BaSh\",\"GROUP:Memory\"]}");
	DENIED("bash", "memory_get", "memory_store");
	static const char *const unknown[] = {"",
					      " bash",
					      "bash ",
					      "ba sh",
					      "group:",
					      "group",
					      "group: web",
					      "group:bash",
					      "**",
					      "*bash",
					      "ba*",
					      "mcp__bash",
					      "functions.bash",
					      "bash\\u00a0",
					      "bash\\t",
					      "\\u200bbash",
					      "\\uff42ash",
					      "b\\u0430sh",
					      "ba\\u017fh",
					      "shell",
					      "web_search",
					      "group:mcp"};
	for (size_t i = 0; i < ARRAY_LEN(unknown); i++) {
		char json[160];
		anew();
		snprintf(json, sizeof json, "{\"profile\":\"full\",\"denied\":[\"%s\"]}",
			 unknown[i]);
		put(POLICY_AGENT, json);
		NONE;
		assert_non_null(strstr(policy_problem(p), "(agent) cannot be read: "
							  "denied: there is no tool or "
							  "group '"));
	}
}

static void test_asked(void **state)
{
	(void)state;
	put(POLICY_AGENT, "{\"profile\":\"full\",\"ask\":[\"group:runtime\"]}");
	ASKED("bash", "exec", "process");
	put(POLICY_AGENT,
	    "{\"profile\":\"minimal\",\"ask\":[\"bash\"]}"); /* gives none */
	ALLOWED("read", "memory_get");
	put(POLICY_AGENT, "{\"profile\":\"full\"}");
	put(POLICY_SESSION, "{\"ask\":[\"exec\"]}");
	ASKED("exec");
	why("exec", "ask", "session",
	    "the session's policy wants a person asked for 'exec'");
	put(POLICY_CEILING, "{\"denied\":[\"exec\"]}");
	DENIED("exec");
}

static void test_layers_narrow(void **state)
{
	(void)state;
	put(POLICY_AGENT, "{\"profile\":\"full\"}");
	put(POLICY_CEILING, "{\"allowed\":[\"read\",\"write\",\"bash\"]}");
	ALLOWED("read", "write", "bash");
	policy_put_tools(p, SLICE("[\"read\",\"bash\",\"exec\"]"));
	ALLOWED("read", "bash");
	put(POLICY_SESSION, "{\"allowed\":[\"*\"],\"denied\":[\"read\"]}");
	ALLOWED("bash");
	put(POLICY_SESSION, "{\"parent\":{\"denied\":[\"bash\"]}}");
	ALLOWED("read");
	put(POLICY_SESSION, "{\"parent\":{\"parent\":{\"profile\":\"minimal\"}}}");
	ALLOWED("read");
	put(POLICY_SESSION, "null");
	ALLOWED("read", "bash");
	policy_put(p, POLICY_SESSION, SLICE_NONE);
	ALLOWED("read", "bash");
}

static void test_reasons(void **state)
{
	(void)state;
	put(POLICY_CEILING, "{\"denied\":[\"Group:Memory\"]}");
	put(POLICY_AGENT, "{\"allowed\":[\"*\"],\"denied\":[\"write\"]}");
	policy_put_tools(p, SLICE("[\"read\",\"edit\",\"memory_get\",\"bash\"]"));
	put(POLICY_SESSION, "{\"allowed\":[\"read\",\"edit\",\"memory_get\"],\"parent\":"
			    "{\"denied\":[\"read\"]}}");
	why("memory_get", "deny", "ceiling",
	    "the tenant's ceiling denies 'Group:Memory'");
	why("edit", "deny", "agent", "the agent's policy denies 'write'");
	why("exec", "deny", "revision", "the agent's revision does not list it");
	why("bash", "deny", "session",
	    "it is not among what the session's policy allows");
	why("read", "deny", "parent", "the policy of the session's parent denies 'read'");
	put(POLICY_SESSION, "{}");
	why("read", "allow", "agent", "the agent's policy allows '*'");
	put(POLICY_AGENT, "{\"profile\":\"messaging\"}");
	why("read", "allow", "agent",
	    "the profile 'messaging' of the agent's policy has it");
	why("bash", "deny", "agent",
	    "it is not in the profile 'messaging' of the agent's policy");
}

static void test_calls_of_a_turn(void **state)
{
	(void)state;
	assert_int_equal(policy_max_calls(p), 10);
	put(POLICY_AGENT, "{\"maxToolCallsPerTurn\":1000}");
	assert_int_equal(policy_max_calls(p), 1000);
	put(POLICY_CEILING, "{\"maxToolCallsPerTurn\":50}");
	assert_int_equal(policy_max_calls(p), 50);
	put(POLICY_SESSION, "{\"maxToolCallsPerTurn\":7,\"parent\":"
			    "{\"maxToolCallsPerTurn\":3}}");
	assert_int_equal(policy_max_calls(p), 3);
	put(POLICY_SESSION, "{\"maxToolCallsPerTurn\":0}");
	assert_int_equal(policy_max_calls(p), 0);
	put(POLICY_AGENT,
	    "{\"denied\":[\"nothing\"]}"); /* that is said, not "too many" */
	put(POLICY_SESSION, "null");
	assert_true(policy_max_calls(p) > 0);
	NONE;
}

static void test_what_cannot_be_read_refuses_everything(void **state)
{
	(void)state;
	static const struct {
		enum policy_layer layer;
		const char *json, *says;
	} cases[] = {
		{POLICY_AGENT, "{\"profile\":\"Full\"}",
		 "(agent) cannot be read: "
		 "profile: there is no profile "
		 "'Full'"},
		{POLICY_AGENT, "{\"profile\":null}", "profile"},
		{POLICY_AGENT, "{\"profile\":7}", "profile"},
		{POLICY_AGENT, "{\"allowed\":\"read\"}", "allowed: must be a list"},
		{POLICY_AGENT, "{\"allowed\":null}", "allowed: must be a list"},
		{POLICY_AGENT, "{\"denied\":[7]}", "denied: must be a list of names"},
		{POLICY_AGENT, "{\"ask\":{}}", "ask: must be a list"},
		{POLICY_AGENT, "{\"maxToolCallsPerTurn\":-1}", "from 0 to 1000"},
		{POLICY_AGENT, "{\"maxToolCallsPerTurn\":1001}", "from 0 to 1000"},
		{POLICY_AGENT, "{\"maxToolCallsPerTurn\":1.5}", "from 0 to 1000"},
		{POLICY_AGENT, "{\"maxToolCallsPerTurn\":\"5\"}", "from 0 to 1000"},
		{POLICY_AGENT, "{\"Denied\":[]}", "Denied: there is no such member"},
		{POLICY_AGENT, "{\"parent\":{}}", "parent: there is no such member"},
		{POLICY_AGENT, "{\"denied\":[],\"denied\":[\"bash\"]}", "(agent)"},
		{POLICY_AGENT, "[]", "must be an object"},
		{POLICY_AGENT, "\"full\"", "must be an object"},
		{POLICY_AGENT, "{", "(agent)"},
		{POLICY_AGENT, "", "(agent)"},
		{POLICY_CEILING, "{\"profile\":\"full\"}", "(ceiling)"},
		{POLICY_CEILING, "{\"ask\":[\"bash\"]}", "ask: there is no such member"},
		{POLICY_CEILING, "{\"allowed\":[]}", "allowed: is empty"},
		{POLICY_CEILING, "{\"denied\":[\"bahs\"]}", "(ceiling)"},
		{POLICY_SESSION, "{\"profile\":\"full\"}", "(session)"},
		{POLICY_SESSION, "{\"allowed\":[]}", "allowed: is empty"},
		{POLICY_SESSION, "{\"parent\":null}",
		 "(parent) cannot be read: must be "
		 "an object"},
		{POLICY_SESSION, "{\"parent\":{\"denied\":[\"bahs\"]}}", "(parent)"},
		{POLICY_SESSION, "{\"parent\":{\"parent\":7}}", "(parent)"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		anew();
		put(POLICY_AGENT, "{\"profile\":\"full\"}");
		put(cases[i].layer, cases[i].json);
		NONE;
		assert_non_null(policy_problem(p));
		if (!strstr(policy_problem(p), cases[i].says))
			fail_msg("%s: %s", cases[i].json, policy_problem(p));
		struct policy_reason r;
		policy_judge(p, tool("read"), &r);
		assert_string_equal(r.layer, "none");
		assert_string_equal(r.rule, policy_problem(p));
	}
	static const char *const lists[] = {
		"{}",         "7",       "[7]", "[\"bahs\"]",
		"[\"Bash\"]", "[\"*\"]", "[",   "[\"group:web\"]"};
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		anew();
		put(POLICY_AGENT, "{\"profile\":\"full\"}");
		policy_put_tools(p, slice_str(lists[i]));
		NONE;
		assert_non_null(strstr(policy_problem(p), "(revision)"));
	}
	anew();
	put(POLICY_AGENT, "{\"profile\":\"full\"}");
	policy_put_tools(p, SLICE("[]")); /* one that lists none */
	NONE;
	assert_null(policy_problem(p));
}

static void test_parents_have_an_end(void **state)
{
	(void)state;
	char json[1200] = "{", *at = json + 1;
	for (int i = 0; i < 17; i++)
		at += sprintf(at, "\"parent\":{");
	memset(at, '}', 18);
	at[18] = 0;
	put(POLICY_AGENT, "{\"profile\":\"full\"}");
	put(POLICY_SESSION, json);
	NONE;
	assert_non_null(strstr(policy_problem(p), "too many parents"));
}

static void composed(enum policy_layer l, const char *json, const char *want)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	char err[320] = "";
	if (!policy_compose(l, slice_str(json), &b, err, sizeof err))
		fail_msg("%s", err);
	assert_true(slice_is(strbuf_slice(&b), want));
}

static void blamed(enum policy_layer l, const char *json, const char *member)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	char err[320], name[64];
	assert_false(policy_compose(l, slice_str(json), &b, err, sizeof err));
	assert_int_equal(b.n, 0);
	policy_blame(err, name, sizeof name);
	assert_string_equal(name, member);
}

static void test_documents(void **state)
{
	(void)state;
	composed(POLICY_AGENT, "{}",
		 "{\"profile\":\"minimal\",\"allowed\":[],\"denied\":[],\"ask\":[],"
		 "\"maxToolCallsPerTurn\":10}");
	composed(POLICY_AGENT,
		 "{\"ask\":[\"Exec\",\"exec\",\"EXEC\"],\"profile\":\"full\",\"denied\":"
		 "[\"GROUP:WEB\",\"bash\",\"group:web\"],\"maxToolCallsPerTurn\":0}",
		 "{\"profile\":\"full\",\"allowed\":[],\"denied\":[\"group:web\","
		 "\"bash\"],\"ask\":[\"exec\"],\"maxToolCallsPerTurn\":0}");
	composed(POLICY_CEILING, "{}",
		 "{\"allowed\":[\"*\"],\"denied\":[],\"maxToolCallsPerTurn\":1000}");
	composed(POLICY_SESSION, "{}", "{}");
	composed(POLICY_SESSION, "{\"denied\":[\"bash\"]}", "{\"denied\":[\"bash\"]}");
	blamed(POLICY_AGENT, "{\"denied\":[\"a: b\"]}", "denied");
	blamed(POLICY_AGENT, "{\"maxToolCallsPerTurn\":-1}", "maxToolCallsPerTurn");
	blamed(POLICY_AGENT, "{\"x\":1}", "x");
	blamed(POLICY_AGENT, "7", "");
	blamed(POLICY_AGENT, "{", "");
	blamed(POLICY_SESSION, "{\"parent\":{}}", "parent");
}

static void test_a_catalogue(void **state)
{
	(void)state;
	uint64_t set;
	for (size_t i = 0; i < catalog_count(); i++) {
		const struct tool_spec *t = catalog_at(i);
		char group[80];
		assert_int_equal(catalog_find(slice_str(t->name)), i);
		snprintf(group, sizeof group, "group:%s", t->category);
		assert_true(policy_word(slice_str(group), &set)); /* categories.tbl */
		assert_true(set >> i & 1);
		assert_true(policy_word(slice_str(t->name), &set));
		assert_true(set == 1ull << i);
	}
	assert_int_equal(catalog_find(SLICE("Bash")), catalog_count());
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_profiles),
		T(test_allowed_are_exactly_these),
		T(test_a_denial_wins),
		T(test_who_may_not_write_may_not_edit),
		T(test_letters_and_words),
		T(test_asked),
		T(test_layers_narrow),
		T(test_reasons),
		T(test_calls_of_a_turn),
		T(test_what_cannot_be_read_refuses_everything),
		T(test_parents_have_an_end),
		T(test_documents),
		T(test_a_catalogue),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
