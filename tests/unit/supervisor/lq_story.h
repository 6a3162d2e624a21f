/* SPDX-License-Identifier: Apache-2.0
 * A lane queue to tell small stories with: two workers, slots by parity, the actions of
 * the last step. */
#ifndef TB_TEST_LQ_STORY_H
#define TB_TEST_LQ_STORY_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "common/attr.h"
#include "common/crypto.h"
#include "common/ident.h"
#include "supervisor/lq.h"

#define SECOND 1000000LL
#define MANY 4096

static struct lq *q;
static struct lq_action done[MANY]; /* of the last step */
static int done_n;
static int64_t order_us, lane_pos;
static int16_t slots[LIMIT_SLOTS];

static void act(void *ctx, const struct lq_action *a)
{
	(void)ctx;
	assert_true(done_n < MANY);
	done[done_n++] = *a;
}

static void step(struct lq_event e)
{
	done_n = 0;
	lq_step(q, &e);
}

UNUSED static void begin(uint32_t node, uint32_t worker)
{
	struct lq_limits limits = {
		.node_running = node, .node_waiting = 1000000, .worker_running = worker};
	q = lq_new(&limits, act, NULL);
	order_us = 1000 * SECOND;
	lane_pos = 0;
	memset(slots, 0, sizeof slots); /* all to worker 0, but the odd ones to 1 */
	for (unsigned s = 1; s < LIMIT_SLOTS; s += 2)
		slots[s] = 1;
	step((struct lq_event){.kind = LQ_SLOTS, .slots = slots});
	step((struct lq_event){.kind = LQ_WORKER_UP, .worker = 0});
	step((struct lq_event){.kind = LQ_WORKER_UP, .worker = 1});
}

UNUSED static struct lq_item item(int64_t tenant, uint32_t lane)
{
	struct lq_item it = {.run = uuid7_new(),
			     .agent = {{7}},
			     .tenant = tenant,
			     .mode = MODE_FOLLOWUP,
			     .order_us = order_us += 1000,
			     .tenant_max_running = 1000,
			     .tenant_max_queued = 1000000,
			     .tenant_weight = 1,
			     .drop = DROP_REJECT};
	memcpy(it.session.b, &lane, 4);
	memcpy(it.session.b + 8, &tenant, 8);
	return it;
}

UNUSED static struct lq_item item_of_mode(enum run_mode mode)
{
	struct lq_item it = item(1, 1);
	it.mode = mode;
	return it;
}

/* The answer: DO_ENQUEUE or DO_REFUSE. */
UNUSED static struct lq_action enqueue(struct lq_item it)
{
	step((struct lq_event){.kind = LQ_ENQUEUE, .item = &it, .now_us = it.order_us});
	assert_true(done_n >= 1);
	return done[0];
}

UNUSED static void committed(const struct lq_action *a)
{
	step((struct lq_event){.kind = LQ_COMMITTED,
			       .run = a->run,
			       .lane_pos = ++lane_pos,
			       .started = a->worker != LQ_NO_WORKER});
}

UNUSED static struct lq_run *accept_run(struct lq_item it)
{
	struct lq_action a = enqueue(it);
	assert_int_equal(a.kind, LQ_DO_ENQUEUE);
	committed(&a);
	return a.run;
}

UNUSED static struct lq_run *load_run(struct lq_item it)
{
	it.lane_pos = ++lane_pos;
	step((struct lq_event){.kind = LQ_LOADED, .item = &it, .now_us = order_us});
	return lq_find(q, it.run);
}

/* An event about a run and nothing else. */
UNUSED static void tell(enum lq_event_kind kind, struct lq_run *r)
{
	step((struct lq_event){.kind = kind, .run = r});
}

UNUSED static void tick(int64_t now_us)
{
	step((struct lq_event){.kind = LQ_TICK, .now_us = now_us});
}

UNUSED static void worker(enum lq_event_kind kind, int w)
{
	step((struct lq_event){.kind = kind, .worker = w});
}

UNUSED static void assert_quiet(void)
{
	assert_int_equal(done_n, 0);
}

/* The last step did this and nothing else. */
UNUSED static void assert_did(enum lq_action_kind kind, const struct lq_run *r)
{
	assert_int_equal(done_n, 1);
	assert_int_equal(done[0].kind, kind);
	assert_ptr_equal(done[0].run, r);
}

UNUSED static void assert_state(const struct lq_run *r, enum lq_state s)
{
	assert_string_equal(lq_state_word(lq_run_state(r)), lq_state_word(s));
}

UNUSED static void claimed(struct lq_run *r)
{
	tell(LQ_CLAIMED, r);
	assert_did(LQ_DO_START, r);
}

#endif
