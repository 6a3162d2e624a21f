/* SPDX-License-Identifier: Apache-2.0
 * The run machine when its context becomes too long: summaries, those that fail,
 * overflows, and deaths in between. */
#include "tests/unit/worker/one_run.h"

static void test_a_compaction(void **state)
{
	(void)state;
	fill_up();
	int asked = asked_in_all;
	land(l);
	assert_true(l->side);
	summarise();
	assert_int_equal(l->flying->message_count, 1);
	assert_int_equal(l->flying->act_count, 1);
	assert_int_equal(l->flying->usage_count, asked_in_all - asked);
	assert_non_null(strstr(l->flying->messages[0].content.p, "what was"));
	land(l);
	assert_true(l->loading);
	load(l);
	assert_false(l->side);
	assert_int_equal(compactions_in_all, 1);
	assert_true(l->run->session->count < db.line_count);
	assert_true(l->run->context.used < l->run->context.window.compact);
	answer_text(l, "done");
	land(l);
	expect_end(RESULT_COMPLETED, "", "completed");
}

/* The history is untouched, the model is asked with what fits, and not for a summary at
 * each step. */
static void test_a_summary_that_fails(void **state)
{
	(void)state;
	for (int how = 0; how < 4; how++, restart_world()) {
		fill_up();
		land(l);
		if (how == 0) {
			answer_failure(l, ERR_MODEL_AUTH);
		} else if (how == 1) {
			answer_failure(l, ERR_MODEL_RATE);
			end_pause(l); /* asked again, then not */
			answer_failure(l, ERR_MODEL_RATE);
		} else if (how == 2) {
			answer_text(l, "  ");
		} else {
			llm_add_text(l->asked, -1, SLICE("what w"));
			answer(l, ERR_OK, LLM_STOP_LENGTH);
		}
		assert_int_equal(l->flying->message_count, 0);
		assert_true(slice_find(l->flying->events[0].stored,
				       SLICE("compaction_failed")) >= 0);
		land(l);
		assert_false(l->side);
		work("p");
		assert_int_equal(summaries_in_all, how == 1 ? 2 : 1);
		answer_text(l, "done");
		land(l);
		assert_int_equal(compactions_in_all, 0);
		expect_end(RESULT_COMPLETED, "", "completed");
	}
}

/* A question for a summary that a person cuts off is counted as far as the provider told
 * what it cost, as any other. */
static void test_what_a_cancelled_summary_cost(void **state)
{
	(void)state;
	for (int told = 0; told < 2; told++, restart_world()) {
		in_compaction(1);
		int64_t before = l->run->tokens_in;
		if (told)
			l->asked->usage.in = 1234;
		run_cancel(l->run, CANCEL_ASKED);
		turn();
		assert_true(l->flying->has_end);
		assert_int_equal(l->flying->usage_count, told);
		assert_int_equal(l->run->tokens_in - before, told * 1234);
		land(l);
		assert_int_equal(compactions_in_all, 0);
		expect_end(RESULT_CANCELLED, "cancelled", "cancelled");
	}
}

static void test_a_summary_that_cannot_be_stored(void **state)
{
	(void)state;
	in_compaction(2);
	land_as(l, REFUSED);
	assert_false(l->side);
	assert_int_equal(compactions_in_all, 0);
	answer_text(l, "done");
	land(l);
	expect_end(RESULT_COMPLETED, "", "completed");
}

/* Once for a question: then it is the conversation that is too long. */
static void test_an_overflow(void **state)
{
	(void)state;
	for (int again = 0; again < 2; again++, restart_world()) {
		start_plain();
		for (int i = 0; i < 3; i++)
			work("p");
		answer_failure(l, ERR_MODEL_CONTEXT);
		assert_true(slice_find(l->flying->events[0].stored,
				       SLICE("compacting")) >= 0);
		land(l);
		assert_true(l->side);
		summarise();
		land(l);
		load(l);
		assert_false(l->side);
		assert_int_equal(compactions_in_all, 1);
		if (again)
			answer_failure(l, ERR_MODEL_CONTEXT);
		else
			answer_text(l, "done");
		land(l);
		expect_end(again ? RESULT_FAILED : RESULT_COMPLETED,
			   again ? "model_context" : "", again ? "failed" : "completed");
	}
}

/* The one message is too long: nothing can be summarised. */
static void test_an_overflow_of_one_message(void **state)
{
	(void)state;
	start_plain();
	answer_failure(l, ERR_MODEL_CONTEXT);
	land(l);
	assert_int_equal(summaries_in_all, 0);
	assert_int_equal(asked_in_all, 2);
	answer_failure(l, ERR_MODEL_CONTEXT);
	land(l);
	expect_end(RESULT_FAILED, "model_context", "failed");
}

/* Wherever its worker dies in it, the next one goes on, and there is one summary. */
static void test_death_in_a_compaction(void **state)
{
	(void)state;
	for (int place = 0; place <= 3; place++, restart_world()) {
		in_compaction(place);
		next_life((struct wire_run_start){.crashes = 1});
		for (int i = 0; i < 40 && !was_let_go(l); i++)
			if (l->flying)
				land(l);
			else if (l->loading)
				load(l);
			else
				answer_text(l, "fine");
		assert_int_equal(compactions_in_all, 1);
		assert_int_equal(count_in(transcript(), "s"), 1);
		expect_end(RESULT_COMPLETED, "",
			   place < 3 ? "progress completed" : "completed");
	}
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_a_compaction),
		CASE(test_a_summary_that_fails),
		CASE(test_what_a_cancelled_summary_cost),
		CASE(test_a_summary_that_cannot_be_stored),
		CASE(test_an_overflow),
		CASE(test_an_overflow_of_one_message),
		CASE(test_death_in_a_compaction),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
