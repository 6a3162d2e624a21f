/* SPDX-License-Identifier: Apache-2.0
 * The bodies that wait for a commit are counted and bounded. No database: nothing is ever
 * sent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/crypto.h"
#include "common/log.h"
#include "common/loop.h"
#include "proto/limits.h"
#include "supervisor/children.h"
#include "supervisor/journal.h"
#include "supervisor/sup.h"

#define BODY_BYTES (1u << 20)

static struct sup sup;
static struct child edge;
static struct wire_enqueue message;

static void on_action(void *ctx, const struct lq_action *a)
{
	(void)ctx;
	if (a->kind == LQ_DO_ENQUEUE)
		journal_enqueue(sup.journal, a, &edge, &message, 1);
}

static void enqueue(void)
{
	struct lq_item it = {.run = uuid7_new(),
			     .session = uuid7_new(),
			     .agent = uuid7_new(),
			     .tenant = 1,
			     .mode = MODE_FOLLOWUP,
			     .order_us = 1,
			     .tenant_max_running = 10,
			     .tenant_max_queued = 10000};
	lq_step(sup.lq, &(struct lq_event){.kind = LQ_ENQUEUE, .item = &it, .now_us = 1});
}

static void test_full(void **state)
{
	(void)state;
	struct lq_limits limits = {
		.node_running = 10, .node_waiting = 10000, .worker_running = 10};
	char *body = calloc(1, BODY_BYTES);
	list_init(&sup.children);
	sup.loop = loop_new();
	sup.lq = lq_new(&limits, on_action, NULL);
	sup.journal = journal_new(&sup, "host=/nowhere");
	message.body = slice_of(body, BODY_BYTES);
	message.mode = MODE_FOLLOWUP;
	for (unsigned i = 0; i < LIMIT_JOURNAL_BYTES / BODY_BYTES; i++) {
		assert_false(journal_is_full(sup.journal));
		assert_int_equal(journal_pending(sup.journal), i);
		enqueue();
	}
	assert_true(journal_is_full(sup.journal));
	journal_free(sup.journal);
	lq_free(sup.lq);
	loop_turn(sup.loop, 0);
	loop_free(sup.loop);
	free(body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_full)};
	crypto_init();
	log_init("test", LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
