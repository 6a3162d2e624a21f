/* SPDX-License-Identifier: Apache-2.0
 * Questions that a worker answers, by HTTP: what is asked, and its answer in parts. */
#include "tests/unit/edge/api_bed.h"

#include "edge/inquiry.h"

#define KEY "0192f3a0-0000-7000-8000-0000000000cc"
#define TEST "/v1/providers/openai/keys/" KEY "/test"
#define REQUEST "/v1/runs/" RUN "/steps/3/request"

static void as(unsigned scopes)
{
	db.scopes = scopes;
	auth_invalidate(&edge, id(TOKEN));
	db.keys = SLICE("[{\"id\":\"" KEY "\"}]");
}

static void found(struct wire_finding m)
{
	struct call *call = handle_get(edge.calls, sup.inquire.req);
	assert_non_null(call);
	m.error = m.error.p ? m.error : SLICE("");
	m.message = m.message.p ? m.message : SLICE("");
	m.body = m.body.p ? m.body : SLICE("");
	inquiry_found(call, &m);
	bed_settle(&c);
}

static void test_a_request(void **state)
{
	(void)state;
	as(SCOPE_ADMIN);
	say(GET(REQUEST));
	assert_int_equal(sup.inquiries, 1);
	assert_int_equal(sup.inquire.kind, INQUIRY_REQUEST);
	assert_int_equal(sup.inquire.tenant, 1);
	assert_int_equal(sup.inquire.step, 3);
	assert_true(uuid_eq(sup.inquire.object, id(RUN)));
	found((struct wire_finding){.body = SLICE("{\"body\":")});
	found((struct wire_finding){.body = SLICE("[1]}\n"), .last = true});
	expect("HTTP/1.1 200 ");
	expect("{\"body\":[1]}");
}

static void test_a_key(void **state)
{
	(void)state;
	as(SCOPE_ADMIN);
	post(TEST, BEARER, "{\"model\":\"gpt-x\"}");
	bed_settle(&c);
	assert_int_equal(sup.inquire.kind, INQUIRY_KEY);
	assert_string_equal(sup.inquired_model, "gpt-x");
	assert_true(uuid_eq(sup.inquire.object, id(KEY)));
	found((struct wire_finding){.body = SLICE("{\"ok\":true}\n"), .last = true});
	expect("{\"ok\":true}");
	db.keys = SLICE("[]");
	post(TEST, BEARER, "");
	bed_settle(&c);
	expect("HTTP/1.1 404 ");
	post(TEST, BEARER, "{\"model\":7}");
	bed_settle(&c);
	expect("HTTP/1.1 400 ");
	expect("\"param\":\"model\"");
	assert_int_equal(sup.inquiries, 1);
}

static void test_refused(void **state)
{
	(void)state;
	as(SCOPE_ADMIN);
	say(GET(REQUEST));
	found((struct wire_finding){.error = SLICE("tenant_full"),
				    .message = SLICE("one at a time"),
				    .retry_after_s = 7});
	expect("HTTP/1.1 429 ");
	expect("retry-after: 7");
	expect("one at a time");
	say(GET(REQUEST));
	found((struct wire_finding){.body = SLICE("{\"half\":")});
	found((struct wire_finding){.error = SLICE("peer_gone"),
				    .message = SLICE("the worker ended")});
	expect("HTTP/1.1 503 ");
	expect_not("half");
	sup.away = true;
	say(GET(REQUEST));
	expect("HTTP/1.1 503 ");
	sup.away = false;
	for (size_t i = 0; i < 3; i++) {
		static const char *const wrong[] = {
			GET("/v1/runs/" RUN "/steps/0/request"),
			GET("/v1/runs/" RUN "/steps/x/request"),
			GET("/v1/runs/none/steps/1/request")};
		say(wrong[i]);
		expect("HTTP/1.1 404 ");
	}
	assert_int_equal(sup.inquiries, 2);
}

static void test_who_may(void **state)
{
	(void)state;
	for (unsigned s = SCOPE_RUN; s < SCOPE_ADMIN; s *= 2) {
		as(s);
		say(GET(REQUEST));
		expect("HTTP/1.1 403 ");
		post(TEST, BEARER, "");
		expect("HTTP/1.1 403 ");
	}
	assert_int_equal(sup.inquiries, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_a_request),
		T(test_a_key),
		T(test_refused),
		T(test_who_may),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
