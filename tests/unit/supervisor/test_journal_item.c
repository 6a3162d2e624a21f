/* SPDX-License-Identifier: Apache-2.0
 * Which capabilities a batch grants. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/attr.h"
#include "common/clock.h"
#include "common/crypto.h"
#include "supervisor/caps.h"
#include "supervisor/children.h"
#include "supervisor/journal_item.h"
#include "supervisor/sup.h"

static struct sup sup;
static struct child worker;
static struct list items;
static struct uuid former;

static int setup(void **state)
{
	(void)state;
	memset(&sup, 0, sizeof sup);
	memset(&worker, 0, sizeof worker);
	list_init(&sup.children);
	list_init(&items);
	former = uuid7_new();
	worker.sup = &sup;
	worker.role = ROLE_WORKER;
	worker.ordinal = 3;
	worker.incarnation = uuid7_new();
	worker.caps = map_new();
	list_push(&sup.children, &worker.node);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	size_t it = 0;
	void *cap;
	while (map_next(worker.caps, &it, NULL, &cap))
		free(cap);
	map_free(worker.caps);
	return 0;
}

static void add(struct item *it, struct uuid life, int64_t tenant)
{
	memset(it, 0, sizeof *it);
	it->worker = worker.ordinal;
	it->worker_life = life;
	it->tenant = tenant;
	it->cap = *cap_get(&worker, tenant);
	list_push(&items, &it->node);
}

/* Elements of the array parameter: the count stands behind dimensions, flags and type. */
static unsigned elements(const struct pg_params *p, int i)
{
	const uint8_t *at = (const uint8_t *)p->buf.p + p->item[i].at;
	if (p->item[i].len == 12) /* no dimension: empty */
		return 0;
	return (unsigned)at[12] << 24 | (unsigned)at[13] << 16 | (unsigned)at[14] << 8 |
	       at[15];
}

static void expect_grants(unsigned want)
{
	struct pg_params p;
	pg_params_init(&p);
	assert_int_equal(item_mark_grants(&sup, &items), want);
	item_put_grants(&p, &sup, &items);
	assert_int_equal(p.count, 4);
	for (int i = 1; i < 4; i++)
		assert_int_equal(elements(&p, i), want);
	pg_params_fini(&p);
}

static void test_once_a_tenant(void **state)
{
	(void)state;
	struct item a, b, c;
	add(&a, worker.incarnation, 1);
	add(&b, worker.incarnation, 1);
	add(&c, worker.incarnation, 2);
	expect_grants(2);
	expect_grants(2); /* sending is not having */
	cap_get(&worker, 1)->granted_us = clock_boot_us();
	expect_grants(1);
	/* Half of its life is over. */
	cap_get(&worker, 1)->granted_us -= 13 * 3600 * 1000000ll;
	expect_grants(2);
}

/* A commit that was under way when its worker died goes again, in front of those of the
 * next life: it must not stand in their way. */
static void test_a_former_life_hides_nothing(void **state)
{
	(void)state;
	struct item a, b;
	add(&a, former, 1);
	expect_grants(0);
	add(&b, worker.incarnation, 1);
	expect_grants(1);
}

/* A busy tenant's batches land all the time; only the one that carried its grant renews
 * it. */
static void test_only_what_was_sent_is_granted(void **state)
{
	(void)state;
	struct item a, b, c;
	int64_t now_us = clock_boot_us(), hour_us = 3600 * 1000000ll;
	add(&a, worker.incarnation, 1);
	add(&b, worker.incarnation, 2);
	add(&c, former, 3);
	cap_get(&worker, 1)->granted_us = now_us - 11 * hour_us;
	assert_int_equal(item_mark_grants(&sup, &items), 1);
	item_note_grants(&sup, &items, now_us);
	assert_int_equal(cap_get(&worker, 1)->granted_us, now_us - 11 * hour_us);
	assert_int_equal(cap_get(&worker, 2)->granted_us, now_us);
	assert_int_equal(cap_get(&worker, 3)->granted_us, 0);
	cap_get(&worker, 1)->granted_us -= 2 * hour_us; /* two hours later */
	assert_int_equal(item_mark_grants(&sup, &items), 1);
	worker.incarnation = uuid7_new(); /* and the worker died before it landed */
	item_note_grants(&sup, &items, now_us);
	assert_int_equal(cap_get(&worker, 1)->granted_us, now_us - 13 * hour_us);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_once_a_tenant, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_former_life_hides_nothing, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_only_what_was_sent_is_granted, setup,
						teardown),
	};
	crypto_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
