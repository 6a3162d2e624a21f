/* SPDX-License-Identifier: Apache-2.0
 * A batch as parameters of tb.journal: 73 arrays, of equal length within a group, of the
 * types the function takes, with the positions of their items. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/attr.h"
#include "tests/unit/common/rand.h"
#include "worker/journal.h"
#include "worker/journal_params.h"

#define COMMITS_MOST 20
#define ROWS_MOST 6

/* docs/journal.md: the groups and the types of their columns. */
static const struct group {
	const char *name;
	int columns;
	enum pg_type types[18];
} groups[] = {
	{"items", 6, {PG_INT8, PG_UUID, PG_UUID, PG_INT8, PG_INT8, PG_TEXT}},
	{"messages", 5, {PG_INT4, PG_INT2, PG_TEXT, PG_JSONB, PG_INT4}},
	{"tools",
	 18,
	 {PG_INT4, PG_INT2, PG_INT2, PG_TEXT, PG_TEXT, PG_TEXT, PG_TEXT, PG_INT2,
	  PG_JSONB, PG_JSONB, PG_TEXT, PG_INT4, PG_INT4, PG_INT8, PG_INT4, PG_TEXT,
	  PG_TEXT, PG_BOOL}},
	{"events", 5, {PG_INT4, PG_INT4, PG_TEXT, PG_TIMESTAMPTZ, PG_JSONB}},
	{"usage",
	 12,
	 {PG_INT4, PG_INT2, PG_INT2, PG_TEXT, PG_TEXT, PG_INT8, PG_INT8, PG_INT8, PG_INT8,
	  PG_INT8, PG_INT8, PG_INT4}},
	{"ends",
	 8,
	 {PG_INT4, PG_TEXT, PG_TEXT, PG_TEXT, PG_INT2, PG_INT2, PG_INT8, PG_INT8}},
	{"wishes", 2, {PG_INT2, PG_BOOL}},
	{"retries", 5, {PG_INT4, PG_INT8, PG_TEXT, PG_TEXT, PG_INT4}},
	{"asks",
	 9,
	 {PG_INT4, PG_UUID, PG_INT2, PG_INT2, PG_TEXT, PG_JSONB, PG_TEXT, PG_INT8,
	  PG_INT4}},
	{"acts", 3, {PG_INT4, PG_TEXT, PG_JSONB}},
};

static struct commit commits[COMMITS_MOST];
static struct commit_message messages[COMMITS_MOST][ROWS_MOST];
static struct commit_tool tools[COMMITS_MOST][ROWS_MOST];
static struct commit_event events[COMMITS_MOST][ROWS_MOST];
static struct commit_ask asks[COMMITS_MOST][ROWS_MOST];
static struct commit_act acts[COMMITS_MOST][ROWS_MOST];
static struct pg_params params;
static struct list batch;

static int setup(void **state)
{
	(void)state;
	memset(commits, 0, sizeof commits);
	pg_params_init(&params);
	list_init(&batch);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	pg_params_fini(&params);
	return 0;
}

static int32_t be32(const char *p)
{
	const uint8_t *b = (const uint8_t *)p;
	return (int32_t)((uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 |
			 (uint32_t)b[2] << 8 | b[3]);
}

static const char *array_at(int i)
{
	return params.buf.p + params.item[i].at;
}

/* An array's element count. */
static int32_t length_of(int i)
{
	const char *p = array_at(i);
	assert_true(params.item[i].len >= 12 && params.item[i].len != SIZE_MAX);
	return be32(p) ? be32(p + 12) : 0;
}

/* The elements of an int4 array. */
static void read_ints(int i, int32_t *out)
{
	const char *p = array_at(i) + 20;
	for (int32_t k = length_of(i); k > 0; k--, p += 8) {
		assert_int_equal(be32(p), 4);
		*out++ = be32(p + 4);
	}
}

/* The n-th element; SLICE_NONE for NULL. */
static struct slice element(int i, int n)
{
	const char *p = array_at(i) + 20;
	for (;; n--) {
		int32_t size = be32(p);
		if (n == 0)
			return size < 0 ? SLICE_NONE : slice_of(p + 4, (size_t)size);
		p += 4 + (size < 0 ? 0 : size);
	}
}

static struct commit *add_commit(size_t i)
{
	struct commit *c = &commits[i];
	*c = (struct commit){.tenant = (int64_t)i,
			     .cap = "cap",
			     .messages = messages[i],
			     .tools = tools[i],
			     .events = events[i],
			     .asks = asks[i],
			     .acts = acts[i]};
	list_init(&c->node);
	list_push(&batch, &c->node);
	for (size_t k = 0; k < ROWS_MOST; k++) {
		messages[i][k] =
			(struct commit_message){(int)k, "user", SLICE("{}"), (int)k % 2};
		tools[i][k] = (struct commit_tool){.call_id = SLICE("id"),
						   .tool = SLICE("t"),
						   .effect = "pure",
						   .state = "running",
						   .input = SLICE("{}")};
		events[i][k] = (struct commit_event){
			.type = EVENT_TOOL, .stored = SLICE("{}"), .shown = SLICE("{}")};
	}
	for (size_t k = 0; k < ROWS_MOST; k++)
		asks[i][k] = (struct commit_ask){
			.tool = SLICE("t"), .input = SLICE("{}"), .rule = "why"};
	for (size_t k = 0; k < ROWS_MOST; k++)
		acts[i][k] = (struct commit_act){"reset", SLICE("{}")};
	c->usage[0] = (struct commit_usage){.provider = SLICE("p"), .model = SLICE("m")};
	return c;
}

static int first_column(size_t group)
{
	int at = 0;
	for (size_t g = 0; g < group; g++)
		at += groups[g].columns;
	return at;
}

static void check_shape(const int32_t *lengths)
{
	assert_int_equal(params.count, 73);
	for (size_t g = 0; g < ARRAY_LEN(groups); g++)
		for (int c = 0; c < groups[g].columns; c++) {
			int i = first_column(g) + c;
			if (length_of(i) != lengths[g])
				fail_msg("%s, column %d: %d, not %d", groups[g].name, c,
					 length_of(i), lengths[g]);
			if (be32(array_at(i) + 8) != (int32_t)groups[g].types[c])
				fail_msg("%s, column %d: type %d", groups[g].name, c,
					 be32(array_at(i) + 8));
		}
}

/* The positions in the first column of a group: item k stands counts[k] times, in order.
 */
static void check_positions(size_t group, const size_t *counts, size_t n)
{
	int32_t have[COMMITS_MOST * ROWS_MOST + 1];
	size_t at = 0;
	read_ints(first_column(group), have);
	for (size_t k = 0; k < n; k++)
		for (size_t i = 0; i < counts[k]; i++)
			assert_int_equal(have[at++], k + 1);
}

static void test_an_empty_batch(void **state)
{
	(void)state;
	static const int32_t none[ARRAY_LEN(groups)];
	journal_params(&params, &batch);
	check_shape(none);
}

static void test_random_batches(void **state)
{
	(void)state;
	rand_begin();
	for (int round = 0; round < 400; round++) {
		size_t n = 1 + rand_below(COMMITS_MOST),
		       counts[ARRAY_LEN(groups)][COMMITS_MOST];
		int32_t lengths[ARRAY_LEN(groups)] = {0};
		pg_params_reset(&params);
		list_init(&batch);
		for (size_t i = 0; i < n; i++) {
			struct commit *c = add_commit(i);
			counts[0][i] = 1;
			counts[1][i] = c->message_count = rand_below(ROWS_MOST + 1);
			counts[2][i] = c->tool_count = rand_below(ROWS_MOST + 1);
			counts[3][i] = c->event_count = rand_below(ROWS_MOST + 1);
			counts[4][i] = c->usage_count = rand_below(2);
			counts[5][i] = (size_t)(c->has_end = rand_chance(40));
			counts[6][i] = 1;
			counts[7][i] =
				(size_t)(c->has_retry = !c->has_end && rand_chance(40));
			counts[8][i] = c->ask_count = rand_below(ROWS_MOST + 1);
			counts[9][i] = c->act_count = rand_below(ROWS_MOST + 1);
			for (size_t g = 0; g < ARRAY_LEN(groups); g++)
				lengths[g] += (int32_t)counts[g][i];
		}
		journal_params(&params, &batch);
		check_shape(lengths);
		for (size_t g = 1; g < ARRAY_LEN(groups); g++)
			if (g != 6) /* a column of the items, without positions */
				check_positions(g, counts[g], n);
	}
}

/* What is not there is NULL, not the empty text: Postgres tells them apart. */
static void test_absent_values(void **state)
{
	(void)state;
	struct commit *c = add_commit(0);
	c->message_count = 2;
	c->tool_count = 2;
	c->usage_count = 1;
	c->usage[0].cost_micros = -1; /* no price is known */
	c->has_end = 1;
	c->end = (struct commit_end){.result = RESULT_COMPLETED};
	tools[0][1].output = SLICE("{\"x\":1}");
	tools[0][1].error = SLICE("bad");
	journal_params(&params, &batch);
	int m = first_column(1), t = first_column(2), f = first_column(5);
	assert_null(element(m + 4, 0).p); /* tokens unknown */
	assert_int_equal(be32(element(m + 4, 1).p), 1);
	assert_null(element(t + 9, 0).p);
	assert_true(slice_is(element(t + 9, 1), "\1{\"x\":1}"));
	assert_null(element(t + 10, 0).p);
	assert_true(slice_is(element(t + 10, 1), "bad"));
	for (int i = 12; i < 17; i++) /* of a call that is not done */
		assert_null(element(t + i, 0).p);
	assert_null(element(first_column(4) + 10, 0).p);
	assert_true(slice_is(element(f + 1, 0), "completed"));
	assert_null(element(f + 2, 0).p);
	assert_null(element(f + 3, 0).p);
}

/* Each value stands in its own column. */
static void test_values(void **state)
{
	(void)state;
	struct commit *c = add_commit(0);
	c->tenant = 7;
	c->fence = 8;
	c->commit_no = 9;
	memset(c->run.b, 0xAA, 16);
	memset(c->session.b, 0xBB, 16);
	c->tool_count = c->event_count = 1;
	c->has_end = 1;
	tools[0][0] = (struct commit_tool){.step = 2,
					   .call = 3,
					   .call_id = SLICE("call_7"),
					   .tool = SLICE("memory_get"),
					   .effect = "pure",
					   .state = "completed",
					   .attempt = 4,
					   .policy_version = 31,
					   .facts = {.duration_us = 32000,
						     .bytes = 33,
						     .truncated = true,
						     .has_exit = true,
						     .exit = 34,
						     .signal = "KILL",
						     .error_class = "tool_failed"},
					   .input = SLICE("{}"),
					   .output = SLICE("{}")};
	events[0][0].seq = 77;
	c->end = (struct commit_end){.result = RESULT_FAILED,
				     .code = "network",
				     .error = "went away",
				     .steps = 5,
				     .tool_calls = 6,
				     .tokens_in = 21,
				     .tokens_out = 22};
	journal_params(&params, &batch);
	int t = first_column(2), e = first_column(3), f = first_column(5);
	assert_int_equal(be32(element(0, 0).p + 4), 7);
	assert_int_equal((uint8_t)element(1, 0).p[0], 0xAA);
	assert_int_equal((uint8_t)element(2, 0).p[0], 0xBB);
	assert_int_equal(be32(element(3, 0).p + 4), 8);
	assert_int_equal(be32(element(4, 0).p + 4), 9);
	assert_true(slice_is(element(5, 0), "cap"));
	assert_int_equal(element(t + 1, 0).p[1], 2);
	assert_int_equal(element(t + 2, 0).p[1], 3);
	assert_true(slice_is(element(t + 3, 0), "call_7"));
	assert_true(slice_is(element(t + 4, 0), "memory_get"));
	assert_true(slice_is(element(t + 5, 0), "pure"));
	assert_true(slice_is(element(t + 6, 0), "completed"));
	assert_int_equal(element(t + 7, 0).p[1], 4);
	assert_int_equal(be32(element(t + 11, 0).p), 31);
	assert_int_equal(be32(element(t + 12, 0).p), 32);
	assert_int_equal(be32(element(t + 13, 0).p + 4), 33);
	assert_int_equal(be32(element(t + 14, 0).p), 34);
	assert_true(slice_is(element(t + 15, 0), "KILL"));
	assert_true(slice_is(element(t + 16, 0), "tool_failed"));
	assert_int_equal(element(t + 17, 0).p[0], 1);
	assert_int_equal(be32(element(e + 1, 0).p), 77);
	assert_true(slice_is(element(e + 2, 0), "tool"));
	assert_true(slice_is(element(f + 1, 0), "failed"));
	assert_true(slice_is(element(f + 2, 0), "network"));
	assert_true(slice_is(element(f + 3, 0), "went away"));
	assert_int_equal(element(f + 4, 0).p[1], 5);
	assert_int_equal(element(f + 5, 0).p[1], 6);
	assert_int_equal(be32(element(f + 6, 0).p + 4), 21);
	assert_int_equal(be32(element(f + 7, 0).p + 4), 22);
}

static void test_usage(void **state)
{
	(void)state;
	struct commit *c = add_commit(0);
	int u = first_column(4);
	c->usage_count = 1;
	c->usage[0] = (struct commit_usage){.provider = SLICE("openai"),
					    .model = SLICE("m"),
					    .in = 11,
					    .out = 12,
					    .cached = 13,
					    .cache_write = 14,
					    .reasoning = 15,
					    .cost_micros = 16,
					    .duration_us = 17000};
	journal_params(&params, &batch);
	assert_true(slice_is(element(u + 3, 0), "openai"));
	assert_int_equal(be32(element(u + 5, 0).p + 4), 11);
	assert_int_equal(be32(element(u + 6, 0).p + 4), 12);
	assert_int_equal(be32(element(u + 7, 0).p + 4), 13);
	assert_int_equal(be32(element(u + 8, 0).p + 4), 14);
	assert_int_equal(be32(element(u + 9, 0).p + 4), 15);
	assert_int_equal(be32(element(u + 10, 0).p + 4), 16);
	assert_int_equal(be32(element(u + 11, 0).p), 17);
}

static void test_acts(void **state)
{
	(void)state;
	struct commit *c = add_commit(0);
	int x = first_column(9);
	c->act_count = 1;
	acts[0][0] = (struct commit_act){"snapshot", SLICE("{\"a\":1}")};
	journal_params(&params, &batch);
	assert_int_equal(be32(element(x, 0).p), 1);
	assert_true(slice_is(element(x + 1, 0), "snapshot"));
	assert_true(slice_is(element(x + 2, 0), "\1{\"a\":1}"));
}

static void test_questions(void **state)
{
	(void)state;
	struct commit *c = add_commit(0);
	c = add_commit(1);
	c->ask_count = 1;
	asks[1][0] = (struct commit_ask){.step = 2,
					 .call = 3,
					 .tool = SLICE("bash"),
					 .input = SLICE("{}"),
					 .rule = "ask names it",
					 .life_us = 5,
					 .active_ms = 6};
	memset(asks[1][0].id.b, 0xCC, 16);
	journal_params(&params, &batch);
	int a = first_column(8);
	assert_int_equal(be32(element(a, 0).p), 2);
	assert_int_equal((uint8_t)element(a + 1, 0).p[0], 0xCC);
	assert_int_equal(element(a + 2, 0).p[1], 2);
	assert_int_equal(element(a + 3, 0).p[1], 3);
	assert_true(slice_is(element(a + 4, 0), "bash"));
	assert_true(slice_is(element(a + 6, 0), "ask names it"));
	assert_int_equal(be32(element(a + 7, 0).p + 4), 5);
	assert_int_equal(be32(element(a + 8, 0).p), 6);
}

/* What a commit asks for besides: its waiting messages, a clean slate, another attempt.
 */
static void test_wishes_and_retries(void **state)
{
	(void)state;
	struct commit *c = add_commit(0);
	c->take = TAKE_STEER | TAKE_FOLDED;
	c = add_commit(1);
	c->clear = 1;
	c = add_commit(2);
	c->has_retry = 1;
	c->retry = (struct commit_retry){.pause_us = 77,
					 .code = "model_rate_limit",
					 .error = "slow down",
					 .active_ms = 1234};
	journal_params(&params, &batch);
	int w = first_column(6), r = first_column(7);
	assert_int_equal(element(w, 0).p[1], 5);
	assert_int_equal(element(w, 1).p[1], 0);
	assert_int_equal(element(w + 1, 0).p[0], 0);
	assert_int_equal(element(w + 1, 1).p[0], 1);
	assert_int_equal(length_of(r), 1);
	assert_int_equal(be32(element(r, 0).p), 3);
	assert_int_equal(be32(element(r + 1, 0).p + 4), 77);
	assert_true(slice_is(element(r + 2, 0), "model_rate_limit"));
	assert_true(slice_is(element(r + 3, 0), "slow down"));
	assert_int_equal(be32(element(r + 4, 0).p), 1234);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_an_empty_batch), CASE(test_random_batches),
		CASE(test_absent_values),  CASE(test_values),
		CASE(test_usage),          CASE(test_acts),
		CASE(test_questions),      CASE(test_wishes_and_retries),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
