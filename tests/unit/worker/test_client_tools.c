/* SPDX-License-Identifier: Apache-2.0
 * Runs whose message brings tools of its client, and those that bring the results: what
 * is handed out and stored, once, whoever dies. (test_run.c has them at random.) */
#include "tests/unit/worker/one_run.h"

static const char *last_event(void)
{
	static char text[1000];
	const struct commit *c = l->flying;
	struct slice s = c->events[c->event_count - 1].stored;
	snprintf(text, sizeof text, "%.*s", SLICE_ARG(s));
	return text;
}

static void test_calls_of_the_client_end_the_run(void **state)
{
	(void)state;
	message_body = client_body;
	start_plain();
	answer_calls(l, "cc");
	assert_true(l->flying->has_end);
	assert_int_equal(l->flying->tool_count, 0);
	assert_int_equal(l->flying->event_count, 3);
	assert_non_null(strstr(last_event(), "\"stop\":\"client_tools\""));
	land(l);
	assert_string_equal(transcript(), "ua");
	expect_end(RESULT_COMPLETED, "", "completed");
}

static void test_calls_of_the_runtime_go_first(void **state)
{
	(void)state;
	message_body = client_body;
	start_plain();
	answer_calls(l, "ckc");
	land(l);
	tool_ends(l);
	assert_false(l->flying->has_end);
	land(l);
	assert_true(l->flying->has_end);
	assert_int_equal(l->flying->event_count, 3);
	land(l);
	assert_string_equal(transcript(), "uar");
	assert_string_equal(row_states(), "completed");
	assert_int_equal(db.rows[0].call, 1);
	expect_end(RESULT_COMPLETED, "", "completed");
}

/* Wherever it dies, who goes on hands the same calls out. */
static void test_calls_of_the_client_through_lives(void **state)
{
	(void)state;
	for (int at = 0; at < 3; at++) {
		restart_world();
		message_body = client_body;
		start_plain();
		answer_calls(l, "cpkc");
		land(l);
		if (at >= 1) {
			while (l->call)
				tool_ends(l);
			land(l);
		}
		if (at == 2)
			land_as(l, UNSEEN);
		else
			next_life((struct wire_run_start){0});
		while (!db.ends)
			if (l->loading)
				load(l);
			else if (l->call)
				tool_ends(l);
			else
				land(l);
		assert_int_equal(asked_in_all, 1);
		assert_string_equal(transcript(), "uarr");
		assert_string_equal(row_states(), "completed completed");
		expect_end(RESULT_COMPLETED, "", "completed");
	}
}

static void test_a_steer_voids_calls_of_the_client(void **state)
{
	(void)state;
	message_body = client_body;
	start_plain();
	answer_calls(l, "ck");
	land(l);
	tool_ends(l);
	steer(); /* its T3 is under way */
	land(l);
	land(l);
	assert_string_equal(transcript(), "uarrt");
	answer_text(l, "to that");
	land(l);
	expect_end(RESULT_COMPLETED, "", "taken completed");
}

static void test_a_cancel_voids_calls_of_the_client(void **state)
{
	(void)state;
	message_body = client_body;
	start_plain();
	answer_calls(l, "ck");
	land(l);
	run_cancel(l->run, CANCEL_ASKED);
	turn();
	while (l->call)
		tool_ends(l);
	land(l);
	assert_string_equal(transcript(), "uarr");
	expect_end(RESULT_CANCELLED, "cancelled", "cancelled");
}

#define CALLED                                                                           \
	"{\"blocks\":[{\"type\":\"tool_call\",\"callId\":\"a\",\"name\":\"ring\","       \
	"\"arguments\":{},\"clientSide\":true},{\"type\":\"tool_call\",\"callId\":"      \
	"\"b\","                                                                         \
	"\"name\":\"ring\",\"arguments\":{},\"clientSide\":true}]}"

/* The lane ended with two open calls; the message answers one. */
static void start_answering(const char *results)
{
	static char body[400];
	db_add("user", 0, uuid7_new(), SLICE(PLAIN_BODY));
	db_add("assistant", 1, uuid7_new(), SLICE(CALLED));
	snprintf(body, sizeof body, "{\"blocks\":[],\"toolResults\":[%s]}", results);
	message_body = body;
	before_input = 2;
	start_plain();
}

static void test_results_are_stored_before_the_question(void **state)
{
	(void)state;
	start_answering("{\"toolCallId\":\"b\",\"content\":\"two\"}");
	assert_int_equal(asked_in_all, 0);
	assert_int_equal(l->flying->message_count, 2);
	land_as(l, UNSEEN);
	if (l->loading)
		load(l);
	assert_non_null(strstr(db.lines[3].content, "no result was given"));
	assert_non_null(strstr(db.lines[4].content, "two"));
	assert_int_equal(l->run->session->count, 5);
	assert_string_equal(db.lines[2].role, "user");
	assert_int_equal(l->run->session->messages[4]->seq, 3); /* shown behind them */
	next_life((struct wire_run_start){0});
	load(l);
	land(l);                           /* what was said so far is void */
	assert_int_equal(asked_in_all, 2); /* nothing is stored twice */
	answer_text(l, "well");
	land(l);
	assert_int_equal(db.line_count, 6);
	assert_int_equal(db.result, RESULT_COMPLETED);
}

static void test_results_of_no_open_call(void **state)
{
	(void)state;
	start_answering("{\"toolCallId\":\"c\",\"content\":\"two\"}");
	assert_true(l->flying->has_end);
	land(l);
	assert_string_equal(db.code, "bad_request");
	assert_non_null(strstr(db.error, "'c'"));
	assert_int_equal(db.line_count, 3);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_calls_of_the_client_end_the_run),
		CASE(test_calls_of_the_runtime_go_first),
		CASE(test_calls_of_the_client_through_lives),
		CASE(test_a_steer_voids_calls_of_the_client),
		CASE(test_a_cancel_voids_calls_of_the_client),
		CASE(test_results_are_stored_before_the_question),
		CASE(test_results_of_no_open_call),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
