/* SPDX-License-Identifier: Apache-2.0
 * The ring of a live run and its listeners, with a pretended edge: child_send is this
 * file's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/alloc.h"
#include "common/crypto.h"
#include "supervisor/children.h"
#include "supervisor/live.h"
#include "supervisor/sup.h"

static struct {
	enum wire_id id;
	uint64_t sub;
	uint32_t seq, offset, state, result;
	bool durable;
	size_t body_n;
	char body[64];
} told[100000];
static int told_n;
static struct sup sup;
static struct child edge;
static struct live *live;

/* Instead of that of supervisor/children.c. */
void child_send(struct child *c, enum wire_id id, const void *msg)
{
	assert_ptr_equal(c, &edge);
	assert_true((size_t)told_n < ARRAY_LEN(told));
	memset(&told[told_n], 0, sizeof told[0]);
	told[told_n].id = id;
	if (id == WIRE_SUB_EVENT) {
		const struct wire_sub_event *m = msg;
		told[told_n].sub = m->sub;
		told[told_n].seq = m->seq;
		told[told_n].offset = m->offset;
		told[told_n].durable = m->durable;
		told[told_n].body_n = m->body.n;
		memcpy(told[told_n].body, m->body.p, m->body.n < 63 ? m->body.n : 63);
	} else if (id == WIRE_SUB_STATE) {
		told[told_n].sub = ((const struct wire_sub_state *)msg)->sub;
		told[told_n].state = ((const struct wire_sub_state *)msg)->state;
	} else {
		assert_int_equal(id, WIRE_SUB_END);
		told[told_n].sub = ((const struct wire_sub_end *)msg)->sub;
		told[told_n].result = ((const struct wire_sub_end *)msg)->result;
	}
	told_n++;
}

static int begin(void **state)
{
	(void)state;
	static struct uuid run;
	sup.lives = map_new();
	list_init(&edge.subs);
	edge.subs_by_id = map_new();
	run.b[0]++;
	live = live_get(&sup, run, 7);
	assert_ptr_equal(live_get(&sup, run, 7), live);
	told_n = 0;
	return 0;
}

static int finish(void **state)
{
	(void)state;
	if (live)
		live_end(&sup, live, &(struct wire_sub_end){.result = RESULT_COMPLETED});
	assert_int_equal(map_count(sup.lives), 0);
	assert_int_equal(map_count(edge.subs_by_id), 0);
	assert_true(list_is_empty(&edge.subs));
	map_free(sup.lives);
	map_free(edge.subs_by_id);
	return 0;
}

static void event(uint32_t seq, uint32_t offset, bool durable, const char *body)
{
	struct wire_event e = {.seq = seq,
			       .offset = offset,
			       .type = EVENT_ASSISTANT,
			       .durable = durable,
			       .at_us = 5,
			       .body = slice_str(body)};
	live_event(&sup, live, &e);
}

static void subscribe(uint64_t id, uint32_t after, bool end_only)
{
	struct wire_subscribe m = {.sub = id, .after_seq = after, .end_only = end_only};
	told_n = 0;
	live_subscribe(&sup, live, &edge, &m);
}

static void assert_told(int i, uint64_t sub, uint32_t seq, uint32_t offset,
			const char *body)
{
	assert_true(i < told_n);
	assert_int_equal(told[i].id, WIRE_SUB_EVENT);
	assert_int_equal(told[i].sub, sub);
	assert_int_equal(told[i].seq, seq);
	assert_int_equal(told[i].offset, offset);
	assert_string_equal(told[i].body, body);
}

static void test_replay_from_a_place(void **state)
{
	(void)state;
	event(1, 0, true, "one");
	event(2, 0, false, "tw");
	event(2, 2, false, "o");
	event(2, 3, true, "");
	event(3, 0, false, "thr");
	subscribe(10, 0, false);
	assert_int_equal(told_n, 6);
	assert_int_equal(told[0].id, WIRE_SUB_STATE);
	assert_int_equal(told[0].state, SUB_LIVE);
	assert_told(1, 10, 1, 0, "one");
	assert_told(2, 10, 2, 0, "tw");
	assert_told(3, 10, 2, 2, "o");
	assert_told(4, 10, 2, 3, "");
	assert_true(told[4].durable);
	assert_told(5, 10, 3, 0, "thr");
	subscribe(11, 2, false);
	assert_int_equal(told_n, 2);
	assert_told(1, 11, 3, 0, "thr");
	told_n = 0;
	event(3, 3, false, "ee"); /* both hear what comes now */
	assert_int_equal(told_n, 2);
	assert_told(0, 10, 3, 3, "ee");
	assert_told(1, 11, 3, 3, "ee");
	live_unsubscribe(&edge, 10);
	live_unsubscribe(&edge, 10); /* a second time is nothing */
	told_n = 0;
	event(3, 5, true, "");
	assert_int_equal(told_n, 1);
	assert_told(0, 11, 3, 5, "");
}

static void test_end_only_hears_the_end(void **state)
{
	(void)state;
	event(1, 0, true, "one");
	subscribe(10, 0, true);
	assert_int_equal(told_n, 1);
	assert_int_equal(told[0].state, SUB_LIVE);
	event(2, 0, true, "two");
	live_resume(live, 9); /* it has no place that could be lost */
	assert_int_equal(told_n, 1);
	live_end(&sup, live, &(struct wire_sub_end){.result = RESULT_FAILED});
	live = NULL;
	assert_int_equal(told_n, 2);
	assert_int_equal(told[1].id, WIRE_SUB_END);
	assert_int_equal(told[1].sub, 10);
	assert_int_equal(told[1].result, RESULT_FAILED);
	live_end(&sup, NULL, &(struct wire_sub_end){0});
}

/* What fell out of the ring is a gap, what is in it is not: for every place. */
static void test_overflow_makes_a_gap(void **state)
{
	(void)state;
	static char body[8001];
	uint32_t last = 100;
	memset(body, 'x', 8000);
	for (uint32_t seq = 1; seq <= last; seq++)
		event(seq, 0, true, body);
	assert_true(live->ring.n <= 256u << 10);
	assert_in_range(live->floor_seq, 50, 99);
	for (uint32_t after = 0; after <= last; after++) {
		subscribe(1000 + after, after, false);
		if (after < live->floor_seq) {
			assert_int_equal(told_n, 1);
			assert_int_equal(told[0].state, SUB_GAP);
			continue;
		}
		assert_int_equal(told[0].state, SUB_LIVE);
		assert_int_equal(told_n, 1 + (int)(last - after));
		for (int i = 1; i < told_n; i++) {
			assert_int_equal(told[i].seq, after + (uint32_t)i);
			assert_int_equal(told[i].body_n, 8000);
		}
		live_unsubscribe(&edge, 1000 + after);
	}
}

static void test_resume_sends_listeners_away(void **state)
{
	(void)state;
	event(1, 0, true, "one");
	event(2, 0, false, "tw");
	subscribe(10, 0, false);
	told_n = 0;
	live_resume(live, 1); /* its new runner knows no more: nothing is lost */
	assert_int_equal(told_n, 0);
	live_resume(live, 4);
	assert_int_equal(told_n, 1);
	assert_int_equal(told[0].id, WIRE_SUB_STATE);
	assert_int_equal(told[0].state, SUB_GAP);
	assert_int_equal(told[0].sub, 10);
	assert_int_equal(map_count(edge.subs_by_id), 0);
	subscribe(11, 3, false);
	assert_int_equal(told[0].state, SUB_GAP);
	subscribe(12, 4, false);
	assert_int_equal(told[0].state, SUB_LIVE);
	assert_int_equal(told_n, 1);
}

/* All rings together stay below the node's limit; the others keep theirs. */
static void test_all_rings_together(void **state)
{
	(void)state;
	static char body[16001];
	struct live *lives[200];
	size_t sum = 0;
	memset(body, 'x', 16000);
	struct wire_event e = {.durable = true, .body = slice_str(body)};
	for (int i = 0; i < 200; i++) {
		struct uuid run = {{0xee, (uint8_t)i}};
		lives[i] = live_get(&sup, run, 1);
		for (e.seq = 1; e.seq <= 14; e.seq++)
			live_event(&sup, lives[i], &e);
	}
	for (int i = 0; i < 200; i++)
		sum += lives[i]->ring.n;
	assert_true(sum > 16u << 20);
	assert_true(sum < (33u << 20));
	assert_int_equal(lives[0]->floor_seq, 0);
	assert_true(lives[199]->floor_seq > 0);
	for (int i = 0; i < 200; i++)
		live_end(&sup, lives[i], &(struct wire_sub_end){0});
}

static void test_edge_that_goes(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < 50; i++)
		subscribe(i + 1, 0, i % 2);
	assert_int_equal(map_count(edge.subs_by_id), 50);
	live_drop_edge(&edge);
	assert_int_equal(map_count(edge.subs_by_id), 0);
	told_n = 0;
	event(1, 0, true, "one");
	assert_int_equal(told_n, 0);
}

#define STORY(fn) cmocka_unit_test_setup_teardown(fn, begin, finish)

int main(void)
{
	crypto_init();
	const struct CMUnitTest tests[] = {
		STORY(test_replay_from_a_place),  STORY(test_end_only_hears_the_end),
		STORY(test_overflow_makes_a_gap), STORY(test_resume_sends_listeners_away),
		STORY(test_all_rings_together),   STORY(test_edge_that_goes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
