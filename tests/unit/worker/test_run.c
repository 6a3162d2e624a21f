/* SPDX-License-Identifier: Apache-2.0
 * The run machine against what reaches it from outside: messages to take, cancels,
 * yields, failing models, dying workers, commits whose answers are lost; at every step.
 */
#include "tests/unit/worker/one_run.h"

/* ---- plain */

static void test_a_plain_run(void **state)
{
	(void)state;
	start_plain();
	answer_calls(l, "pk");
	tool_ends(l); /* the pure one ran before its intent stood */
	assert_null(l->call);
	land(l);
	tool_ends(l);
	land(l);
	answer_text(l, "done");
	land(l);
	assert_string_equal(transcript(), "uarra");
	assert_int_equal(db.clears, 0);
	expect_end(RESULT_COMPLETED, "", "completed");
}

static void test_a_start_without_its_message(void **state)
{
	(void)state;
	body_left_out = true;
	start(l, (struct wire_run_start){0});
	load(l);
	assert_int_equal(l->run->session->count, 1);
	answer_text(l, "done");
	land(l);
	assert_string_equal(transcript(), "ua");
	expect_end(RESULT_COMPLETED, "", "completed");
}

/* ---- taking */

static void test_start_takes_before_the_first_question(void **state)
{
	(void)state;
	wait_in_lane(TAKE_COLLECT);
	wait_in_lane(TAKE_FOLDED);
	wait_in_lane(TAKE_FOLDED);
	wait_in_lane(TAKE_STEER);
	start(l, (struct wire_run_start){.take = TAKE_COLLECT | TAKE_FOLDED});
	load(l);
	assert_int_equal(asked_in_all, 0);
	assert_int_equal(l->flying->message_count, 0);
	land(l);
	assert_string_equal(transcript(), "utt"); /* two folded ones are one message */
	assert_string_equal(l->heard, "taken taken taken");
	answer_text(l, "all of it");
	land(l);
	assert_false(db.waiting[3].taken);
	expect_end(RESULT_COMPLETED, "", "taken taken taken completed");
}

static void test_a_steer_skips_what_has_not_started(void **state)
{
	(void)state;
	start_plain();
	answer_calls(l, "kkx");
	land(l);
	steer();
	assert_non_null(l->call); /* what runs, runs on */
	tool_ends(l);
	land(l);
	assert_string_equal(row_states(), "completed cancelled cancelled");
	assert_string_equal(transcript(), "uarrrt");
	assert_non_null(strstr(db.lines[3].content, GROUP_SKIPPED));
	answer_text(l, "now to that");
	land(l);
	expect_end(RESULT_COMPLETED, "", "taken completed");
}

static void test_a_steer_while_the_model_thinks_skips_all_calls(void **state)
{
	(void)state;
	start_plain();
	steer();
	assert_non_null(l->asked);
	answer_calls(l, "ok");
	land(l);
	assert_null(l->call);
	assert_string_equal(row_states(), "cancelled cancelled");
	assert_string_equal(transcript(), "uarrt");
	answer_text(l, "yes");
	land(l);
	expect_end(RESULT_COMPLETED, "", "taken completed");
}

static void test_a_steer_after_the_last_call(void **state)
{
	(void)state;
	start_plain();
	answer_calls(l, "k");
	land(l);
	tool_ends(l);
	steer(); /* its T3 is under way: a commit of its own follows */
	land(l);
	land(l);
	assert_string_equal(transcript(), "uart");
	answer_text(l, "yes");
	land(l);
	expect_end(RESULT_COMPLETED, "", "taken completed");
}

static void test_a_steer_at_the_final_answer(void **state)
{
	(void)state;
	start_plain();
	steer();
	steer();
	answer_text(l, "one");
	assert_false(l->flying->has_end);
	land(l);
	assert_string_equal(transcript(), "uatt");
	assert_int_equal(asked_in_all, 2);
	answer_text(l, "two");
	land(l);
	assert_string_equal(transcript(), "uatta");
	expect_end(RESULT_COMPLETED, "", "taken taken completed");
}

/* It was cancelled, or had been taken before: then the answer was the last one, and it
 * stands once. */
static void test_a_steer_that_is_gone(void **state)
{
	(void)state;
	start_plain();
	run_steer(l->run);
	answer_text(l, "one");
	land(l);
	assert_true(l->flying->has_end);
	land(l);
	assert_string_equal(transcript(), "ua");
	expect_end(RESULT_COMPLETED, "", "completed");
}

/* While the answer lands another one comes: it still gets its chance. */
static void test_a_steer_while_the_answer_lands(void **state)
{
	(void)state;
	start_plain();
	run_steer(l->run);
	answer_text(l, "one");
	steer();
	land_as(l, SEEN);
	assert_string_equal(transcript(), "uat"); /* the first commit took it */
	land(l);                                  /* the flag of it finds nothing */
	answer_text(l, "two");
	land(l);
	expect_end(RESULT_COMPLETED, "", "taken completed");
}

static void test_a_steer_during_the_end_is_left_alone(void **state)
{
	(void)state;
	start_plain();
	answer_text(l, "one");
	assert_true(l->flying->has_end);
	steer();
	land(l);
	assert_false(db.waiting[0].taken);
	expect_end(RESULT_COMPLETED, "", "completed");
}

/* The commit landed, its answer did not come: what it took is read back before anything
 * else, whatever the run was about to do. */
static void test_unseen_takes(void **state)
{
	(void)state;
	for (int what = 0; what < 5; what++) {
		restart_world();
		start_plain();
		steer();
		if (what == 4)
			answer_calls(l, "p");
		else
			answer_text(l, "one");
		if (what == 1)
			run_cancel(l->run, CANCEL_ASKED);
		if (what == 2)
			run_yield(l->run);
		if (what == 3)
			db.waiting_count = 0; /* it was cancelled */
		land_as(l, UNSEEN);
		assert_string_equal(l->heard, ""); /* nothing yet, not even the end */
		assert_true(l->loading);
		assert_null(l->flying);
		load(l);
		if (what == 2) {
			assert_string_equal(l->heard, "taken yielded");
			next_life((struct wire_run_start){0});
			load(l);
			land(l);
		}
		if (what == 1 || what == 3)
			land(l);
		else {
			answer_text(l, "two");
			land(l);
		}
		expect_end(what == 1 ? RESULT_CANCELLED : RESULT_COMPLETED,
			   what == 1 ? "cancelled" : "",
			   what == 1   ? "taken cancelled"
			   : what == 3 ? "completed"
				       : "taken completed");
	}
}

/* An answer of the journal that cannot be read is as good as none. */
static void test_a_taken_list_that_is_no_list(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"{", "{}", "7", "[7]", "[{\"run\":\"x\",\"seq\":1}]", "[{\"seq\":1}]"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		restart_world();
		start_plain();
		steer();
		answer_text(l, "one");
		struct commit *c = l->flying;
		AUTO(strbuf_fini) struct strbuf taken = STRBUF_INIT;
		db_apply(c, &taken);
		l->flying = NULL;
		c->done(c->arg,
			&(struct commit_result){.outcome = COMMIT_LANDED,
						.head_seq = (int64_t)db.line_count,
						.taken = slice_str(bad[i])});
		turn();
		assert_true(l->loading);
		load(l);
		answer_text(l, "two");
		land(l);
		expect_end(RESULT_COMPLETED, "", "taken completed");
	}
}

/* ---- resuming */

static void test_resume_between_taken_messages(void **state)
{
	(void)state;
	/* A taken message behind the answer: the model is asked again. */
	start_plain();
	steer();
	answer_text(l, "one");
	AUTO(strbuf_fini) struct strbuf unheard = STRBUF_INIT;
	db_apply(l->flying, &unheard); /* and the worker dies before it hears of it */
	next_life((struct wire_run_start){.crashes = 1});
	load(l);
	assert_string_equal(l->heard, "taken"); /* nobody knew */
	land(l);
	answer_calls(l, "k");
	land(l);
	assert_string_equal(l->heard, "taken progress");
	/* An answer with calls behind a taken message: they go on. */
	next_life((struct wire_run_start){.crashes = 1});
	load(l);
	assert_int_equal(l->run->step_no, 2);
	land(l);
	assert_string_equal(transcript(), "uata");
	tool_ends(l);
	land(l);
	assert_string_equal(transcript(), "uatar");
	answer_text(l, "two");
	land(l);
	expect_end(RESULT_COMPLETED, "", "taken progress completed");
}

/* The answer stands, the end does not; a message waits: it is the run's. */
static void test_resume_before_the_end(void **state)
{
	(void)state;
	for (int waits = 0; waits < 2; waits++) {
		restart_world();
		start_plain();
		run_steer(l->run);
		answer_text(l, "one");
		land(l);
		if (waits)
			wait_in_lane(TAKE_STEER);
		next_life((struct wire_run_start){.take = waits ? TAKE_STEER : 0});
		load(l);
		land(l);
		if (waits) {
			answer_text(l, "two");
			land(l);
		}
		assert_string_equal(transcript(), waits ? "uata" : "ua");
		expect_end(RESULT_COMPLETED, "", waits ? "taken completed" : "completed");
	}
}

/* A model that goes in circles, first with what it may call and then with what it may not
 * any more, makes as many calls as in one life, however often its worker dies. */
static void test_a_circle_through_many_lives(void **state)
{
	(void)state;
	size_t undisturbed = 0;
	for (size_t kills = 1000; kills > 3; kills = kills == 1000 ? 13 : kills - 3) {
		restart_world();
		start_plain();
		while (!was_let_go(l)) {
			answer_calls(l, "p");
			while (!was_let_go(l) && (l->call || l->flying))
				if (l->call)
					tool_ends(l);
				else
					land(l);
			if (db.ended || db.row_count % kills)
				continue;
			next_life((struct wire_run_start){.crashes = 1});
			load(l);
			land(l);
		}
		if (!undisturbed)
			undisturbed = db.row_count;
		assert_in_range(db.row_count, LOOP_END + 1, 2 * LOOP_END);
		assert_int_equal(db.row_count, undisturbed);
		assert_int_equal(db.result, RESULT_FAILED);
		assert_string_equal(db.code, err_code(ERR_TOOL_LOOP));
		check_end();
	}
}

/* Its calls get their results all the same. */
static void test_resume_without_its_transcript(void **state)
{
	(void)state;
	start_plain();
	answer_calls(l, "ko");
	land(l);
	next_life((struct wire_run_start){.crashes = 1});
	load_bare(l);
	land(l);
	assert_string_equal(transcript(), "uarr");
	expect_end(RESULT_FAILED, err_code(ERR_INTERNAL), "failed");
	restart_world();
	start_plain(); /* it has no answer: nobody asked for calls */
	next_life((struct wire_run_start){.crashes = 1});
	load_bare(l);
	land(l);
	assert_string_equal(transcript(), "u");
	expect_end(RESULT_FAILED, err_code(ERR_INTERNAL), "failed");
}

/* A cancel that came before stays its reason. */
static void test_a_cancelled_run_that_cannot_be_read(void **state)
{
	(void)state;
	start_plain();
	answer_calls(l, "ko");
	land(l);
	next_life((struct wire_run_start){.cancel = CANCEL_ASKED});
	load_bare(l);
	land(l);
	assert_string_equal(transcript(), "uarr");
	expect_end(RESULT_CANCELLED, err_code(ERR_CANCELLED), "cancelled");
}

/* ---- cancel */

static const struct {
	enum cancel_reason reason;
	const char *code, *error;
} cancels[] = {
	{CANCEL_ASKED, "cancelled", "cancelled"},
	{CANCEL_INTERRUPTED, "interrupted", "a newer message interrupted this run"},
};

/* To the i-th place of a run's life; false when there is none. */
static bool go_to(int place)
{
	if (place < 9)
		start(l, (struct wire_run_start){0});
	switch (place) {
	case 0: /* loading */
		return true;
	case 1: /* in the model */
		load(l);
		return true;
	case 2: /* the intent is under way, a pure call runs */
		load(l);
		answer_calls(l, "pk");
		return true;
	case 3: /* in a call that can be stopped */
		load(l);
		answer_calls(l, "pk");
		land(l);
		return true;
	case 4: /* in one that cannot */
		load(l);
		answer_calls(l, "kp");
		land(l);
		return true;
	case 5: /* its result is under way */
		load(l);
		answer_calls(l, "kp");
		land(l);
		tool_ends(l);
		return true;
	case 6: /* in a pause before the model is asked again */
		load(l);
		answer_failure(l, ERR_MODEL_RATE);
		return true;
	case 7: /* an answer that may not be the last is under way */
		load(l);
		steer();
		answer_text(l, "one");
		return true;
	case 8: /* what waited is being taken */
		wait_in_lane(TAKE_STEER);
		run_steer(l->run);
		load(l);
		return true;
	case 9:
	case 10:
	case 11:
	case 12:
		in_compaction(place - 9);
		return true;
	default:
		return false;
	}
}

static void finish_all(void)
{
	for (int i = 0; i < 20 && !was_let_go(l); i++) {
		if (l->flying)
			land(l);
		else if (l->loading)
			load(l);
		else if (l->call)
			tool_ends(l);
		else if (l->asked)
			answer_text(l, "fine");
		else
			end_pause(l);
	}
}

static void test_cancel_anywhere(void **state)
{
	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(cancels); k++)
		for (int place = 0;; place++, restart_world()) {
			if (!go_to(place))
				break;
			run_cancel(l->run, cancels[k].reason);
			run_cancel(l->run, CANCEL_ASKED); /* twice: the first stands */
			turn();
			assert_null(l->asked);
			int asked = asked_in_all;
			finish_all();
			assert_int_equal(asked_in_all, asked);
			assert_true(strstr(l->heard, "cancelled") != NULL);
			assert_int_equal(db.result, RESULT_CANCELLED);
			assert_string_equal(db.code, cancels[k].code);
			assert_string_equal(db.error, cancels[k].error);
			check_end();
		}
}

static void test_cancelled_calls(void **state)
{
	(void)state;
	go_to(3);
	run_cancel(l->run, CANCEL_ASKED);
	turn();
	land(l);
	assert_string_equal(row_states(), "cancelled cancelled");
	assert_non_null(strstr(db.lines[2].content, "\"text\":\"cancelled\""));
	expect_end(RESULT_CANCELLED, "cancelled", "cancelled");
	restart_world();
	/* A call that had its effect says so. */
	go_to(4);
	run_cancel(l->run, CANCEL_ASKED);
	turn();
	assert_null(l->flying);
	tool_ends(l);
	land(l);
	assert_string_equal(row_states(), "completed cancelled");
	expect_end(RESULT_CANCELLED, "cancelled", "cancelled");
}

static void test_a_late_cancel(void **state)
{
	(void)state;
	start_plain();
	answer_text(l, "one");
	run_cancel(l->run, CANCEL_ASKED);
	land(l);
	expect_end(RESULT_COMPLETED, "", "completed");
}

/* Its worker died; it is started once more to pair its calls. */
static void test_cancelled_at_the_start(void **state)
{
	(void)state;
	start_plain();
	answer_calls(l, "okp");
	land(l);
	next_life((struct wire_run_start){.crashes = 1, .cancel = CANCEL_ASKED});
	assert_true(l->loading);
	load(l);
	assert_int_equal(asked_in_all, 1);
	land(l);
	assert_string_equal(row_states(), "unknown cancelled cancelled");
	assert_string_equal(transcript(), "uarrr");
	expect_end(RESULT_CANCELLED, "cancelled", "cancelled");
}

/* The reason of its cancel outlives the worker that heard it first, and is not changed by
 * the one that the supervisor says again. */
static void test_the_start_keeps_the_reason(void **state)
{
	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(cancels); k++, restart_world()) {
		start_plain();
		run_cancel(l->run, cancels[k].reason);
		next_life((struct wire_run_start){.crashes = 1,
						  .cancel = cancels[k].reason});
		run_cancel(l->run, CANCEL_ASKED);
		run_cancel(l->run, CANCEL_INTERRUPTED);
		load(l);
		land(l);
		assert_int_equal(db.result, RESULT_CANCELLED);
		assert_string_equal(db.code, cancels[k].code);
		assert_string_equal(db.error, cancels[k].error);
		check_end();
	}
}

/* ---- yield */

static void test_yield_anywhere(void **state)
{
	(void)state;
	for (int place = 0;; place++, restart_world()) {
		if (!go_to(place))
			break;
		run_yield(l->run);
		run_yield(l->run);
		turn();
		if (place == 1)
			assert_non_null(l->asked); /* the model is heard out */
		for (int i = 0; i < 20 && !was_let_go(l); i++) {
			if (l->flying)
				land(l);
			else if (l->loading)
				load(l);
			else if (l->call)
				tool_ends(l);
			else if (l->asked)
				answer_calls(l, "ok");
			else
				break;
		}
		assert_true(was_let_go(l));
		assert_non_null(strstr(l->heard, "yielded"));
		assert_null(l->flying);
		for (size_t i = 0; i < db.row_count; i++)
			assert_string_not_equal(db.rows[i].state, "running");
		next_life((struct wire_run_start){0});
		finish_all();
		finish_all();
		assert_int_equal(db.result, RESULT_COMPLETED);
		for (size_t i = 0; i < db.row_count; i++) {
			if (place < 9) /* later ones are too many calls */
				assert_string_equal(db.rows[i].state, "completed");
			assert_in_range(db.rows[i].starts, 0, 1); /* not seen when
								    it ran before
								    its row */
		}
		check_end();
	}
}

/* Calls without effects run beside each other, in any order of their ends; one with an
 * effect waits for them. Eight at most. */
static void test_pure_calls_run_together(void **state)
{
	(void)state;
	start_plain();
	answer_calls(l, "pppk");
	land(l);
	assert_non_null(l->calls[2]);
	assert_null(l->calls[3]);
	tool_ends_at(l, 1);
	tool_ends_at(l, 1);
	assert_null(l->calls[1]);
	tool_ends_at(l, 0);
	assert_string_equal(l->call->tool->name, "store");
	tool_ends(l);
	land(l);
	assert_string_equal(row_states(), "completed completed completed completed");
	restart_world();
	start_plain();
	answer_calls(l, "pppppppppp");
	assert_non_null(l->calls[7]);
	assert_null(l->calls[8]);
	tool_ends_at(l, 3);
	assert_non_null(l->calls[7]);
	for (int i = 0; i < 9; i++)
		tool_ends(l);
	land(l);
	land(l);
	answer_text(l, "done");
	land(l);
	assert_int_equal(db.result, RESULT_COMPLETED);
}

/* A cancel ends them all; their results are that. */
static void test_a_cancel_while_pure_calls_run(void **state)
{
	(void)state;
	start_plain();
	answer_calls(l, "ppp");
	land(l);
	tool_ends_at(l, 1);
	run_cancel(l->run, CANCEL_ASKED);
	turn();
	assert_null(l->call);
	land(l);
	assert_int_equal(db.result, RESULT_CANCELLED);
	assert_string_equal(row_states(), "cancelled completed cancelled");
}

/* At the next boundary, not at a later one: no call starts that had not. */
static void test_a_yield_starts_nothing(void **state)
{
	(void)state;
	start_plain();
	run_yield(l->run);
	answer_calls(l, "ok");
	assert_null(l->call);
	land(l);
	assert_true(was_let_go(l));
	assert_string_equal(row_states(), "pending pending");
	next_life((struct wire_run_start){0});
	load(l);
	land(l); /* the first one's intent */
	run_yield(l->run);
	tool_ends(l);
	land(l);
	assert_true(was_let_go(l));
	assert_string_equal(row_states(), "completed pending");
	next_life((struct wire_run_start){0});
	load(l);
	land(l);
	run_yield(l->run);
	steer(); /* both: taken, then let go */
	tool_ends(l);
	land(l);
	assert_string_equal(l->heard, "taken yielded");
	assert_string_equal(row_states(), "completed completed");
	assert_string_equal(transcript(), "uarrt");
}

static void test_a_yield_ends_with_the_final_answer(void **state)
{
	(void)state;
	start_plain();
	run_yield(l->run);
	answer_text(l, "one");
	land(l);
	expect_end(RESULT_COMPLETED, "", "completed");
}

/* ---- retry */

/* The question fails until the run gives up asking. */
static void fail_question(enum err e)
{
	for (int i = 0; i <= FAILOVER_RETRIES_MOST; i++) {
		answer_failure(l, e);
		if (i < FAILOVER_RETRIES_MOST)
			end_pause(l);
	}
}

static void test_a_failing_model_is_put_off_then_dead(void **state)
{
	(void)state;
	start_plain();
	for (unsigned attempt = 1; attempt <= 3; attempt++) {
		fail_question(ERR_MODEL_RATE);
		assert_int_equal(asked_in_all, attempt * (FAILOVER_RETRIES_MOST + 1));
		assert_int_equal(l->flying->has_retry, attempt < 3);
		land(l);
		if (attempt == 3)
			break;
		assert_true(was_let_go(l));
		assert_string_equal(l->heard, "retry");
		assert_int_equal(l->retry_at, db.run_at_us);
		assert_in_range(db.run_at_us, DB_NOW_US,
				DB_NOW_US + ((int64_t)1000000 << attempt));
		assert_string_equal(db.code, "model_rate_limit");
		assert_string_equal(db.error, "the model said no");
		next_life((struct wire_run_start){.attempt = attempt + 1});
		load(l);
		land(l);
	}
	expect_end(RESULT_DEAD, "model_rate_limit", "dead");
	assert_string_equal(db.error, "the model said no");
}

static void test_a_final_error_fails_at_once(void **state)
{
	(void)state;
	start_plain();
	answer_failure(l, ERR_MODEL_AUTH);
	land(l);
	assert_int_equal(asked_in_all, 1);
	expect_end(RESULT_FAILED, "model_auth", "failed");
}

/* A provider that asks for a long pause gets it, and the worker is free meanwhile. */
static void test_retry_after_is_a_floor(void **state)
{
	(void)state;
	start_plain();
	l->asked->retry_after_us = 400 * 1000000ll;
	answer_failure(l, ERR_MODEL_OVERLOAD);
	assert_true(l->flying->has_retry);
	assert_in_range(l->flying->retry.pause_us, 400 * 1000000ll, 480 * 1000000ll);
	land(l);
	assert_string_equal(l->heard, "retry");
}

/* ---- usage */

static void expect_usage(size_t i, int step, int call, int64_t in, int64_t out)
{
	const struct commit_usage *u = &l->flying->usage[i];
	assert_int_equal(u->step, step);
	assert_int_equal(u->call, call);
	assert_int_equal(u->in, in);
	assert_int_equal(u->out, out);
	assert_int_equal(u->cost_micros, -1); /* nobody knows what openai/test costs */
}

static void test_each_try_is_counted_that_told_something(void **state)
{
	(void)state;
	start_plain();
	l->asked->usage = (struct llm_usage){.in = 30, .out = 2};
	answer_failure(l, ERR_MODEL_BROKEN);
	end_pause(l);
	answer_failure(l, ERR_MODEL_RATE);
	end_pause(l);
	l->asked->usage = (struct llm_usage){.in = 40, .out = 5};
	answer_calls(l, "k");
	assert_int_equal(l->flying->usage_count, 2);
	expect_usage(0, 1, 0, 30, 2);
	expect_usage(1, 1, 1, 40, 5);
	land(l);
	tool_ends(l);
	assert_int_equal(l->flying->usage_count, 0);
	land(l);
	answer_text(l, "done"); /* a server that tells nothing: an estimate */
	assert_int_equal(l->flying->usage_count, 1);
	expect_usage(0, 2, 0, 0, 2);
	assert_int_equal(l->flying->end.tokens_in, 70);
	assert_int_equal(l->flying->end.tokens_out, 9);
	land(l);
	expect_end(RESULT_COMPLETED, "", "completed");
}

static void test_a_later_try_has_a_row_of_its_own(void **state)
{
	(void)state;
	start_plain();
	l->asked->usage.in = 30;
	fail_question(ERR_MODEL_RATE);
	assert_true(l->flying->has_retry);
	assert_int_equal(l->flying->usage_count, 1);
	expect_usage(0, 1, 0, 30, 0);
	land(l);
	next_life((struct wire_run_start){.attempt = 2});
	load(l);
	l->run->usage.step = 1; /* as the ledger says */
	l->run->usage.next_call = 1;
	land(l);
	l->asked->usage = (struct llm_usage){.in = 40, .out = 5};
	answer_text(l, "done");
	assert_int_equal(l->flying->usage_count, 1);
	expect_usage(0, 1, 1, 40, 5);
	land(l);
	expect_end(RESULT_COMPLETED, "", "completed");
}

static void test_a_cancelled_call_is_counted(void **state)
{
	(void)state;
	start_plain();
	l->asked->usage = (struct llm_usage){.in = 9, .out = 1};
	run_cancel(l->run, CANCEL_ASKED);
	turn();
	assert_int_equal(l->flying->usage_count, 1);
	expect_usage(0, 1, 0, 9, 1);
	land(l);
	expect_end(RESULT_CANCELLED, "cancelled", "cancelled");
}

static void test_a_budget_of_the_message(void **state)
{
	(void)state;
	start_plain();
	l->run->asking.own.budget.calls = 1;
	answer_calls(l, "k");
	land(l);
	tool_ends(l);
	land(l);
	assert_int_equal(asked_in_all, 1);
	assert_true(l->flying->has_end);
	land(l);
	assert_string_equal(transcript(), "uar");
	expect_end(RESULT_FAILED, "budget_calls", "failed");
}

/* The answer to its commit was lost: the database knows the time, this worker does not
 * make one up. */
static void test_a_retry_whose_answer_was_lost_names_no_time(void **state)
{
	(void)state;
	start_plain();
	fail_question(ERR_MODEL_RATE);
	land_as(l, UNSEEN);
	assert_string_equal(l->heard, "retry");
	assert_int_equal(l->retry_at, 0);
}

static void test_what_was_shown_is_void_before_a_retry(void **state)
{
	(void)state;
	start_plain();
	fail_question(ERR_MODEL_BROKEN);
	assert_int_equal(l->flying->event_count, 0);
	restart_world();
	start(l, (struct wire_run_start){.attempt = 1, .max_attempts = 2});
	load(l);
	l->run->retries = FAILOVER_RETRIES_MOST;
	l->run->shown = 4;
	answer_failure(l, ERR_MODEL_BROKEN);
	assert_int_equal(l->flying->event_count, 1);
	assert_true(slice_find(l->flying->events[0].stored, SLICE("\"reset\":true")) >=
		    0);
	land(l);
}

/* Whatever comes while the retry is being stored finds the run in the queue. */
static void test_cancel_and_yield_during_the_retry_commit(void **state)
{
	(void)state;
	start_plain();
	fail_question(ERR_MODEL_TIMEOUT);
	run_cancel(l->run, CANCEL_ASKED);
	run_yield(l->run);
	turn();
	land(l);
	assert_string_equal(l->heard, "retry");
	next_life((struct wire_run_start){.attempt = 2, .cancel = CANCEL_ASKED});
	load(l);
	land(l);
	expect_end(RESULT_CANCELLED, "cancelled", "cancelled");
}

static void test_the_budget_goes_on_counting(void **state)
{
	(void)state;
	start(l, (struct wire_run_start){.active_ms = 5000});
	load(l);
	fail_question(ERR_MODEL_RATE);
	land(l);
	assert_in_range(db.active_ms, 5000, 15000);
	next_life(
		(struct wire_run_start){.attempt = 2, .active_ms = RUN_BUDGET_US / 1000});
	finish_all();
	expect_end(RESULT_TIMED_OUT, "run_budget", "timed_out");
}

/* ---- progress */

static void test_progress_is_told_once(void **state)
{
	(void)state;
	start_plain();
	next_life((struct wire_run_start){.crashes = 2});
	load(l);
	land(l); /* an event only: that is nothing it got done */
	assert_int_equal(db.clears, 0);
	answer_calls(l, "k");
	land(l);
	assert_int_equal(db.clears, 1);
	tool_ends(l);
	land(l);
	answer_text(l, "done");
	land(l);
	assert_int_equal(db.clears, 1);
	expect_end(RESULT_COMPLETED, "", "progress completed");
}

/* ---- refusals of the database */

static void test_refused_commits(void **state)
{
	(void)state;
	for (int place = 2; place < 9; place++) {
		restart_world();
		go_to(place);
		if (!l->flying)
			continue;
		run_yield(l->run); /* nobody may go on from there */
		land_as(l, REFUSED);
		finish_all();
		assert_int_equal(db.result, RESULT_FAILED);
		assert_string_equal(db.code, "internal");
		check_end();
	}
}

/* ---- at random */

struct luck {
	bool cancel_sent, cancel_counts; /* before the last commit left */
	unsigned attempt, crashes;
	int yields, kills;
};

static void random_answer(void)
{
	char kinds[6] = "";
	if (l->side && rand_chance(80)) {
		answer_text(l, rand_chance(10) ? " " : "a summary of some words");
		return;
	}
	if (rand_chance(2)) {
		answer_failure(l, ERR_MODEL_CONTEXT);
		return;
	}
	switch (rand_below(8)) {
	case 0:
		answer_failure(l, ERR_MODEL_RATE);
		return;
	case 1:
	case 2:
		answer_text(l, "text");
		return;
	default:
		for (size_t i = 0, n = 1 + rand_below(4); i < n; i++)
			kinds[i] = message_body == client_body ? "pkoxc"[rand_below(5)]
							       : "pkox"[rand_below(4)];
		answer_calls(l, kinds);
	}
}

static bool is_ending(void)
{
	return was_let_go(l) || l->run->step >= STEP_FAIL;
}

static void random_signal(struct luck *k)
{
	if (was_let_go(l))
		return;
	switch (rand_below(20)) {
	case 0:
		k->cancel_counts |= !is_ending();
		k->cancel_sent = true;
		run_cancel(l->run, CANCEL_ASKED);
		break;
	case 1:
	case 2:
		k->yields++;
		run_yield(l->run);
		break;
	case 3: /* of a message that is gone */
		run_steer(l->run);
		break;
	default:
		if (db.waiting_count == WAITING_MOST)
			return;
		wait_in_lane(TAKE_STEER)->heard = !is_ending();
		run_steer(l->run);
	}
	turn();
}

static void random_step(struct luck *k)
{
	if (rand_chance(15))
		random_signal(k);
	else if (rand_chance(2) && k->kills < 6)
		k->kills++, k->crashes++, l->heard[0] = 'K';
	if (was_let_go(l) || l->heard[0] == 'K')
		return;
	if (l->flying && rand_chance(70))
		land_as(l, rand_chance(15) ? UNSEEN : SEEN);
	else if (l->loading)
		load(l);
	else if (l->call && rand_chance(80))
		tool_ends(l);
	else if (l->asked)
		random_answer();
	else if (loop_timer_is_running(l->run->pause))
		end_pause(l);
}

static void random_round(void)
{
	struct luck k = {.attempt = 1};
	if (rand_chance(50))
		agent_config = "{\"contextWindow\":3000}";
	calls_differ = rand_chance(70);
	if (rand_chance(40))
		message_body = client_body;
	start(l, (struct wire_run_start){0});
	for (int i = 0; i < 3000 && !db.ends; i++) {
		random_step(&k);
		if (db.ends || (!was_let_go(l) && l->heard[0] != 'K'))
			continue;
		k.attempt += db.retrying;
		size_t waits = 0;
		for (size_t w = 0; w < db.waiting_count; w++)
			waits += !db.waiting[w].taken;
		next_life((struct wire_run_start){.attempt = k.attempt,
						  .crashes = k.crashes,
						  .take = waits ? TAKE_STEER : 0,
						  .cancel = k.cancel_sent ? CANCEL_ASKED
									  : 0});
	}
	assert_int_equal(db.ends, 1);
	assert_true(was_let_go(l));
	check_end();
	if (k.cancel_counts)
		assert_true(db.result == RESULT_CANCELLED || db.result == RESULT_DEAD);
	if (db.result == RESULT_COMPLETED)
		for (size_t i = 0; i < db.waiting_count; i++)
			assert_true(db.waiting[i].taken || !db.waiting[i].heard);
}

static void test_random_runs(void **state)
{
	(void)state;
	rand_begin();
	for (int round = 0; round < 1500; round++) {
		random_round();
		restart_world();
	}
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_a_plain_run),
		CASE(test_a_start_without_its_message),
		CASE(test_start_takes_before_the_first_question),
		CASE(test_a_steer_skips_what_has_not_started),
		CASE(test_a_steer_while_the_model_thinks_skips_all_calls),
		CASE(test_a_steer_after_the_last_call),
		CASE(test_a_steer_at_the_final_answer),
		CASE(test_a_steer_that_is_gone),
		CASE(test_a_steer_while_the_answer_lands),
		CASE(test_a_steer_during_the_end_is_left_alone),
		CASE(test_unseen_takes),
		CASE(test_a_taken_list_that_is_no_list),
		CASE(test_resume_between_taken_messages),
		CASE(test_resume_before_the_end),
		CASE(test_a_circle_through_many_lives),
		CASE(test_resume_without_its_transcript),
		CASE(test_a_cancelled_run_that_cannot_be_read),
		CASE(test_cancel_anywhere),
		CASE(test_cancelled_calls),
		CASE(test_a_late_cancel),
		CASE(test_cancelled_at_the_start),
		CASE(test_the_start_keeps_the_reason),
		CASE(test_yield_anywhere),
		CASE(test_pure_calls_run_together),
		CASE(test_a_cancel_while_pure_calls_run),
		CASE(test_a_yield_starts_nothing),
		CASE(test_a_yield_ends_with_the_final_answer),
		CASE(test_a_failing_model_is_put_off_then_dead),
		CASE(test_a_final_error_fails_at_once),
		CASE(test_retry_after_is_a_floor),
		CASE(test_each_try_is_counted_that_told_something),
		CASE(test_a_later_try_has_a_row_of_its_own),
		CASE(test_a_cancelled_call_is_counted),
		CASE(test_a_budget_of_the_message),
		CASE(test_a_retry_whose_answer_was_lost_names_no_time),
		CASE(test_what_was_shown_is_void_before_a_retry),
		CASE(test_cancel_and_yield_during_the_retry_commit),
		CASE(test_the_budget_goes_on_counting),
		CASE(test_progress_is_told_once),
		CASE(test_refused_commits),
		CASE(test_random_runs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
