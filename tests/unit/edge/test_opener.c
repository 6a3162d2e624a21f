/* SPDX-License-Identifier: Apache-2.0
 * Sessions opened in batches: what shares a commit, and who fails with whom. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "common/attr.h"
#include "edge/cache.h"
#include "edge/opener.h"
#include "proto/wire.h"

#define SESSIONS 200

static struct edge edge;
static struct cache *cache;

/* ---- a Postgres that answers when it is told to */

static struct {
	unsigned sizes[2 * SESSIONS]; /* of the batches it was sent */
	unsigned batches;
	struct session_open rows[OPENER_BATCH];
	char keys[OPENER_BATCH][16], users[OPENER_BATCH][16];
	unsigned count; /* of the batch under way, 0: none */
	store_opened_fn *done;
	void *arg;
	const char *bad; /* a key that no row may have */
} db;

void store_open_sessions(struct edge *e, const struct session_open *const *rows,
			 unsigned count, store_opened_fn *done, void *arg)
{
	assert_ptr_equal(e, &edge);
	assert_int_equal(db.count, 0);
	assert_in_range(count, 1, OPENER_BATCH);
	db.sizes[db.batches++] = db.count = count;
	db.done = done;
	db.arg = arg;
	for (unsigned i = 0; i < count; i++) {
		db.rows[i] = *rows[i];
		snprintf(db.keys[i], 16, "%.*s", SLICE_ARG(rows[i]->key));
		snprintf(db.users[i], 16, "%.*s", SLICE_ARG(rows[i]->user));
	}
}

/* A session's id is its key; "gone" has no agent. */
static void answer(void)
{
	struct session_row rows[OPENER_BATCH] = {0};
	unsigned count = db.count;
	enum store_fate fate = STORE_DONE;
	for (unsigned i = 0; i < count; i++) {
		if (db.bad && !strcmp(db.keys[i], db.bad))
			fate = STORE_REFUSED;
		if (strcmp(db.keys[i], "gone") != 0)
			memcpy(rows[i].id.b, db.keys[i], 16);
		rows[i].mode = MODE_COLLECT;
	}
	assert_true(count > 0);
	db.count = 0;
	db.done(db.arg, fate, fate == STORE_DONE ? rows : NULL);
}

static void go_away(void)
{
	assert_true(db.count > 0);
	db.count = 0;
	db.done(db.arg, STORE_AWAY, NULL);
}

/* ---- those who ask */

struct asker {
	struct cache_wait wait;
	struct loop_task task;
	char key[16];
	enum cache_verdict verdict;
	struct session_row row;
};
static struct asker askers[SESSIONS];

static void look(void *arg)
{
	struct asker *a = arg;
	struct slice user = slice_str(a->key[0] == 'u' ? a->key : "");
	a->verdict =
		cache_look(cache, slice_str(a->key), &a->wait, &a->task, &user, &a->row);
}

static struct asker *ask(unsigned i, const char *key)
{
	struct asker *a = &askers[i];
	memset(a, 0, sizeof *a);
	snprintf(a->key, sizeof a->key, "%s", key);
	loop_task_init(&a->task, look, a);
	look(a);
	return a;
}

static void ask_many(unsigned from, unsigned to)
{
	char key[16];
	for (unsigned i = from; i < to; i++) {
		snprintf(key, sizeof key, "k%u", i);
		ask(i, key);
	}
}

static void turn(void)
{
	loop_turn(edge.loop, 0);
}

static bool has_its_session(const struct asker *a)
{
	return a->verdict == CACHE_FOUND && !strcmp((const char *)a->row.id.b, a->key);
}

static void load(void *arg, struct cache_entry *e, struct slice key, const void *hint)
{
	const struct slice *user = hint;
	struct session_open open = {
		.tenant = 7, .key = key, .user = *user, .slot = 9, .agent = {{5}}};
	(void)arg;
	opener_add(edge.opener, e, &open);
}

static int setup(void **state)
{
	(void)state;
	memset(&db, 0, sizeof db);
	edge.loop = loop_new();
	edge.opener = opener_new(&edge);
	cache = cache_new(&(struct cache_config){.loop = edge.loop,
						 .capacity = 2 * SESSIONS,
						 .value_size = sizeof(struct session_row),
						 .absent_us = 1000000,
						 .load = load});
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	opener_free(edge.opener);
	cache_free(cache);
	loop_free(edge.loop);
	return 0;
}

/* ---- the tests */

static void test_what_comes_in_a_turn_shares_a_commit(void **state)
{
	(void)state;
	ask_many(0, 10);
	ask(10, "user");
	assert_int_equal(db.batches, 0);
	turn();
	assert_int_equal(db.batches, 1);
	assert_int_equal(db.count, 11);
	assert_int_equal(db.rows[3].tenant, 7);
	assert_int_equal(db.rows[3].slot, 9);
	assert_int_equal(db.rows[3].agent.b[0], 5);
	assert_string_equal(db.keys[3], "k3");
	assert_string_equal(db.users[3], "");
	assert_string_equal(db.users[10], "user");
	answer();
	turn();
	for (unsigned i = 0; i < 11; i++) {
		assert_true(has_its_session(&askers[i]));
		assert_int_equal(askers[i].row.mode, MODE_COLLECT);
	}
	turn();
	assert_int_equal(db.batches, 1);
}

/* One batch in flight; what comes meanwhile is the next, 64 at most. */
static void test_batches_grow_while_one_is_in_flight(void **state)
{
	(void)state;
	ask_many(0, 1);
	turn();
	for (unsigned i = 1; i < 151; i++) {
		ask_many(i, i + 1);
		turn();
	}
	assert_int_equal(db.batches, 1);
	while (db.count) {
		answer();
		turn();
	}
	assert_int_equal(db.batches, 4);
	assert_int_equal(db.sizes[0], 1);
	assert_int_equal(db.sizes[1], OPENER_BATCH);
	assert_int_equal(db.sizes[2], OPENER_BATCH);
	assert_int_equal(db.sizes[3], 150 - 2 * OPENER_BATCH);
	turn();
	for (unsigned i = 0; i < 151; i++)
		assert_true(has_its_session(&askers[i]));
}

static void test_a_key_is_opened_once(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 5; i++)
		ask(i, "same");
	turn();
	assert_int_equal(db.count, 1);
	ask(5, "same");
	answer();
	turn();
	for (unsigned i = 0; i < 6; i++)
		assert_true(has_its_session(&askers[i]));
	assert_int_equal(db.batches, 1);
}

static void test_an_agent_that_is_gone(void **state)
{
	(void)state;
	ask(0, "a");
	ask(1, "gone");
	ask(2, "b");
	turn();
	answer();
	turn();
	assert_true(has_its_session(&askers[0]));
	assert_int_equal(askers[1].verdict, CACHE_ABSENT);
	assert_true(has_its_session(&askers[2]));
}

/* The bad row fails alone, in whatever place; what came meanwhile is not touched. */
static void test_a_bad_row_fails_alone(void **state)
{
	(void)state;
	static const char *const bad[] = {"k0", "k4", "k9"};
	for (size_t n = 0; n < ARRAY_LEN(bad); n++) {
		if (n > 0) {
			teardown(NULL);
			setup(NULL);
		}
		db.bad = bad[n];
		ask_many(0, 10);
		turn();
		ask_many(10, 15);
		while (db.count) {
			answer();
			turn();
		}
		turn();
		for (unsigned i = 0; i < 15; i++) {
			if (!strcmp(askers[i].key, bad[n])) {
				assert_int_equal(askers[i].verdict, CACHE_FAILED);
				assert_int_equal(askers[i].wait.failed, ERR_DATABASE);
			} else {
				assert_true(has_its_session(&askers[i]));
			}
		}
		assert_int_equal(db.sizes[0], 10);
		for (unsigned i = 1; i <= 10; i++)
			assert_int_equal(db.sizes[i], 1);
		assert_int_equal(db.sizes[11], 5);
		assert_int_equal(db.batches, 12);
	}
}

static void test_a_lost_database_fails_all(void **state)
{
	(void)state;
	ask_many(0, 10);
	turn();
	ask_many(10, 100);
	go_away();
	turn();
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(askers[i].verdict, CACHE_FAILED);
		assert_int_equal(askers[i].wait.failed, ERR_DATABASE);
	}
	turn();
	assert_int_equal(db.batches, 1);
	ask_many(0, 3);
	turn();
	answer();
	turn();
	assert_true(has_its_session(&askers[2]));
}

/* An entry that was dropped while its session is being opened. */
static void test_a_dropped_entry(void **state)
{
	(void)state;
	ask(0, "a");
	turn();
	cache_drop(cache, SLICE("a"));
	ask(1, "a");
	answer();
	turn();
	answer();
	turn();
	assert_true(has_its_session(&askers[0]));
	assert_true(has_its_session(&askers[1]));
}

static void test_the_end_amid_work(void **state)
{
	(void)state;
	ask(0, "user1");
	turn();
	ask(1, "user2");
	assert_int_equal(db.count, 1);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_what_comes_in_a_turn_shares_a_commit),
		T(test_batches_grow_while_one_is_in_flight),
		T(test_a_key_is_opened_once),
		T(test_an_agent_that_is_gone),
		T(test_a_bad_row_fails_alone),
		T(test_a_lost_database_fails_all),
		T(test_a_dropped_entry),
		T(test_the_end_amid_work),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
