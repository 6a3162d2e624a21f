/* SPDX-License-Identifier: Apache-2.0
 * Approvals by HTTP: listed, read, answered. */
#include "tests/unit/edge/api_bed.h"

#include "edge/decide.h"

#define ONE "/v1/approvals/" RUN
#define BODY "{\"id\":\"" RUN "\",\"state\":\"pending\"}"

static void asked(void)
{
	db.approval = (struct approval_row){
		.found = true, .body = SLICE(BODY), .run = id(AGENT), .session = id(RUN)};
}

static void say_decided(const char *error, const char *message)
{
	struct call *call = handle_get(edge.calls, sup.decide.req);
	assert_non_null(call);
	call->on_decided(call, &(struct wire_decided){.error = slice_str(error),
						      .message = slice_str(message)});
	bed_settle(&c);
}

static void test_answered(void **state)
{
	(void)state;
	static const struct {
		const char *body, *says, *message;
		unsigned decision;
	} cases[] = {
		{"{\"decision\":\"approve\"}", "once", "", DECISION_APPROVE},
		{"{\"decision\":\"always\"}", "session", "", DECISION_ALWAYS},
		{"{\"decision\":\"deny\",\"message\":\"no\"}", "denied", "no",
		 DECISION_DENY},
	};
	asked();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char text[120];
		post(ONE, BEARER, cases[i].body);
		bed_settle(&c);
		assert_int_equal(sup.decides, i + 1);
		assert_int_equal(sup.decide.tenant, 1);
		assert_int_equal(sup.decide.decision, cases[i].decision);
		assert_true(uuid_eq(sup.decide.approval, id(RUN)));
		assert_true(uuid_eq(sup.decide.run, id(AGENT)));
		say_decided("", "");
		expect("HTTP/1.1 200 ");
		snprintf(text, sizeof text, "\"state\":\"%s\"}", cases[i].says);
		expect(text);
	}
}

static void test_refused(void **state)
{
	(void)state;
	asked();
	post(ONE, BEARER, "{\"decision\":\"deny\"}");
	bed_settle(&c);
	say_decided("conflict", "it was answered before: its state is once");
	expect("HTTP/1.1 409 ");
	expect("its state is once");
	db.approval.found = false;
	post(ONE, BEARER, "{\"decision\":\"deny\"}");
	bed_settle(&c);
	expect("HTTP/1.1 404 ");
	assert_int_equal(sup.decides, 1);
	post(ONE, BEARER, "{\"decision\":\"perhaps\"}");
	expect("HTTP/1.1 400 ");
	expect("\"param\":\"decision\"");
	asked();
	sup.away = true;
	post(ONE, BEARER, "{\"decision\":\"deny\"}");
	bed_settle(&c);
	expect("HTTP/1.1 503 ");
	db.scopes = SCOPE_READ;
	auth_invalidate(&edge, id(TOKEN));
	post(ONE, BEARER, "{\"decision\":\"deny\"}");
	expect("HTTP/1.1 403 ");
}

static void test_read(void **state)
{
	(void)state;
	asked();
	say(GET(ONE));
	bed_settle(&c);
	expect("HTTP/1.1 200 ");
	expect(BODY);
	db.approval_page =
		(struct approval_page){.count = 2,
				       .rows = {SLICE("{\"n\":1}"), SLICE("{\"n\":2}")},
				       .next = id(AGENT)};
	say(GET("/v1/approvals?state=pending&run=" RUN "&agent=default&limit=7"));
	bed_settle(&c);
	expect("{\"approvals\":[{\"n\":1},{\"n\":2}],\"next\":\"" AGENT "\"}");
	assert_true(db.pending);
	assert_true(uuid_eq(db.approval_filter.run, id(RUN)));
	assert_true(uuid_eq(db.approval_filter.page.agent, id(AGENT)));
	assert_int_equal(db.approval_filter.page.limit, 7);
	say(GET("/v1/approvals?stat=pending"));
	expect("HTTP/1.1 400 ");
	say(GET("/v1/approvals?state=maybe"));
	expect("HTTP/1.1 400 ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_answered),
		T(test_refused),
		T(test_read),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
