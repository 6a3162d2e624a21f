/* SPDX-License-Identifier: Apache-2.0
 * What edges and victims are told when T0 is answered, whatever became of the run
 * meanwhile. */
#include "tests/unit/supervisor/sup_double.h"

#define SUB 77

static int begin(void **state)
{
	(void)state;
	sup_begin();
	return 0;
}

static int end(void **state)
{
	(void)state;
	sup_end();
	return 0;
}

/* Session 1 has a running run; what comes after it waits. */
static struct uuid busy_lane(void)
{
	struct item *it = enqueue(1, (struct wire_enqueue){0});
	assert_int_equal(it->worker, WORKER);
	land(it, "accepted", 1, NULL);
	assert_int_equal(sent_count(WIRE_RUN_START), 1);
	sent_n = 0;
	return it->run_id;
}

/* The answer, then the stream's state, and no listener stays behind. */
static void assert_gone(void)
{
	int answer = sent_at(WIRE_ENQUEUED, 0), state = sent_at(WIRE_SUB_STATE, 0);
	assert_int_equal(sent_count(WIRE_ENQUEUED), 1);
	assert_int_equal(sent[answer].m.enqueued.error.n, 0);
	assert_int_equal(sent_count(WIRE_SUB_STATE), 1);
	assert_int_equal(sent[state].m.state.sub, SUB);
	assert_int_equal(sent[state].m.state.state, SUB_GONE);
	assert_true(answer < state);
	assert_int_equal(map_count(edge.subs_by_id), 0);
	assert_int_equal(map_count(sup.lives), 1); /* the runner's */
}

static void test_a_stream_of_a_run_that_waits_is_live(void **state)
{
	(void)state;
	busy_lane();
	struct item *it = enqueue(1, (struct wire_enqueue){.sub = SUB});
	land(it, "accepted", 2, NULL);
	assert_int_equal(sent[sent_at(WIRE_SUB_STATE, 0)].m.state.state, SUB_LIVE);
	runs_gone(&sup, lq_find(sup.lq, it->run_id), RESULT_DROPPED, SLICE("x"), 5);
	assert_int_equal(sent_count(WIRE_SUB_END), 1);
}

static void test_a_stream_of_a_run_that_was_taken_before_its_answer(void **state)
{
	(void)state;
	struct uuid runner = busy_lane();
	struct item *it =
		enqueue(1, (struct wire_enqueue){.sub = SUB, .mode = MODE_STEER});
	runs_taken(&sup, lq_find(sup.lq, it->run_id), runner);
	land(it, "accepted", 2, NULL);
	assert_null(lq_find(sup.lq, it->run_id));
	assert_gone();
}

static void test_a_stream_of_a_run_that_landed_and_ended(void **state)
{
	(void)state;
	busy_lane();
	struct item *it =
		enqueue(1, (struct wire_enqueue){.sub = SUB, .mode = MODE_STEER});
	land(it, "landed", 0, NULL);
	assert_null(lq_find(sup.lq, it->run_id));
	assert_gone();
}

/* Its end was told to those who listened then. */
static void test_a_stream_of_a_run_that_ended_in_its_claim(void **state)
{
	(void)state;
	struct uuid runner = busy_lane();
	struct item *it = enqueue(1, (struct wire_enqueue){0});
	land(it, "accepted", 2, NULL);
	runs_ended(&sup, lq_find(sup.lq, runner), &(struct wire_sub_end){0});
	struct lq_run *r = lq_find(sup.lq, it->run_id);
	assert_int_equal(lq_run_state(r), LQ_S_CLAIMING);
	runs_gone(&sup, r, RESULT_CANCELLED, SLICE("cancelled"), 5);
	struct wire_subscribe m = {.sub = SUB, .tenant = TENANT, .run = it->run_id};
	live_subscribe_run(&sup, &edge, &m);
	assert_int_equal(sent[sent_at(WIRE_SUB_STATE, 0)].m.state.state, SUB_GONE);
	sup_step(&sup, &(struct lq_event){.kind = LQ_UNCLAIMED, .run = r});
	assert_null(lq_find(sup.lq, it->run_id));
	assert_int_equal(map_count(sup.lives), 0);
}

static void test_a_stream_of_a_repeated_key_is_the_edges(void **state)
{
	(void)state;
	busy_lane();
	struct item *it = enqueue(1, (struct wire_enqueue){.sub = SUB});
	land(it, "same", 0, NULL);
	assert_true(sent[sent_at(WIRE_ENQUEUED, 0)].m.enqueued.repeated);
	assert_int_equal(sent_n, 1); /* it asks for the first run's itself */
}

/* What a worker cannot read at once it reads by itself, when it gets to it; what is small
 * goes along. */
static void test_a_message_that_has_no_room(void **state)
{
	(void)state;
	static char text[5000];
	static const struct {
		bool full;
		size_t size, sent;
	} cases[] = {{false, 5000, 5000}, {true, 5000, 0}, {true, 4000, 4000}};
	for (uint8_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct item *it = enqueue(10 + i, (struct wire_enqueue){0});
		strbuf_add(&it->text, text, cases[i].size);
		it->body = (struct span){0, cases[i].size};
		links_full = cases[i].full;
		sent_n = 0;
		land(it, "accepted", 1, NULL);
		assert_int_equal(sent_count(WIRE_RUN_START), 1);
		const struct wire_run_start *m =
			&sent[sent_at(WIRE_RUN_START, 0)].m.start;
		assert_int_equal(m->body.n, cases[i].sent);
		assert_int_equal(m->appended, 1);
		assert_string_equal(sent[sent_at(WIRE_RUN_START, 0)].policy, "0.7.0");
		strbuf_fini(&it->text);
	}
}

/* A lane at its cap of one: the second takes the place of the first. */
static struct item *with_victim(unsigned drop, struct uuid *victim)
{
	busy_lane();
	struct item *first = enqueue(1, (struct wire_enqueue){.lane_cap = 1});
	land(first, "accepted", 2, NULL);
	struct item *it = enqueue(1, (struct wire_enqueue){.lane_cap = 1, .drop = drop});
	*victim = first->run_id;
	assert_true(uuid_eq(it->victim, *victim));
	return it;
}

static void test_a_victim_of_a_run_that_landed_and_ended(void **state)
{
	(void)state;
	struct uuid victim;
	struct item *it = with_victim(DROP_OLD, &victim);
	land(it, "landed", 0, "dropped");
	assert_null(lq_find(sup.lq, victim));
}

static void test_a_folded_victim_of_a_run_that_landed_and_ended(void **state)
{
	(void)state;
	struct uuid victim;
	struct item *it = with_victim(DROP_SUMMARIZE, &victim);
	land(it, "landed", 0, "folded");
	assert_int_equal(lq_run_state(lq_find(sup.lq, victim)), LQ_S_FOLDED);
}

static void test_a_victim_that_was_kept(void **state)
{
	(void)state;
	static const char *const outcomes[] = {"accepted", "landed", "mismatch"};
	for (size_t i = 0; i < ARRAY_LEN(outcomes); i++) {
		struct uuid victim;
		if (i) {
			sup_end();
			sup_begin();
		}
		struct item *it = with_victim(DROP_OLD, &victim);
		land(it, outcomes[i], i ? 0 : 3, i < 2 ? "kept" : NULL);
		assert_int_equal(lq_run_state(lq_find(sup.lq, victim)), LQ_S_WAITING);
	}
}

#define STORY(fn) cmocka_unit_test_setup_teardown(fn, begin, end)

int main(void)
{
	crypto_init();
	const struct CMUnitTest tests[] = {
		STORY(test_a_stream_of_a_run_that_waits_is_live),
		STORY(test_a_stream_of_a_run_that_was_taken_before_its_answer),
		STORY(test_a_stream_of_a_run_that_landed_and_ended),
		STORY(test_a_stream_of_a_run_that_ended_in_its_claim),
		STORY(test_a_stream_of_a_repeated_key_is_the_edges),
		STORY(test_a_victim_of_a_run_that_landed_and_ended),
		STORY(test_a_folded_victim_of_a_run_that_landed_and_ended),
		STORY(test_a_victim_that_was_kept),
		STORY(test_a_message_that_has_no_room),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
