/* SPDX-License-Identifier: Apache-2.0
 * The heap against a plain array: order, and removal from the middle. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "supervisor/heap.h"
#include "tests/unit/common/rand.h"

#define NODES 200

static void test_against_an_array(void **state)
{
	(void)state;
	struct heap h = {0};
	struct heap_node node[NODES] = {{0}};
	for (int step = 0; step < 200000; step++) {
		struct heap_node *e = &node[rand_below(NODES)];
		int64_t smallest = INT64_MAX;
		uint32_t n = 0;
		if (!heap_has(e) && rand_chance(60))
			heap_add(&h, e, (int64_t)rand_below(60) - 30);
		else if (rand_chance(30)) /* adds it or moves it */
			heap_set(&h, e, (int64_t)rand_below(60) - 30);
		else
			heap_remove(&h, e);
		for (int i = 0; i < NODES; i++) {
			if (!heap_has(&node[i]))
				continue;
			n++;
			assert_ptr_equal(h.v[node[i].at - 1], &node[i]);
			if (node[i].key < smallest)
				smallest = node[i].key;
		}
		assert_int_equal(h.n, n);
		assert_true(h.cap <= 8 || h.cap <= 8 * n); /* it shrinks as well */
		if (n)
			assert_int_equal(heap_top(&h)->key, smallest);
		else
			assert_null(heap_top(&h));
	}
	heap_fini(&h);
	assert_int_equal(h.n, 0);
}

static void test_sorts(void **state)
{
	(void)state;
	struct heap h = {0};
	struct heap_node node[NODES] = {{0}};
	int64_t last = INT64_MIN;
	for (int i = 0; i < NODES; i++)
		heap_add(&h, &node[i], (int64_t)rand_next());
	for (int i = 0; i < NODES; i++) {
		struct heap_node *e = heap_top(&h);
		assert_true(e->key >= last);
		last = e->key;
		heap_remove(&h, e);
		assert_false(heap_has(e));
		heap_remove(&h, e); /* a second time is nothing */
	}
	assert_null(heap_top(&h));
	heap_fini(&h);
}

int main(void)
{
	rand_begin();
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_against_an_array),
					   cmocka_unit_test(test_sorts)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
