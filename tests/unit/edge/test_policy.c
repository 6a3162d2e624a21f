/* SPDX-License-Identifier: Apache-2.0
 * The calls about tools and their policy: who may, what is taken, what is answered. */
#include "tests/unit/edge/api_bed.h"

#define POLICY "/v1/agents/default/policy"
#define EXPLAIN POLICY "/explain"
#define SESSION "/v1/agents/default/sessions/a%2Fb%20%C3%A9/policy"
#define CEILING "/v1/policy/ceiling"
#define ALL (SCOPE_READ | SCOPE_WRITE)

static void as(unsigned scopes)
{
	db.scopes = scopes;
	auth_invalidate(&edge, id(TOKEN));
}

static void ask(const char *method, const char *path, const char *fields,
		const char *body)
{
	char text[4096];
	snprintf(text, sizeof text,
		 "%s %s HTTP/1.1\r\nHost: x\r\n" BEARER "%sContent-Length: %zu\r\n\r\n%s",
		 method, path, fields, strlen(body), body);
	say(text);
}

static void test_tools(void **state)
{
	(void)state;
	say(GET("/v1/tools"));
	expect("HTTP/1.1 200 ");
	expect("{\"name\":\"bash\",\"category\":\"runtime\",\"effect\":\"once\","
	       "\"place\":\"jail\",\"deadlineMs\":610000,\"outputMaxBytes\":262144,"
	       "\"description\":\"Runs a bash script");
	expect("\"schema\":{\"type\":\"object\",\"properties\":{\"script\"");
	as(SCOPE_WRITE);
	say(GET("/v1/tools"));
	expect("HTTP/1.1 403 ");
}

static void test_who_may(void **state)
{
	(void)state;
	static const struct {
		const char *method, *path;
		unsigned scopes;
	} calls[] = {{"GET", POLICY, SCOPE_READ | SCOPE_RUN},
		     {"GET", EXPLAIN, SCOPE_READ | SCOPE_RUN},
		     {"GET", SESSION, SCOPE_READ | SCOPE_RUN},
		     {"GET", CEILING, SCOPE_READ | SCOPE_RUN},
		     {"PUT", POLICY, SCOPE_WRITE},
		     {"PUT", SESSION, SCOPE_WRITE},
		     {"DELETE", SESSION, SCOPE_WRITE},
		     {"PUT", CEILING, 0}};
	db.policy = (struct policy_rows){.found = true, .in_session = true};
	db.policy_change = (struct change){.outcome = CHANGE_DONE, .version = 1};
	for (size_t i = 0; i < ARRAY_LEN(calls); i++)
		for (unsigned s = SCOPE_RUN; s <= SCOPE_ADMIN; s *= 2) {
			bool may = s == SCOPE_ADMIN || (calls[i].scopes & s);
			as(s);
			ask(calls[i].method, calls[i].path, "",
			    *calls[i].method == 'P' ? "{}" : "");
			expect(may ? "HTTP/1.1 200 " : "HTTP/1.1 403 ");
		}
	assert_int_equal(db.policy_puts, 3 * 2 + 1);
	ask("POST", POLICY, "", "{}");
	expect("HTTP/1.1 405 ");
	expect("\r\nallow: GET, HEAD, PUT, OPTIONS\r\n");
}

static void test_read(void **state)
{
	(void)state;
	db.policy = (struct policy_rows){
		.found = true,
		.layers.agent = SLICE("{\"profile\":\"coding\"}"),
		.agent_version = 7,
		.layers.session = SLICE("{\"denied\":[\"bash\"],\"parent\":{\"denied\":"
					"[\"exec\"]}}"),
		.session_version = 3,
		.in_session = true,
		.layers.ceiling = SLICE("{\"allowed\":[\"*\"]}"),
		.ceiling_version = 5};
	say(GET(POLICY));
	expect("\r\netag: \"7\"\r\n");
	expect("{\"layer\":\"agent\",\"agent\":\"default\",\"policy\":{\"profile\":"
	       "\"coding\"},\"version\":7}");
	say(GET(SESSION));
	assert_string_equal(db.policy_key, "a/b \xc3\xa9");
	expect("\r\netag: \"3\"\r\n");
	expect("\"sessionKey\":\"a/b \xc3\xa9\",\"policy\":{\"denied\":[\"bash\"]},"
	       "\"parent\":{\"denied\":[\"exec\"]},\"version\":3}");
	say(GET(CEILING));
	expect("{\"layer\":\"ceiling\",\"policy\":{\"allowed\":[\"*\"]},\"version\":5}");
	db.policy = (struct policy_rows){.found = true};
	say(GET(POLICY));
	expect("{\"profile\":\"minimal\",\"allowed\":[],\"denied\":[],\"ask\":[],"
	       "\"maxToolCallsPerTurn\":10},\"version\":0}");
	say(GET(CEILING));
	expect("{\"allowed\":[\"*\"],\"denied\":[],\"maxToolCallsPerTurn\":1000},"
	       "\"version\":0}");
	say(GET(SESSION));
	expect("HTTP/1.1 404 ");
	expect("no session of that key");
	db.policy.found = false;
	say(GET(POLICY));
	expect("HTTP/1.1 404 ");
	say(GET("/v1/agents/other/policy"));
	expect("HTTP/1.1 404 ");
	db.away = true;
	say(GET(POLICY));
	expect("HTTP/1.1 503 ");
}

static void test_put(void **state)
{
	(void)state;
	as(ALL);
	db.policy_change = (struct change){.outcome = CHANGE_DONE, .version = 8};
	ask("PUT", POLICY, "If-Match: \"7\"\r\n",
	    "{\"profile\":\"full\",\"denied\":[\"BASH\",\"bash\",\"Group:Web\"]}");
	expect("HTTP/1.1 200 ");
	expect("\r\netag: \"8\"\r\n");
	assert_int_equal(db.policy_expect, 7);
	assert_true(db.policy_of_agent);
	assert_string_equal(db.policy_key, "");
	assert_string_equal(db.policy_doc,
			    "{\"profile\":\"full\",\"allowed\":[],\"denied\":[\"bash\","
			    "\"group:web\"],\"ask\":[],\"maxToolCallsPerTurn\":10}");
	expect("\"policy\":{\"profile\":\"full\"");
	ask("PUT", POLICY, "", "{}");
	assert_int_equal(db.policy_expect, -1);
	ask("PUT", POLICY, "If-Match: *\r\n", "{}");
	assert_int_equal(db.policy_expect, -1);
	ask("PUT", SESSION, "", "{\"denied\":[\"bash\"],\"maxToolCallsPerTurn\":0}");
	assert_string_equal(db.policy_key, "a/b \xc3\xa9");
	assert_string_equal(db.policy_doc,
			    "{\"denied\":[\"bash\"],\"maxToolCallsPerTurn\":0}");
	ask("DELETE", SESSION, "", "");
	expect("HTTP/1.1 200 ");
	expect("\"policy\":{},\"version\":8}");
	assert_string_equal(db.policy_doc, "NULL");
	as(SCOPE_ADMIN);
	ask("PUT", CEILING, "", "{\"denied\":[\"exec\"]}");
	assert_false(db.policy_of_agent);
	assert_string_equal(db.policy_doc, "{\"allowed\":[\"*\"],\"denied\":[\"exec\"],"
					   "\"maxToolCallsPerTurn\":1000}");
}

static void test_versions(void **state)
{
	(void)state;
	static const char *const wrong[] = {
		"7",      "W/\"7\"",        "\"a\"", "\"\"", "\"7\", \"8\"",
		"\"-1\"", "\"99999999999\""};
	as(ALL);
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		char field[80];
		snprintf(field, sizeof field, "If-Match: %s\r\n", wrong[i]);
		ask("PUT", POLICY, field, "{}");
		expect("HTTP/1.1 400 ");
		expect("\"param\":\"If-Match\"");
	}
	assert_int_equal(db.policy_puts, 0);
	db.policy_change = (struct change){.outcome = CHANGE_STALE, .version = 9};
	ask("PUT", POLICY, "If-Match: \"7\"\r\n", "{}");
	expect("HTTP/1.1 412 ");
	expect("the agent's policy stands at version 9, not 7");
	db.policy_change.outcome = CHANGE_ABSENT;
	ask("PUT", POLICY, "", "{}");
	expect("HTTP/1.1 404 ");
	db.away = db.unsure = true;
	ask("PUT", POLICY, "", "{}");
	expect("HTTP/1.1 503 ");
	expect("whether this was done is not known");
	db.unsure = false;
	ask("PUT", POLICY, "", "{}");
	expect("HTTP/1.1 503 ");
	expect_not("not known");
}

static void test_documents(void **state)
{
	(void)state;
	static const struct {
		const char *path, *body, *param, *says;
	} cases[] = {
		{POLICY, "{\"denied\":[\"bahs\"]}", "\"denied\"",
		 "there is no tool or group 'bahs'"},
		{POLICY, "{\"allowed\":[\"bash \"]}", "\"allowed\"", "'bash '"},
		{POLICY, "{\"ask\":[\"group:nothing\"]}", "\"ask\"", "'group:nothing'"},
		{POLICY, "{\"profile\":\"root\"}", "\"profile\"", "no profile 'root'"},
		{POLICY, "{\"maxToolCallsPerTurn\":1001}", "\"maxToolCallsPerTurn\"",
		 "from 0 to 1000"},
		{POLICY, "{\"deny\":[]}", "\"deny\"", "no such member"},
		{POLICY, "{\"denied\":[],\"denied\":[]}", "null", ""},
		{POLICY, "[]", "null", "must be an object"},
		{POLICY, "", "null", ""},
		{POLICY, "{", "null", ""},
		{SESSION, "{\"profile\":\"full\"}", "\"profile\"", "no such member"},
		{SESSION, "{\"parent\":{}}", "\"parent\"", "the runtime alone"},
		{SESSION, "{\"allowed\":[]}", "\"allowed\"", "is empty"},
		{CEILING, "{\"ask\":[\"bash\"]}", "\"ask\"", "no such member"},
		{CEILING, "{\"profile\":\"full\"}", "\"profile\"", "no such member"},
		{CEILING, "{\"allowed\":[]}", "\"allowed\"", "is empty"},
	};
	as(SCOPE_ADMIN);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char param[80];
		ask("PUT", cases[i].path, "", cases[i].body);
		snprintf(param, sizeof param, "\"param\":%s", cases[i].param);
		expect("HTTP/1.1 400 ");
		expect(param);
		expect(cases[i].says);
	}
	assert_int_equal(db.policy_puts, 0);
}

/* A session is narrowed before its first message; one that the runtime names is not
 * begun. */
static void test_a_session_that_has_not_begun(void **state)
{
	(void)state;
	as(ALL);
	db.policy_change = (struct change){.outcome = CHANGE_ABSENT, .version = 1};
	ask("PUT", SESSION, "", "{}");
	bed_settle(&c);
	expect("HTTP/1.1 200 ");
	assert_int_equal(db.policy_puts, 2);
	assert_int_equal(db.sessions, 1);
	db.policy_change.outcome = CHANGE_ABSENT;
	ask("PUT", "/v1/agents/default/sessions/cron:x/policy", "", "{}");
	expect("HTTP/1.1 404 ");
	db.policy_change.outcome = CHANGE_ABSENT;
	ask("PUT", SESSION, "If-Match: \"3\"\r\n", "{}");
	expect("HTTP/1.1 404 ");
	db.policy_change.outcome = CHANGE_ABSENT;
	ask("DELETE", SESSION, "", "");
	expect("HTTP/1.1 404 ");
	assert_int_equal(db.sessions, 1);
	char path[700];
	memset(path, 'k', sizeof path);
	memcpy(path, "/v1/agents/default/sessions/", 28);
	strcpy(path + 28 + 513, "/policy");
	db.policy_change.outcome = CHANGE_ABSENT;
	ask("PUT", path, "", "{}");
	expect("HTTP/1.1 404 ");
	assert_int_equal(db.sessions, 1);
}

static void test_explain(void **state)
{
	(void)state;
	db.policy = (struct policy_rows){
		.found = true,
		.layers = {.agent =
				   SLICE("{\"profile\":\"full\",\"denied\":[\"write\"]}"),
			   .tools = SLICE("[\"read\",\"edit\",\"bash\"]")}};
	say(GET(EXPLAIN "?tool=EDIT"));
	expect("HTTP/1.1 200 ");
	expect("{\"agent\":\"default\",\"problem\":null,\"maxToolCallsPerTurn\":10,"
	       "\"tools\":[{\"name\":\"edit\",\"category\":\"filesystem\",\"verdict\":"
	       "\"deny\",\"layer\":\"agent\",\"rule\":\"the agent's policy denies "
	       "'write'\"}]}");
	say(GET(EXPLAIN));
	expect("\"name\":\"exec\",\"category\":\"runtime\",\"verdict\":\"deny\","
	       "\"layer\":\"revision\",\"rule\":\"the agent's revision does not list "
	       "it\"");
	expect("\"name\":\"bash\",\"category\":\"runtime\",\"verdict\":\"allow\"");
	say(GET(EXPLAIN "?tool=group%3Aruntime"));
	expect("\"name\":\"bash\"");
	expect_not("\"name\":\"read\"");
	say(GET(EXPLAIN "?tool=rm"));
	expect("HTTP/1.1 400 ");
	say(GET(EXPLAIN "?tools=bash"));
	expect("tools is no parameter");
	say(GET(EXPLAIN "?tool=bash&tool=exec"));
	expect("twice");
	say(GET(EXPLAIN "?session=x"));
	expect("HTTP/1.1 404 ");
	db.policy.in_session = true;
	db.policy.layers.session = SLICE("{\"denied\":[\"reed\"]}");
	say(GET(EXPLAIN "?session=x&tool=read"));
	expect("\"sessionKey\":\"x\"");
	expect("every tool is refused, for the tool policy (session) cannot be read: "
	       "denied: there is no tool or group 'reed'");
	expect("\"verdict\":\"deny\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_tools),    T(test_who_may),
		T(test_read),     T(test_put),
		T(test_versions), T(test_documents),
		T(test_explain),  T(test_a_session_that_has_not_begun),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
