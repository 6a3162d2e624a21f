/* SPDX-License-Identifier: Apache-2.0
 * Growing text against a plain array, and its promises about the NUL and the memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/strbuf.h"
#include "tests/unit/common/rand.h"

#define MOST 20000

static void test_against_an_array(void **state)
{
	(void)state;
	static char want[MOST * 2], piece[700];
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	size_t n = 0;
	for (int step = 0; step < 20000; step++) {
		size_t k = rand_below(sizeof piece);
		rand_bytes(piece, k);
		switch (rand_below(6)) {
		case 0:
			strbuf_add(&b, piece, k);
			memcpy(want + n, piece, k);
			n += k;
			break;
		case 1:
			strbuf_add_char(&b, 'x');
			want[n++] = 'x';
			break;
		case 2:
			strbuf_printf(&b, "<%0*d>", (int)k, 7);
			n += (size_t)sprintf(want + n, "<%0*d>", (int)k, 7);
			break;
		case 3:
			memcpy(strbuf_reserve(&b, k), piece, k);
			b.n += k;
			strbuf_add_str(&b, "");
			memcpy(want + n, piece, k);
			n += k;
			break;
		case 4:
			k = rand_below((uint32_t)n + 1);
			strbuf_eat(&b, k);
			memmove(want, want + k, n - k);
			n -= k;
			break;
		default:
			strbuf_add_slice(&b, SLICE_NONE);
			break;
		}
		assert_int_equal(b.n, n);
		if (b.p)
			assert_int_equal(b.p[b.n], 0);
		assert_true(b.cap == 0 || b.cap > b.n);
		if (n)
			assert_memory_equal(b.p, want, n);
		if (n > MOST) {
			strbuf_reset(&b);
			n = 0;
		}
	}
}

static void test_memory(void **state)
{
	(void)state;
	struct strbuf b = STRBUF_INIT;
	assert_null(b.p);
	strbuf_eat(&b, 0);
	strbuf_reset(&b);
	strbuf_add(&b, NULL, 0);
	assert_string_equal(b.p, "");
	for (int i = 0; i < 1000; i++)
		strbuf_add_str(&b, "text");
	size_t cap = b.cap;
	strbuf_shrink(&b, 10); /* in use: stays */
	assert_int_equal(b.cap, cap);
	strbuf_reset(&b);
	assert_string_equal(b.p, "");
	strbuf_shrink(&b, cap); /* not above keep: stays */
	assert_int_equal(b.cap, cap);
	strbuf_shrink(&b, cap - 1);
	assert_null(b.p);
	assert_int_equal(b.cap, 0);
	strbuf_printf(&b, "%s", "");
	assert_string_equal(b.p, "");
	strbuf_fini(&b);
	strbuf_fini(&b);
}

/* Texts around the room that is left. */
static void test_printf_at_the_edge(void **state)
{
	(void)state;
	for (size_t have = 0; have < 130; have++)
		for (int more = 0; more < 130; more += 3) {
			AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
			for (size_t i = 0; i < have; i++)
				strbuf_add_char(&b, 'a');
			strbuf_printf(&b, "%*s", more, "");
			assert_int_equal(b.n, have + (size_t)more);
			assert_int_equal(strlen(b.p), b.n);
		}
}

int main(void)
{
	rand_begin();
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_against_an_array),
					   cmocka_unit_test(test_memory),
					   cmocka_unit_test(test_printf_at_the_edge)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
