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
#include "common/loop.h"
#include "supervisor/children.h"
#include "supervisor/live.h"
#include "supervisor/sup.h"
#include "tests/unit/common/rand.h"

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
static int room; /* events that the link still takes */

bool child_has_room(const struct child *c)
{
	assert_ptr_equal(c, &edge);
	return room > 0;
}

/* Instead of that of supervisor/children.c. */
void child_send(struct child *c, enum wire_id id, const void *msg)
{
	assert_ptr_equal(c, &edge);
	assert_true((size_t)told_n < ARRAY_LEN(told));
	memset(&told[told_n], 0, sizeof told[0]);
	told[told_n].id = id;
	if (id == WIRE_SUB_EVENT) {
		room--;
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
	sup.loop = loop_new();
	list_init(&sup.children);
	list_init(&edge.subs);
	list_init(&edge.lag);
	edge.role = ROLE_EDGE;
	list_push(&sup.children, &edge.node);
	room = 1 << 30;
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
	assert_true(list_is_empty(&edge.lag));
	loop_free(sup.loop);
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

/* ---- no room on the link */

static void give_room(int events)
{
	told_n = 0;
	room = events;
	live_go_on(&sup);
}

/* The replay goes on where it stopped, and into what came meanwhile. */
static void test_replay_in_pieces(void **state)
{
	(void)state;
	for (uint32_t seq = 1; seq <= 5; seq++)
		event(seq, 0, true, "x");
	room = 2;
	subscribe(10, 1, false);
	assert_int_equal(told_n, 3);
	assert_told(1, 10, 2, 0, "x");
	assert_told(2, 10, 3, 0, "x");
	told_n = 0;
	event(6, 0, false, "pie");
	live_go_on(&sup);
	assert_int_equal(told_n, 0);
	give_room(1);
	assert_int_equal(told_n, 1);
	assert_told(0, 10, 4, 0, "x");
	room = 100;
	told_n = 0;
	event(6, 3, false, "ce"); /* there is room, but others are before it */
	assert_int_equal(told_n, 0);
	give_room(100);
	assert_int_equal(told_n, 3);
	assert_told(0, 10, 5, 0, "x");
	assert_told(1, 10, 6, 0, "pie");
	assert_told(2, 10, 6, 3, "ce");
	told_n = 0;
	event(6, 5, true, ""); /* it has caught up */
	assert_int_equal(told_n, 1);
	assert_told(0, 10, 6, 5, "");
	live_go_on(&sup);
	assert_int_equal(told_n, 1);
}

/* A listener of little does not wait for all that another is told. */
static void test_listeners_take_turns(void **state)
{
	(void)state;
	static char body[8193];
	struct uuid other_run = {{0xdd}};
	struct live *other = live_get(&sup, other_run, 8);
	memset(body, 'x', 8192);
	for (uint32_t seq = 1; seq <= 20; seq++)
		event(seq, 0, true, body);
	room = 0;
	for (uint64_t id = 1; id <= 30; id++)
		subscribe(id, 0, false);
	live_subscribe(&sup, other, &edge, &(struct wire_subscribe){.sub = 99});
	struct wire_event e = {.seq = 1, .durable = true, .body = SLICE("little")};
	live_event(&sup, other, &e);
	give_room(61);
	assert_int_equal(told_n, 61);
	assert_told(60, 99, 1, 0, "little");
	for (int i = 0; i < 60; i++) /* a slice each */
		assert_int_equal(told[i].sub, 1 + i / 2);
	live_end(&sup, other, &(struct wire_sub_end){0});
}

/* Pieces that left the ring are missed by the edge itself; a durable event is not. */
static void test_overtaken(void **state)
{
	(void)state;
	static char body[8001];
	memset(body, 'x', 8000);
	event(1, 0, true, "one");
	subscribe(10, 0, false);
	room = 0;
	for (uint32_t i = 0; i < 50; i++)
		event(2, i * 8000, false, body);
	assert_true(live->ring_at > 0);
	give_room(1000);
	assert_in_range(told_n, 15, 35);
	assert_int_equal(told[0].id, WIRE_SUB_EVENT);
	assert_true(told[0].offset > 0);
	assert_int_equal(told[told_n - 1].offset, 49 * 8000);
	room = 0;
	for (uint32_t seq = 2; seq < 50; seq++)
		event(seq, 0, true, body);
	give_room(1000);
	assert_int_equal(told_n, 1);
	assert_int_equal(told[0].id, WIRE_SUB_STATE);
	assert_int_equal(told[0].state, SUB_GAP);
	assert_int_equal(map_count(edge.subs_by_id), 0);
}

static void test_end_of_one_that_lags(void **state)
{
	(void)state;
	event(1, 0, true, "one");
	room = 0;
	subscribe(10, 0, false);
	subscribe(11, 0, false);
	live_unsubscribe(&edge, 11);
	told_n = 0;
	live_end(&sup, live, &(struct wire_sub_end){.result = RESULT_COMPLETED});
	live = NULL;
	assert_int_equal(told_n, 1); /* the edge knows that events are missing */
	assert_int_equal(told[0].id, WIRE_SUB_END);
	give_room(10);
	assert_int_equal(told_n, 0);
}

/* Whatever the room, the rings and the listeners do: each hears the stream in order, no
 * event twice, no durable one left out, from its place until it is sent away. */
static void test_random_room(void **state)
{
	(void)state;
	enum { LISTENERS = 12 };
	static char body[4001];
	static uint32_t seen[LISTENERS],
		part[LISTENERS]; /* bytes + 1 of the piece told last */
	static bool listens[LISTENERS];
	uint32_t last = 0, at = 0, gaps = 0, heard = 0;
	memset(body, 'x', 4000);
	memset(listens, 0, sizeof listens);
	rand_begin();
	for (int round = 0; round < 20000; round++) {
		unsigned i = rand_below(LISTENERS), kind = rand_below(10);
		told_n = 0;
		if (kind < 6) {
			bool durable = rand_chance(10);
			event(last + 1, at, durable, body + rand_below(4000));
			last += durable;
			at = durable ? 0 : at + 1;
		} else if (kind < 8) {
			room = (int)rand_below(20);
			live_go_on(&sup);
		} else if (listens[i]) {
			if (rand_chance(5)) {
				live_unsubscribe(&edge, i + 1);
				listens[i] = false;
			}
		} else {
			seen[i] = last - rand_below(last < 4 ? last + 1 : 4);
			part[i] = 0;
			listens[i] = true;
			live_subscribe(&sup, live, &edge,
				       &(struct wire_subscribe){.sub = i + 1,
								.after_seq = seen[i]});
		}
		for (int k = 0; k < told_n; k++) {
			i = (unsigned)told[k].sub - 1;
			assert_true(listens[i]);
			if (told[k].id == WIRE_SUB_STATE) {
				listens[i] = told[k].state == SUB_LIVE;
				gaps += !listens[i];
				continue;
			}
			heard++;
			assert_int_equal(told[k].seq, seen[i] + 1);
			assert_true(told[k].offset >= part[i]);
			part[i] = told[k].offset + 1;
			if (told[k].durable) {
				seen[i]++;
				part[i] = 0;
			}
		}
	}
	give_room(1 << 30); /* and who is left has all */
	for (int k = 0; k < told_n; k++)
		if (told[k].id == WIRE_SUB_STATE)
			listens[told[k].sub - 1] = false;
		else
			seen[told[k].sub - 1] += told[k].durable;
	for (int i = 0; i < LISTENERS; i++)
		if (listens[i])
			assert_int_equal(seen[i], last);
	assert_true(gaps > 50 && heard > 10000);
	live_drop_edge(&edge);
}

#define STORY(fn) cmocka_unit_test_setup_teardown(fn, begin, finish)

int main(void)
{
	crypto_init();
	const struct CMUnitTest tests[] = {
		STORY(test_replay_from_a_place),
		STORY(test_end_only_hears_the_end),
		STORY(test_overflow_makes_a_gap),
		STORY(test_resume_sends_listeners_away),
		STORY(test_all_rings_together),
		STORY(test_edge_that_goes),
		STORY(test_replay_in_pieces),
		STORY(test_listeners_take_turns),
		STORY(test_overtaken),
		STORY(test_end_of_one_that_lags),
		STORY(test_random_room),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
