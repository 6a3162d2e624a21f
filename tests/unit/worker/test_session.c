/* SPDX-License-Identifier: Apache-2.0
 * The cache of transcripts: what is in use stays, the least recently used goes first, and
 * the bytes it says it holds are those it holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "common/attr.h"
#include "tests/unit/common/rand.h"
#include "worker/session.h"

#define LANES 40

static const struct uuid run = {{1}};
static char filler[4096];

static struct uuid lane(int i)
{
	struct uuid u = {{0}};
	u.b[0] = (uint8_t)i;
	u.b[15] = 7;
	return u;
}

static void add(struct session *e, size_t bytes)
{
	session_add(e, e->head_seq + 1, SLICE("user"), 0, run, slice_of(filler, bytes));
}

static void fill(struct sessions *s, int i, size_t bytes)
{
	struct session *e = session_take(s, 1, lane(i));
	add(e, bytes);
	session_give_back(e);
}

/* Whether the entry was still there (looking makes it the newest). */
static bool is_cached(struct sessions *s, int i)
{
	struct session *e = session_take(s, 1, lane(i));
	bool cached = e->count > 0;
	session_give_back(e);
	return cached;
}

static void test_what_is_added(void **state)
{
	(void)state;
	static const struct {
		const char *word;
		enum llm_role role;
	} roles[] = {
		{"user", LLM_USER},   {"assistant", LLM_ASSISTANT},
		{"tool", LLM_TOOL},   {"summary", LLM_SUMMARY},
		{"system", LLM_USER}, {"user", LLM_USER},
	};
	struct sessions *s = sessions_new(1 << 20);
	struct session *e = session_take(s, 1, lane(1));
	assert_int_equal(e->head_seq, -1);
	assert_int_equal(e->count, 0);
	for (size_t i = 0; i < ARRAY_LEN(roles) * 3; i++) {
		char text[40];
		int n = snprintf(text, sizeof text, "{\"%zu\":1}", i);
		session_add(e, 100 + (int64_t)i, slice_str(roles[i % 6].word), (int)i,
			    run, slice_of(text, (size_t)n));
		memset(text, 'x', sizeof text); /* it is a copy */
	}
	assert_int_equal(e->count, 18);
	assert_int_equal(e->head_seq, 117);
	for (size_t i = 0; i < e->count; i++) {
		char want[40];
		snprintf(want, sizeof want, "{\"%zu\":1}", i);
		const struct message *m = e->messages[i];
		assert_true(slice_is(m->llm.content, want));
		assert_int_equal(m->llm.role, roles[i % 6].role);
		assert_int_equal(m->seq, 100 + (int64_t)i);
		assert_int_equal(m->step, i);
		assert_true(uuid_eq(m->run, run));
		assert_null(m->llm.wire_of);
	}
	session_clear(e);
	assert_int_equal(e->head_seq, -1);
	assert_int_equal(e->count, 0);
	session_give_back(e);
	sessions_free(s);
}

/* The same id of two tenants is two sessions. */
static void test_tenants_are_apart(void **state)
{
	(void)state;
	struct sessions *s = sessions_new(1 << 20);
	struct session *a = session_take(s, 1, lane(1)), *b = session_take(s, 2, lane(1));
	assert_ptr_not_equal(a, b);
	add(a, 10);
	assert_int_equal(b->count, 0);
	assert_ptr_equal(session_take(s, 1, lane(1)), a);
	assert_int_equal(a->users, 2);
	session_give_back(a);
	session_give_back(a);
	session_give_back(b);
	sessions_free(s);
}

static void test_the_oldest_goes_first(void **state)
{
	(void)state;
	struct sessions *s = sessions_new(20000);
	fill(s, 1, 2000);
	fill(s, 2, 2000);
	fill(s, 3, 2000);
	assert_true(is_cached(s, 1)); /* now 2 is the oldest */
	fill(s, 4, 4000);             /* over the limit */
	assert_true(sessions_bytes(s) <= 20000);
	assert_true(is_cached(s, 4));
	assert_true(is_cached(s, 1));
	assert_true(is_cached(s, 3));
	assert_false(is_cached(s, 2));
	sessions_free(s);
}

static void test_what_is_used_stays(void **state)
{
	(void)state;
	struct sessions *s = sessions_new(5000);
	struct session *held = session_take(s, 1, lane(0));
	add(held, 4000);
	size_t alone = sessions_bytes(s);
	for (int i = 1; i < 20; i++)
		fill(s, i, 3000);
	assert_int_equal(held->count, 1);
	assert_ptr_equal(session_take(s, 1, lane(0)), held);
	assert_int_equal(sessions_bytes(s), alone); /* all others went */
	session_give_back(held);
	assert_int_equal(held->count, 1); /* one user is left */
	session_give_back(held);          /* and now it is too large to stay */
	assert_int_equal(sessions_bytes(s), 0);
	sessions_free(s);
}

/* The newest within the bytes, and the run's own whatever they are. */
static void test_trim(void **state)
{
	(void)state;
	static const struct {
		size_t bytes;
		int64_t own;
		size_t left;
	} cases[] = {{10000, 100, 10},     {4000, INT64_MAX, 4},
		     {3999, INT64_MAX, 3}, {4000, 6, 4},
		     {4000, 2, 8},         {4000, 0, 10},
		     {999, INT64_MAX, 0},  {0, 9, 1}};
	struct sessions *s = sessions_new(1 << 20);
	struct session *e = session_take(s, 1, lane(1));
	size_t empty = sessions_bytes(s);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		session_clear(e);
		e->head_seq = -1;
		for (int k = 0; k < 10; k++)
			add(e, 1000); /* 0 .. 9 */
		size_t each = e->bytes / 10;
		session_trim(e, cases[i].bytes, cases[i].own);
		assert_int_equal(e->count, cases[i].left);
		assert_int_equal(e->head_seq, 9);
		assert_int_equal(e->bytes, each * e->count);
		assert_int_equal(sessions_bytes(s), empty + e->bytes);
		for (size_t k = 0; k < e->count; k++)
			assert_int_equal(e->messages[k]->seq, 10 - e->count + k);
		add(e, 10);
		assert_int_equal(e->messages[e->count - 1]->seq, 10);
	}
	session_give_back(e);
	sessions_free(s);
}

static void mark(struct session *e, const char *content)
{
	session_add(e, e->head_seq + 1, SLICE("reset"), 0, run, slice_str(content));
}

/* A reset hides what was; a branch what stands from a message on. Neither is a message.
 */
static void test_marks_hide_what_was(void **state)
{
	(void)state;
	struct sessions *s = sessions_new(1 << 20);
	struct session *e = session_take(s, 1, lane(1));
	size_t bare = sessions_bytes(s);
	for (int i = 1; i <= 4; i++)
		session_add(e, i, SLICE("user"), 0, run, SLICE("{}"));
	mark(e, "{\"blocks\":[],\"branchFrom\":3}");
	assert_int_equal(e->count, 2);
	assert_int_equal(e->head_seq, 5);
	assert_int_equal(e->messages[1]->seq, 2);
	mark(e, "{\"blocks\":[],\"branchFrom\":4}"); /* what is hidden already */
	assert_int_equal(e->count, 2);
	mark(e, "{\"blocks\":[]}");
	assert_int_equal(e->count, 0);
	assert_int_equal(e->head_seq, 7);
	assert_int_equal(sessions_bytes(s), bare);
	session_give_back(e);
	sessions_free(s);
}

/* Results that came behind a user's message are shown behind the answer that asked for
 * them; others stay where they are. */
static void test_results_go_to_their_answer(void **state)
{
	(void)state;
	static const struct {
		const char *role, *content;
		int64_t order[9]; /* of all so far */
	} steps[] = {
		{"user", "{\"blocks\":[{}]}", {1}},
		{"assistant", "{\"clientSide\":true}", {1, 2}},
		{"tool", "{}", {1, 2, 3}}, /* the runtime's own */
		{"user", "{\"blocks\":[]}", {1, 2, 3, 4}},
		{"user", "{\"blocks\": [], \"a\": 1}", {1, 2, 3, 4, 5}},
		{"tool", "{}", {1, 2, 3, 6, 4, 5}},
		{"tool", "{}", {1, 2, 3, 6, 7, 4, 5}},
		{"assistant", "{}", {1, 2, 3, 6, 7, 4, 5, 8}},
		{"tool", "{}", {1, 2, 3, 6, 7, 4, 5, 8, 9}},
	};
	struct sessions *s = sessions_new(1 << 20);
	struct session *e = session_take(s, 1, lane(1));
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		session_add(e, (int64_t)i + 1, slice_str(steps[i].role), 0, run,
			    slice_str(steps[i].content));
		assert_int_equal(e->count, i + 1);
		for (size_t k = 0; k < e->count; k++)
			assert_int_equal(e->messages[k]->seq, steps[i].order[k]);
	}
	assert_int_equal(e->messages[0]->item.role, PLAN_USER);
	assert_int_equal(e->messages[5]->item.role, PLAN_MARK); /* says nothing */
	assert_int_equal(e->messages[6]->item.role, PLAN_MARK);
	mark(e, "{\"blocks\":[],\"branchFrom\":5}"); /* takes the results that came with
							it */
	assert_int_equal(e->count, 4);
	assert_int_equal(e->messages[3]->seq, 4);
	session_give_back(e);
	sessions_free(s);
}

/* What a run to come has no use for is not kept; models are shown the same. */
static void test_tools_of_the_client_go(void **state)
{
	(void)state;
	struct sessions *s = sessions_new(1 << 20);
	struct session *e = session_take(s, 1, lane(1));
	size_t empty = sessions_bytes(s);
	session_add(e, 1, SLICE("user"), 0, run,
		    SLICE("{\"blocks\": [{\"a\": \"\\\"clientTools\\\"\"}], "
			  "\"clientTools\": [{\"name\": \"x\"}], \"toolResults\": []}"));
	session_add(e, 2, SLICE("assistant"), 0, run, SLICE("{\"clientTools\":1}"));
	session_slim(e);
	session_slim(e);
	assert_true(slice_is(e->messages[0]->llm.content,
			     "{\"blocks\":[{\"a\":\"\\\"clientTools\\\"\"}],"
			     "\"toolResults\":[]}"));
	assert_true(slice_is(e->messages[1]->llm.content, "{\"clientTools\":1}"));
	assert_int_equal(sessions_bytes(s), empty + e->bytes);
	session_clear(e);
	assert_int_equal(sessions_bytes(s), empty);
	session_give_back(e);
	sessions_free(s);
}

/* Random use: the limit holds whenever nothing is in use beyond it, and at the end all
 * bytes are accounted for. */
static void test_random_use(void **state)
{
	(void)state;
	struct session *held[LANES] = {0};
	struct sessions *s = sessions_new(30000);
	size_t in_use = 0;
	rand_begin();
	for (int round = 0; round < 20000; round++) {
		int i = (int)rand_below(LANES);
		if (!held[i]) {
			held[i] = rand_chance(30) ? session_take(s, 1, lane(i)) : NULL;
			continue;
		}
		size_t count = held[i]->count;
		if (rand_chance(60)) {
			add(held[i], rand_below(sizeof filler));
			assert_int_equal(held[i]->count, count + 1);
		} else if (rand_chance(20)) {
			session_trim(held[i], rand_below(20000), INT64_MAX);
		} else if (rand_chance(10)) {
			session_clear(held[i]);
		} else {
			session_give_back(held[i]);
			held[i] = NULL;
		}
		in_use = 0;
		for (int k = 0; k < LANES; k++)
			in_use += held[k] ? held[k]->bytes + sizeof *held[k] : 0;
		assert_true(sessions_bytes(s) >= in_use);
	}
	for (int i = 0; i < LANES; i++)
		if (held[i]) {
			session_clear(held[i]);
			session_give_back(held[i]);
		}
	assert_true(sessions_bytes(s) <= 30000);
	struct session *last = session_take(s, 1, lane(LANES));
	for (int i = 0; i < 20; i++)
		add(last, sizeof filler);
	session_give_back(last); /* too large for the cache: all goes */
	assert_int_equal(sessions_bytes(s), 0);
	sessions_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_added),
		cmocka_unit_test(test_tenants_are_apart),
		cmocka_unit_test(test_the_oldest_goes_first),
		cmocka_unit_test(test_what_is_used_stays),
		cmocka_unit_test(test_trim),
		cmocka_unit_test(test_marks_hide_what_was),
		cmocka_unit_test(test_results_go_to_their_answer),
		cmocka_unit_test(test_tools_of_the_client_go),
		cmocka_unit_test(test_random_use),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
