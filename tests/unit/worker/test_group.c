/* SPDX-License-Identifier: Apache-2.0
 * Judging the calls of an answer and cutting them into groups, on a run made by hand:
 * which calls may run, what refusals say, which rows stand in which commit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "common/attr.h"
#include "tests/unit/common/rand.h"
#include "worker/group.h"
#include "worker/run.h"
#include "worker/tools/registry.h"
#include "tests/unit/worker/permits.h"

#define P "memory_get"   /* pure */
#define K "memory_store" /* keyed: an effect */
#define GOOD_K "{\"text\":\"x\"}"

static struct run r;
static struct session session;
static struct agents *agents;

static int setup(void **state)
{
	(void)state;
	memset(&r, 0, sizeof r);
	memset(&session, 0, sizeof session);
	r.session = &session;
	r.arena = arena_new(RUN_ARENA_BYTES);
	r.step_no = 1;
	llm_answer_init(&r.answer);
	agents = agents_new();
	r.agent = agent_put(agents, 1, r.agent_id, 1, SLICE("{}"));
	r.permit = r.started_with = permit_of("{\"profile\":\"full\"}", 7);
	commit_begin(&r);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	llm_answer_fini(&r.answer);
	arena_free(r.arena);
	agents_free(agents);
	if (r.started_with != r.permit)
		permit_give_back(r.started_with);
	permit_give_back(r.permit);
	return 0;
}

static void restart(void)
{
	teardown(NULL);
	setup(NULL);
}

static void call(const char *name, const char *arguments)
{
	struct llm_part *c = llm_part_new(&r.answer, LLM_CALL, 0);
	strbuf_printf(&c->id, "id%zu", r.answer.call_count);
	strbuf_add_str(&c->name, name);
	strbuf_add_str(&c->arguments, arguments);
}

/* 'p' pure, 'k' effect, 'x' refused. */
static void calls(const char *kinds)
{
	for (; *kinds; kinds++)
		call(*kinds == 'p' ? P : K, *kinds == 'k' ? GOOD_K : "{}");
	group_prepare(&r);
}

/* What the commit being built says of the calls: one letter each, by state. */
static void rows(char *out)
{
	memset(out, '.', r.call_count);
	out[r.call_count] = 0;
	for (size_t i = 0; i < r.commit.tool_count; i++) {
		const struct commit_tool *t = &r.commit.tools[i];
		assert_true((size_t)t->call < r.call_count);
		assert_int_equal(out[t->call], '.'); /* no call twice */
		out[t->call] = t->state[0];
	}
}

/* All calls of the group are done, and a commit with their results begun. */
static void finish_group(void)
{
	size_t from = r.call_at;
	for (size_t i = from; i < r.group_end; i++)
		if (!r.calls[i].output.p)
			r.calls[i].output = SLICE("{\"ok\":true}");
	commit_begin(&r);
	for (size_t i = from; i < r.group_end; i++) {
		r.calls[i].failed = r.calls[i].refusal != NULL;
		commit_call(&r, i, r.calls[i].failed ? "error" : "completed");
	}
}

/* The next commit holds their results and the rows of the next group. False at the end.
 */
static bool settle_group(char *out)
{
	finish_group();
	bool more = r.group_end < r.call_count;
	if (more)
		group_next(&r);
	rows(out);
	for (size_t i = 0; i < r.call_count; i++) {
		r.calls[i].settled |= r.calls[i].settling;
		r.calls[i].settling = false;
	}
	return more;
}

/* The commits of a list of calls: the intent, then one each group. */
static void test_groups(void **state)
{
	(void)state;
	static const struct {
		const char *kinds,
			*commits; /* r running, p pending, c completed, e error */
	} cases[] = {
		{"p", "r c"},
		{"k", "r c"},
		{"ppp", "rrr ccc"},
		{"pk", "rr cc"},
		{"kp", "rp cr .c"},
		{"kk", "rp cr .c"},
		{"kkk", "rpp cr. .cr ..c"},
		{"ppkpk", "rrrpp cccrr ...cc"},
		{"kppkp", "rpppp crrr. .cccr ....c"},
		{"x", "r e"},
		{"pxk", "rrr cec"},
		{"kxk", "rpp crr .ec"},
		{"xkxpk", "rrppp ecrrr ..ecc"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char got[200], one[32];
		restart();
		calls(cases[i].kinds);
		group_first(&r);
		rows(got);
		bool more = true;
		while (more) {
			more = settle_group(one);
			strcat(strcat(got, " "), one);
		}
		if (strcmp(got, cases[i].commits))
			fail_msg("%s: %s, not %s", cases[i].kinds, got, cases[i].commits);
	}
}

/* A message came in: what has not started gets its paired result in that commit, and the
 * batch ends. What was skipped before it began is no error of the call. */
static void test_skipping(void **state)
{
	(void)state;
	static const struct {
		const char *kinds;
		size_t groups;       /* settled before the message came; 0: none began */
		const char *commits; /* of the skip: c completed, e error, x cancelled */
	} cases[] = {
		{"p", 0, "x"},         {"kpk", 0, "xxx"},     {"kpk", 1, "cxx"},
		{"kkk", 2, ".cx"},     {"ppkpk", 1, "cccxx"}, {"kxp", 1, "cxx"},
		{"pxkkp", 2, "...cx"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char got[32];
		restart();
		calls(cases[i].kinds);
		if (cases[i].groups == 0) {
			r.group_end = 0;
			group_skip(&r);
		} else {
			group_first(&r);
			for (size_t g = 1; g < cases[i].groups; g++)
				settle_group(got);
			finish_group();
			group_skip(&r);
		}
		rows(got);
		for (char *p = got; *p; p++)
			*p = *p == 'c' && r.calls[p - got].said.p ? 'x' : *p;
		if (strcmp(got, cases[i].commits))
			fail_msg("%s: %s, not %s", cases[i].kinds, got, cases[i].commits);
		assert_int_equal(r.call_at, r.call_count);
		assert_int_equal(r.group_end, r.call_count);
		for (size_t k = 0; k < r.call_count; k++)
			assert_true(r.calls[k].settled || r.calls[k].settling);
	}
}

static void test_a_skipped_call_in_words(void **state)
{
	(void)state;
	calls("k");
	r.group_end = 0;
	group_skip(&r);
	assert_int_equal(r.commit.message_count, 1);
	assert_string_equal(r.commit.messages[0].role, "tool");
	struct slice m = r.commit.messages[0].content;
	assert_true(slice_find(m, SLICE("\"isError\":true")) >= 0);
	assert_true(slice_find(m, SLICE("\"callId\":\"id1\"")) >= 0);
	assert_true(slice_find(m, SLICE("\"text\":\"Skipped to process an incoming "
					"message.\"")) >= 0);
	assert_string_equal(r.commit.tools[0].state, "cancelled");
	assert_true(slice_is(r.commit.tools[0].output,
			     "{\"error\":\"Skipped to process an incoming message.\"}"));
}

/* A run that is let go leaves its calls as nobody has begun them. */
static void test_holding(void **state)
{
	(void)state;
	char got[32];
	calls("kpx");
	group_hold(&r);
	rows(got);
	assert_string_equal(got, "ppp");
	assert_int_equal(r.call_at, 0);
	assert_int_equal(r.group_end, 0);
	assert_int_equal(r.commit.message_count, 0);
	group_start(&r); /* what another worker does with them */
	assert_int_equal(r.group_end, 1);
}

/* Whatever the calls: each runs in one group only, in order, and between two effects
 * there is a commit; the number of commits is that of the effects and one. */
static void test_random_groups(void **state)
{
	(void)state;
	rand_begin();
	for (int round = 0; round < 500; round++) {
		char kinds[12], out[32];
		size_t n = 1 + rand_below(POLICY_CALLS_DEFAULT), effects = 0, commits = 0;
		for (size_t i = 0; i < n; i++) {
			kinds[i] = "pkx"[rand_below(3)];
			effects += kinds[i] == 'k';
		}
		kinds[n] = 0;
		restart();
		calls(kinds);
		group_first(&r);
		assert_int_equal(r.commit.tool_count, n);
		for (bool more = true; more; commits++) {
			size_t in_group = 0, from = r.call_at;
			assert_true(r.group_end > from);
			for (size_t i = from; i < r.group_end; i++)
				in_group += kinds[i] == 'k';
			assert_true(in_group <= 1);
			assert_true(!in_group || kinds[r.group_end - 1] == 'k');
			more = settle_group(out);
			assert_true(!more || r.call_at > from);
		}
		assert_int_equal(commits, effects + (kinds[n - 1] != 'k'));
		for (size_t i = 0; i < n; i++)
			assert_true(r.calls[i].settled);
	}
}

/* A server that begins to count anew with each answer: its call gets an id that
 * the session does not have. */
static void test_ids_of_earlier_answers(void **state)
{
	(void)state;
	struct message said = {
		.llm = {.role = LLM_ASSISTANT,
			.content = SLICE("{\"blocks\": [{\"callId\": \"id1\"}]}")}};
	struct message *messages[] = {&said};
	session.messages = messages;
	session.count = 1;
	calls("pp");
	assert_false(slice_is(r.calls[0].id, "id1"));
	assert_true(r.calls[0].id.n > 0);
	assert_true(slice_is(r.calls[1].id, "id2"));
	said.llm.role = LLM_USER; /* who only quotes it */
	restart();
	session.messages = messages;
	session.count = 1;
	calls("pp");
	assert_true(slice_is(r.calls[0].id, "id1"));
}

static void test_refusals(void **state)
{
	(void)state;
	static const struct {
		const char *name, *arguments, *says, *input;
	} cases[] = {
		{P, "{}", NULL, "{}"},
		{P, "", NULL, "{}"},
		{P, "  {\"path\" : \"a\"} ", NULL, "{\"path\":\"a\"}"},
		{"no_such", "{}", "no tool 'no_such'", "{}"},
		{"", "{}", "no tool ''", "{}"},
		{P, "{\"path\":", "not JSON", "{\"_raw\":\"{\\\"path\\\":\"}"},
		{P, "[]", "must be a JSON object", "{\"_raw\":\"[]\"}"},
		{P, "null", "must be a JSON object", "{\"_raw\":\"null\"}"},
		{P, "{\"path\":7}", "'path' must be", "{\"path\":7}"},
		{P, "{\"x\":7}", "'x' is not known", "{\"x\":7}"},
		{P, "{\"path\":\"a\",\"path\":\"b\"}", "not JSON",
		 "{\"_raw\":\"{\\\"path\\\":\\\"a\\\",\\\"path\\\":\\\"b\\\"}\"}"},
		{K, "{}", "'text' is missing", "{}"},
		{"no_such", "{\"a\":", "not JSON", "{\"_raw\":\"{\\\"a\\\":\"}"},
		{P, "{\"path\":\"\xFF\"}", "not JSON",
		 "{\"_raw\":\"{\\\"path\\\":\\\"\xEF\xBF\xBD\\\"}\"}"},
		{P, "{\"path\":\"\\u0000\"}", "not JSON",
		 "{\"_raw\":\"{\\\"path\\\":\\\"\\\\u0000\\\"}\"}"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		restart();
		call(cases[i].name, cases[i].arguments);
		group_prepare(&r);
		const struct run_call *c = &r.calls[0];
		if (!cases[i].says != !c->refusal ||
		    (c->refusal && !strstr(c->refusal, cases[i].says)))
			fail_msg("%s %s: %s", cases[i].name, cases[i].arguments,
				 c->refusal ? c->refusal : "taken");
		if (!slice_is(c->input, cases[i].input))
			fail_msg("%s: %.*s", cases[i].arguments, SLICE_ARG(c->input));
		/* and it can be said in a commit */
		group_first(&r);
		assert_int_equal(r.commit.tool_count, 1);
	}
}

/* Numbers that JSON can say and Postgres cannot keep are stored as they were read. */
static void test_numbers_postgres_cannot_keep(void **state)
{
	(void)state;
	call(P, "{\"from\":1e-20000}");
	group_prepare(&r);
	assert_true(slice_find(r.calls[0].input, SLICE("20000")) < 0);
}

static void test_only_granted_tools(void **state)
{
	(void)state;
	r.agent = agent_put(agents, 1, r.agent_id, 2, SLICE("{\"tools\":[\"" P "\"]}"));
	call(P, "{}");
	call(K, GOOD_K);
	group_prepare(&r);
	assert_null(r.calls[0].refusal);
	assert_non_null(strstr(r.calls[1].refusal, "no tool '" K "'"));
}

static void test_only_permitted_tools(void **state)
{
	(void)state;
	permit_give_back(r.permit);
	r.permit = r.started_with = permit_of(
		"{\"profile\":\"full\",\"denied\":[\"" K "\"],\"ask\":[\"" P "\"]}", 9);
	call(P, "{}");
	call(K, GOOD_K);
	group_prepare(&r);
	assert_true(r.calls[0].asks);
	assert_non_null(strstr(r.calls[0].ask_rule, "wants a person asked for '" P "'"));
	assert_int_equal(r.calls[1].refused, ERR_TOOL_DENIED);
	assert_string_equal(r.calls[1].refusal,
			    "'" K "' is not allowed: the agent's policy denies '" K "'");
}

/* What takes away holds at once, what gives more from the next run on. */
static void test_a_policy_that_changes(void **state)
{
	size_t p = tool_index(tool_find(SLICE(P))), k = tool_index(tool_find(SLICE(K)));
	(void)state;
	assert_int_equal(permit_judge(&r, k, NULL), POLICY_ALLOW);
	r.permit = permit_of("{\"profile\":\"full\",\"allowed\":[\"" P
			     "\"],\"maxToolCallsPerTurn\":3}",
			     8);
	assert_int_equal(permit_judge(&r, p, NULL), POLICY_ALLOW);
	assert_int_equal(permit_judge(&r, k, NULL), POLICY_DENY);
	assert_int_equal(permit_max_calls(&r), 3);
	call(P, "{}");
	group_prepare(&r);
	assert_int_equal(r.calls[0].policy_version, 8);
	struct permit *narrow = r.permit;
	r.permit = r.started_with;
	r.started_with = narrow;
	assert_int_equal(permit_judge(&r, k, NULL), POLICY_DENY);
	assert_int_equal(permit_max_calls(&r), 3);
}

/* Beyond the limit calls are refused, over all steps of the run. */
static void test_excess_calls(void **state)
{
	(void)state;
	for (int i = 0; i < 7; i++)
		call(P, "{}");
	group_prepare(&r);
	for (int i = 0; i < 7; i++)
		assert_null(r.calls[i].refusal);
	group_prepare(&r); /* the next step asks for as many */
	for (int i = 0; i < 7; i++)
		if (i < POLICY_CALLS_DEFAULT - 7)
			assert_null(r.calls[i].refusal);
		else
			assert_non_null(strstr(r.calls[i].refusal, "too many"));
	assert_int_equal(r.calls_made, POLICY_CALLS_DEFAULT);
}

/* What a model makes up as names and ids becomes text that columns take. */
static void test_names_are_cleaned(void **state)
{
	(void)state;
	struct llm_part *c = llm_part_new(&r.answer, LLM_CALL, 0);
	for (int i = 0; i < 100; i++)
		strbuf_add_str(&c->name, "\xE2\x82\xAC");
	strbuf_add_str(&c->id, "ab\xFFx");
	c = llm_part_new(&r.answer, LLM_CALL, 1);
	strbuf_add(&c->name, "a\0b", 3);
	group_prepare(&r);
	assert_int_equal(r.calls[0].name.n, 126);
	assert_true(slice_is_utf8(r.calls[0].name));
	assert_true(slice_is(r.calls[0].id, "ab"));
	assert_true(slice_is(r.calls[1].name, "a"));
	assert_true(r.calls[1].id.n > 0); /* one was made for it */
	assert_true(slice_is_utf8(slice_str(r.calls[0].refusal)));
}

/* A result belongs to one call: what the model names twice is told apart, and what it
 * does not name is named so that no other run names one alike. */
static void test_ids_are_of_one_call(void **state)
{
	(void)state;
	static const char *const given[] = {"a", "a", "", "b"};
	char *own[2];
	for (size_t i = 0; i < ARRAY_LEN(given); i++)
		strbuf_add_str(&llm_part_new(&r.answer, LLM_CALL, (int64_t)i)->id,
			       given[i]);
	r.id = uuid7_new();
	group_prepare(&r);
	assert_true(slice_is(r.calls[0].id, "a"));
	assert_true(slice_is(r.calls[3].id, "b"));
	for (size_t i = 1; i < 3; i++) {
		struct slice id = r.calls[i].id;
		assert_true(slice_has_prefix(id, SLICE("call_")));
		own[i - 1] = strndup(id.p, id.n);
	}
	assert_string_not_equal(own[0], own[1]);
	r.id = uuid7_new();
	r.calls_made = 0;
	group_prepare(&r);
	for (size_t i = 1; i < 3; i++) {
		assert_false(slice_is(r.calls[i].id, own[i - 1]));
		free(own[i - 1]);
	}
}

/* The failure's text goes to a text column too, wherever it was cut. */
static void test_failure_texts_are_utf8(void **state)
{
	(void)state;
	for (size_t shift = 0; shift < 4; shift++) {
		char text[700];
		memset(text, 'x', shift);
		for (size_t i = shift; i + 3 < sizeof text; i += 3)
			memcpy(text + i, "\xE2\x82\xAC", 4);
		assert_int_equal(run_fail(&r, ERR_NETWORK, "%s", text), STEP_MORE);
		assert_true(slice_is_utf8(slice_str(r.failure_text)));
		assert_true(strlen(r.failure_text) > 300);
		run_fail(&r, ERR_NETWORK, "%.*s: a", (int)(shift + 5), text);
		assert_true(slice_is_utf8(slice_str(r.failure_text)));
		assert_non_null(strstr(r.failure_text, ": a"));
	}
	assert_int_equal(r.failure, ERR_NETWORK);
	assert_int_equal(r.step, STEP_FAIL);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_groups),
		CASE(test_random_groups),
		CASE(test_skipping),
		CASE(test_a_skipped_call_in_words),
		CASE(test_holding),
		CASE(test_ids_of_earlier_answers),
		CASE(test_refusals),
		CASE(test_numbers_postgres_cannot_keep),
		CASE(test_only_granted_tools),
		CASE(test_only_permitted_tools),
		CASE(test_a_policy_that_changes),
		CASE(test_excess_calls),
		CASE(test_names_are_cleaned),
		CASE(test_ids_are_of_one_call),
		CASE(test_failure_texts_are_utf8),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
