/* SPDX-License-Identifier: Apache-2.0
 * What a model is shown: pairs, old results, limits, cuts; and all of it at random. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "common/attr.h"
#include "tests/unit/common/rand.h"
#include "worker/context/plan.h"

#define MOST 400

static struct plan_item items[MOST];
static const struct plan_item *list[MOST];
static uint8_t form[MOST];
static size_t count;
static struct plan_sum sum;

static struct plan_item *add(enum plan_role role, int64_t tokens)
{
	struct plan_item *m = &items[count];
	list[count++] = m;
	*m = (struct plan_item){.role = role,
				.seq = (int64_t)count,
				.whole = tokens,
				.trimmed = tokens,
				.cleared = tokens};
	return m;
}

/* "u" user, "a" answer, "1".."9" answer with so many calls, "r" a result, "R" one that is
 * long, "s" summary, "m" mark. Results match the calls before them in order. */
static void script(const char *text)
{
	uint64_t call = 0, result = 0;
	count = 0;
	for (; *text; text++) {
		struct plan_item *m;
		if (*text == 'u') {
			add(PLAN_USER, 10);
		} else if (*text == 's') {
			add(PLAN_SUMMARY, 20);
		} else if (*text == 'm') {
			add(PLAN_MARK, 1);
		} else if (*text == 'a') {
			add(PLAN_ASSISTANT, 10);
		} else if (*text == 'r' || *text == 'R') {
			m = add(PLAN_TOOL, *text == 'R' ? 2000 : 30);
			m->trimmed = *text == 'R' ? 900 : 30;
			m->cleared = 15;
			m->ids = 1;
			m->id_sum = 100 + result++;
		} else {
			m = add(PLAN_ASSISTANT, 10);
			m->ids = (unsigned)(*text - '0');
			for (unsigned i = 0; i < m->ids; i++)
				m->id_sum += 100 + call++;
			result = call - m->ids;
		}
	}
}

static const char *plan(struct plan_limits limits)
{
	static char out[MOST + 1];
	plan_make(list, count, &limits, form, &sum);
	for (size_t i = 0; i < count; i++)
		out[i] = "-wtc"[form[i]];
	out[count] = 0;
	return out;
}

#define WIDE .window = 1000000

static void test_pairs(void **state)
{
	(void)state;
	static const struct {
		const char *script, *plan;
	} cases[] =
		{
			{"ua", "ww"},       {"u2rru", "wwwww"},
			{"u2ru", "w--w"},   /* a result is missing */
			{"u1rru", "w---w"}, /* one too many */
			{"uru", "w-w"},     /* of no call */
			{"u1", "w-"},       /* not answered yet */
			{"rau", "--w"},     /* the beginning was not read */
			{"2rra", "wwww"},   /* nobody asked: what there is */
			{"mua", "-ww"},     {"usa", "w-w"},
			{"", ""},           {"u", "w"},
		};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		script(cases[i].script);
		assert_string_equal(plan((struct plan_limits){WIDE}), cases[i].plan);
	}
	script("u1r");
	items[2].id_sum++; /* another call's */
	assert_string_equal(plan((struct plan_limits){WIDE}), "w--");
}

static void test_the_summary(void **state)
{
	(void)state;
	script("a1rsua");
	assert_string_equal(plan((struct plan_limits){WIDE, .summary_seq = 4}), "wwwwww");
	assert_int_equal(sum.summary, 3);
	assert_int_equal(sum.tokens, 20 + 10 + 10 + 30 + 10 + 10);
	assert_int_equal(sum.summary_tokens, 20);
	script("sausua"); /* the older one is none */
	assert_string_equal(plan((struct plan_limits){WIDE, .summary_seq = 4}), "-wwwww");
}

static void test_old_results(void **state)
{
	(void)state;
	/* the last three answers are fresh */
	script("u1R1R1R1R");
	assert_string_equal(plan((struct plan_limits){WIDE}), "wwtwwwwww");
	script("u1R1R1Ru");
	assert_string_equal(plan((struct plan_limits){WIDE}), "wwwwwwww");
	script("u1R1R1R1Raaa");
	assert_string_equal(plan((struct plan_limits){WIDE}), "wwtwtwtwtwww");
	assert_int_equal(sum.pruned, 4 * 1100);
	/* what stands before the first user's message is never pruned */
	script("1R1Ru1Raaa");
	plan((struct plan_limits){WIDE});
	assert_int_equal(form[6], PLAN_TRIMMED);
	/* behind a summary everything is behind a user's message */
	script("1R1R1R1Rs");
	assert_string_equal(plan((struct plan_limits){WIDE, .summary_seq = 9}),
			    "wtwwwwwww");
}

/* At half of the window, and not before; then at the next half again. */
static void test_clearing(void **state)
{
	(void)state;
	script("u1r1r1r1raaa");
	assert_string_equal(plan((struct plan_limits){.window = 2 * 200}),
			    "wwcwcwcwcwww");
	assert_string_equal(plan((struct plan_limits){.window = 2 * 400}),
			    "wwwwwwwwwwww");
	/* 910 a pair: 3650 when the fifth question is asked */
	script("u1R1R1R1R");
	assert_string_equal(plan((struct plan_limits){.window = 2 * 3640}), "wwcwwwwww");
	assert_string_equal(plan((struct plan_limits){.window = 2 * 3660}), "wwtwwwwww");
	script("u1R1R1R1R1r");
	assert_string_equal(plan((struct plan_limits){.window = 2 * 3640}),
			    "wwcwtwwwwww");
}

static void test_limits(void **state)
{
	(void)state;
	script("uauauau");
	assert_string_equal(plan((struct plan_limits){WIDE, .most = 70}), "wwwwwww");
	assert_string_equal(plan((struct plan_limits){WIDE, .most = 50}), "--wwwww");
	assert_string_equal(plan((struct plan_limits){WIDE, .most = 45}), "----www");
	assert_int_equal(sum.left_out, 4);
	assert_string_equal(plan((struct plan_limits){WIDE, .most = 1}), "----www");
	script("u1Ru1R"); /* fresh results are trimmed before anything goes */
	assert_string_equal(plan((struct plan_limits){WIDE, .most = 2000}), "wwtwwt");
	script("u1r1r1r");
	/* of one long turn its question stays: nobody else could have asked for its end
	 */
	assert_string_equal(plan((struct plan_limits){WIDE, .most = 50}), "w----ww");
	assert_string_equal(plan((struct plan_limits){WIDE, .most = 90}), "w--wwww");
}

static void test_cuts(void **state)
{
	(void)state;
	static const struct {
		const char *script;
		int64_t tokens;
		int messages;
		size_t cut;
	} cases[] = {
		{"uauaua", 1000, -1, 0}, /* all of it is kept */
		{"uauaua", 20, -1, 4},   {"uauaua", 0, -1, 5},
		{"u1R1r1r", 100, -1, 3}, /* not between a call and its result */
		{"u1r1R", 100, -1, 3},   /* the newest answer stays, however long */
		{"suauaua", 20, -1, 5},  {"sua", 1000, -1, 0},
		{"uauaua", 0, 2, 4},     {"u1rrra", 0, 2, 5},
		{"uauaua", 0, 100, 0},   {"uauau", 0, 0, 3},
		{"u", 0, -1, 0},         {"", 0, -1, 0},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		script(cases[i].script);
		size_t cut = plan_cut(list, count, cases[i].tokens, cases[i].messages);
		if (cut != cases[i].cut)
			fail_msg("%zu: %s at %zu", i, cases[i].script, cut);
	}
}

/* ---- at random */

static void random_script(void)
{
	static char text[MOST / 2];
	size_t n = 0, most = 1 + rand_below(MOST / 2 - 20);
	while (n < most) {
		uint32_t dice = rand_below(10);
		if (dice < 3) {
			text[n++] = "uuums"[rand_below(5)];
		} else if (dice < 5) {
			text[n++] = 'a';
		} else {
			uint32_t calls = 1 + rand_below(4);
			text[n++] = (char)('0' + calls);
			if (rand_chance(5)) /* something is wrong with it */
				calls = rand_below(6);
			while (calls--)
				text[n++] = rand_chance(30) ? 'R' : 'r';
		}
	}
	text[n] = 0;
	script(text);
	for (size_t i = 0; i < count; i++) {
		struct plan_item *m = &items[i];
		m->whole = 1 + rand_below(rand_chance(5) ? 20000 : 200);
		m->trimmed = m->role == PLAN_TOOL && m->whole > 1000 ? 900 : m->whole;
		m->cleared = m->role == PLAN_TOOL && m->whole > 20 ? 20 : m->whole;
	}
}

static int64_t cost_of(size_t i)
{
	const int64_t costs[] = {0, items[i].whole, items[i].trimmed, items[i].cleared};
	return costs[form[i]];
}

/* Each call that is shown has its result, and each result its call. */
static void check_pairing(size_t from, size_t summary)
{
	for (size_t i = from; i < count; i++) {
		unsigned ids = 0;
		uint64_t total = 0;
		if (form[i] == PLAN_OUT || i == summary)
			continue;
		assert_int_not_equal(items[i].role, PLAN_TOOL);
		assert_int_not_equal(items[i].role, PLAN_MARK);
		assert_int_not_equal(items[i].role, PLAN_SUMMARY);
		if (items[i].role != PLAN_ASSISTANT)
			continue;
		size_t k = i + 1;
		for (; k < count && items[k].role == PLAN_TOOL; k++) {
			assert_int_not_equal(form[k], PLAN_OUT);
			ids += items[k].ids;
			total += items[k].id_sum;
		}
		assert_int_equal(ids, items[i].ids);
		assert_true(!ids || total == items[i].id_sum);
		i = k - 1;
	}
}

static size_t newest_answer(void)
{
	for (size_t i = count; i-- > 0;)
		if (items[i].role == PLAN_ASSISTANT)
			return i;
	return count - 1;
}

/* What the newest turn is about. */
static size_t newest_question(size_t last)
{
	for (size_t i = last + 1; i-- > 0;)
		if (items[i].role == PLAN_USER)
			return i;
	return count;
}

static void check_limit(const struct plan_limits *l)
{
	int64_t total = 0;
	bool older = false;
	size_t last = newest_answer(), question = newest_question(last), first = 0;
	while (first < count && form[first] == PLAN_OUT)
		first++;
	if (sum.summary == SIZE_MAX && question < count)
		assert_int_equal(items[first].role, PLAN_USER);
	for (size_t i = 0; i < count; i++) {
		total += cost_of(i);
		older |= i < last && form[i] != PLAN_OUT && i != sum.summary &&
			 i != question;
	}
	assert_int_equal(total, sum.tokens);
	if (l->most && older)
		assert_true(total <= l->most);
}

/* What more messages change in front of them: nothing but forms that get shorter, of
 * what a model was asked with. */
static void check_prefix(const struct plan_limits *l)
{
	uint8_t before[MOST];
	size_t n = count;
	struct plan_limits open = *l;
	open.most = 0;
	plan_make(list, n, &open, before, &sum);
	for (size_t fewer = n; fewer-- > (size_t)open.summary_seq;) {
		if (list[fewer]->role != PLAN_ASSISTANT || before[fewer] == PLAN_OUT)
			continue;
		plan_make(list, fewer, &open, form, &sum);
		for (size_t i = 0; i < fewer; i++) {
			if ((int64_t)i + 1 == open.summary_seq)
				continue;
			if (form[i] == PLAN_CLEARED)
				assert_int_equal(before[i], PLAN_CLEARED);
			if (form[i] == PLAN_TRIMMED)
				assert_true(before[i] >= PLAN_TRIMMED);
		}
		if (n - fewer > 12)
			break;
	}
}

static void test_random_plans(void **state)
{
	(void)state;
	rand_begin();
	for (int round = 0; round < 4000; round++) {
		uint8_t twice[MOST];
		random_script();
		struct plan_limits l = {.window = 1000 + rand_below(100000)};
		if (rand_chance(70))
			l.most = 1 + rand_below(50000);
		for (size_t i = 0; i < count; i++)
			if (items[i].role == PLAN_SUMMARY && rand_chance(50))
				l.summary_seq = items[i].seq;
		plan_make(list, count, &l, twice, &sum);
		plan_make(list, count, &l, form, &sum);
		assert_memory_equal(form, twice, count);
		check_pairing(0, sum.summary);
		check_limit(&l);
		assert_int_equal(sum.summary == SIZE_MAX, l.summary_seq == 0);
		check_prefix(&l);
		size_t cut = plan_cut(list, count, rand_below(20000),
				      rand_chance(50) ? -1 : (int)rand_below(30));
		assert_true(cut == 0 || cut <= newest_answer());
		if (cut)
			assert_int_not_equal(items[cut].role, PLAN_TOOL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pairs),        cmocka_unit_test(test_the_summary),
		cmocka_unit_test(test_old_results),  cmocka_unit_test(test_clearing),
		cmocka_unit_test(test_limits),       cmocka_unit_test(test_cuts),
		cmocka_unit_test(test_random_plans),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
