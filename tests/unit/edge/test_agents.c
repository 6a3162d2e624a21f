/* SPDX-License-Identifier: Apache-2.0
 * The calls about agents: who may, what is taken, what becomes of it, what is answered.
 */
#include "tests/unit/edge/api_bed.h"

#define ALL (SCOPE_READ | SCOPE_WRITE)
#define ONE "/v1/agents/default"

static void as(unsigned scopes)
{
	db.scopes = scopes;
	auth_invalidate(&edge, id(TOKEN));
}

static void ask_for(const char *method, const char *path, const char *fields,
		    const char *body)
{
	char text[4096];
	snprintf(text, sizeof text,
		 "%s %s HTTP/1.1\r\nHost: x\r\n" BEARER "%sContent-Length: %zu\r\n\r\n%s",
		 method, path, fields, strlen(body), body);
	say(text);
}

static void answers(const char *word, enum change_outcome outcome, int64_t version,
		    const char *text)
{
	asks.answer =
		(struct ask_answer){.found = true,
				    .word = slice_str(word),
				    .change = {.outcome = outcome, .version = version},
				    .version = version,
				    .text = slice_str(text)};
}

static void test_who_may(void **state)
{
	(void)state;
	static const struct {
		const char *method, *path, *body;
		unsigned scopes;
	} calls[] = {{"GET", "/v1/agents", "", SCOPE_READ | SCOPE_RUN},
		     {"GET", ONE, "", SCOPE_READ | SCOPE_RUN},
		     {"GET", ONE "/revisions", "", SCOPE_READ | SCOPE_RUN},
		     {"GET", ONE "/revisions/1", "", SCOPE_READ | SCOPE_RUN},
		     {"POST", "/v1/agents", "{\"name\":\"a\"}", SCOPE_WRITE},
		     {"PUT", ONE, "{}", SCOPE_WRITE},
		     {"PATCH", ONE, "{}", SCOPE_WRITE},
		     {"DELETE", ONE, "", SCOPE_WRITE},
		     {"POST", ONE "/clone", "{\"name\":\"a\"}", SCOPE_WRITE},
		     {"POST", ONE "/revisions/1/restore", "", SCOPE_WRITE}};
	answers("done", CHANGE_DONE, 1, "[]");
	for (size_t i = 0; i < ARRAY_LEN(calls); i++)
		for (unsigned s = SCOPE_RUN; s <= SCOPE_ADMIN; s *= 2) {
			as(s);
			ask_for(calls[i].method, calls[i].path, "", calls[i].body);
			expect(s == SCOPE_ADMIN || (calls[i].scopes & s)
				       ? "HTTP/1.1 20"
				       : "HTTP/1.1 403 ");
		}
	assert_int_equal(asks.reads, 4 * 3);
	assert_int_equal(asks.changes, 6 * 2);
	assert_int_equal(sup.agent_changes, 6 * 2);
}

static void test_a_new_one(void **state)
{
	(void)state;
	as(ALL);
	answers("done", CHANGE_DONE, 1, "{\"name\":\"a\"}");
	ask_for("POST", "/v1/agents", "",
		"{\"name\":\"a\",\"temperature\":0.5,\"maxRunning\":3,\"onFailure\":"
		"\"block\",\"model\":null}");
	expect("HTTP/1.1 201 ");
	expect("\r\netag: \"1\"\r\n");
	expect("\r\nlocation: /v1/agents/");
	assert_int_equal(asks.what, SQL_AGENT_CREATE);
	assert_string_equal(asks.text[0], "a");
	assert_string_equal(
		asks.text[1],
		"{\"temperature\":0.5,\"onFailure\":\"block\",\"model\":null}");
	assert_string_equal(asks.text[2], "coding");
	assert_int_equal(asks.v[3].number, 3);
	answers("taken", CHANGE_ABSENT, 0, "");
	ask_for("POST", "/v1/agents", "", "{\"name\":\"a\"}");
	expect("HTTP/1.1 409 ");
	expect("\"param\":\"name\"");
	assert_true(asks.v[3].none);
}

static void test_wrong(void **state)
{
	(void)state;
	static const struct {
		const char *method, *path, *body, *param;
	} calls[] = {
		{"POST", "/v1/agents", "{}", "name"},
		{"POST", "/v1/agents", "{\"name\":\"a\",\"queueDrop\":\"new\"}",
		 "queueDrop"},
		{"POST", "/v1/agents", "{\"name\":\"a\",\"workspaceFiles\":0}",
		 "workspaceFiles"},
		{"POST", "/v1/agents", "{\"name\":\"a\",\"revision\":1}", "revision"},
		{"PATCH", ONE, "{\"revision\":1}", "revision"},
		{"PATCH", ONE, "{\"maxRunning\":null}", "maxRunning"},
		{"PATCH", ONE, "{\"name\":null}", "name"},
		{"PUT", ONE, "{\"profile\":\"full\"}", "profile"},
		{"PUT", ONE, "{\"stop\":[]}", "stop"},
		{"POST", ONE "/clone", "{\"name\":\"a\",\"revision\":0}", "revision"},
		{"POST", ONE "/clone", "{\"name\":\"a\",\"stop\":[\"x\"]}", "stop"},
		{"POST", ONE "/revisions/1/restore", "{\"x\":1}", "x"}};
	as(ALL);
	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		char param[60];
		snprintf(param, sizeof param, "\"param\":\"%s\"", calls[i].param);
		ask_for(calls[i].method, calls[i].path, "", calls[i].body);
		expect("HTTP/1.1 400 ");
		expect(param);
	}
	assert_int_equal(asks.changes, 0);
}

/* What GET shows may stand in a PUT, and says nothing. */
static void test_a_change(void **state)
{
	(void)state;
	as(ALL);
	answers("done", CHANGE_DONE, 8, "{\"revision\":8}");
	ask_for("PUT", ONE, "If-Match: \"7\"\r\n",
		"{\"id\":\"x\",\"revision\":7,\"createdAt\":\"\",\"updatedAt\":\"\","
		"\"updatedBy\":\"\",\"name\":\"b\",\"stop\":[\"x\"]}");
	expect("HTTP/1.1 200 ");
	expect("\r\netag: \"8\"\r\n");
	assert_string_equal(asks.text[0], "{\"stop\":[\"x\"]}");
	assert_string_equal(asks.text[1], "b");
	assert_int_equal(asks.expect, 7);
	assert_true(asks.v[2].number);
	ask_for("PATCH", ONE, "", "{\"stop\":null}");
	assert_false(asks.v[2].number);
	assert_string_equal(asks.text[0], "{\"stop\":null}");
	assert_string_equal(asks.text[1], "NULL");
	assert_int_equal(asks.expect, -1);
	assert_int_equal(sup.agent_changes, 2);
	answers("stale", CHANGE_STALE, 9, "");
	ask_for("PATCH", ONE, "If-Match: \"7\"\r\n", "{}");
	expect("HTTP/1.1 412 ");
	db.away = true;
	ask_for("PATCH", ONE, "", "{}");
	expect("HTTP/1.1 503 ");
	assert_int_equal(sup.agent_changes, 2); /* nothing was done */
}

static void test_an_end(void **state)
{
	(void)state;
	as(ALL);
	answers("done", CHANGE_DONE, 3, "[\"" RUN "\",\"" OTHER "\"]");
	ask_for("DELETE", ONE, "If-Match: \"3\"\r\n", "");
	expect("{\"deleted\":true,\"id\":\"" AGENT "\",\"cancelling\":2}");
	assert_int_equal(sup.cancels, 2);
	assert_true(uuid_eq(sup.cancel.run, id(OTHER)));
	assert_int_equal(sup.cancel.req, 0);
	ask_for("DELETE", "/v1/agents/nobody", "", "");
	expect("HTTP/1.1 404 ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {T(test_who_may), T(test_a_new_one),
					   T(test_wrong), T(test_a_change),
					   T(test_an_end)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
