/* SPDX-License-Identifier: Apache-2.0
 * Vectors of words: of length 1, the same however the text is read, near where words are
 * shared. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "common/attr.h"
#include "worker/lexical.h"

static struct lexical vector_of(const char *text, size_t bytes)
{
	struct lexical l = {0};
	while (!lexical_read(&l, slice_str(text), bytes))
		;
	return l;
}

static double near(const char *a, const char *b)
{
	struct lexical x = vector_of(a, 1000), y = vector_of(b, 1000);
	double sum = 0;
	for (size_t i = 0; i < LEXICAL_DIMENSIONS; i++)
		sum += (double)x.v[i] * y.v[i];
	return sum;
}

static void test_length(void **state)
{
	(void)state;
	static const char *const texts[] = {"a",        "the cat sat on the mat",
					    "...",      "Grüße, 世界!",
					    "\xff\xfe", "x y x y"};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		assert_true(fabs(near(texts[i], texts[i]) - 1) < 1e-4);
}

/* A word longer than what is read at once, too. */
static void test_pieces(void **state)
{
	(void)state;
	static char text[3000];
	for (size_t i = 0; i + 1 < sizeof text; i++)
		text[i] = i > 1000 && i < 1500 ? 'w' : "abc def\xc3\xa9 "[i % 10];
	struct lexical whole = vector_of(text, sizeof text);
	for (size_t bytes = 1; bytes < 200; bytes += 13) {
		struct lexical l = vector_of(text, bytes);
		assert_memory_equal(l.v, whole.v, sizeof l.v);
	}
}

static void test_nearness(void **state)
{
	(void)state;
	assert_true(fabs(near("The CAT, sat", "the cat sat!") - 1) < 1e-4);
	assert_true(near("deploy the server", "deploying servers") >
		    near("deploy the server", "eat an apple") + 0.2);
	assert_true(near("dog bites man", "man bites dog") < 0.99); /* order tells */
	assert_true(near("世界", "世界 の") > near("世界", "昨日"));
}

/* The same on every machine, and from one build to the next. */
static void test_known(void **state)
{
	(void)state;
	struct lexical l = vector_of("embed", 100);
	size_t places = 0;
	for (size_t i = 0; i < LEXICAL_DIMENSIONS; i++)
		places += l.v[i] < 0 || l.v[i] > 0;
	assert_true(places > 8 &&
		    places <= 13); /* the word, and 12 pieces of " embed " */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_length),
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_nearness),
		cmocka_unit_test(test_known),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
