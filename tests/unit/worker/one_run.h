/* SPDX-License-Identifier: Apache-2.0
 * One run in the world, and what most of its tests do with it. */
#ifndef TB_TEST_ONE_RUN_H
#define TB_TEST_ONE_RUN_H

#include "tests/unit/worker/world.h"

static struct life *l;

UNUSED static int setup(void **state)
{
	(void)state;
	loop = loop_new();
	world_begin();
	l = life_new();
	return 0;
}

UNUSED static int teardown(void **state)
{
	(void)state;
	life_kill(l);
	world_begin();
	loop_free(loop);
	return 0;
}

UNUSED static void restart_world(void)
{
	teardown(NULL);
	setup(NULL);
}

/* Another worker takes over. */
UNUSED static void next_life(struct wire_run_start m)
{
	life_kill(l);
	l = life_new();
	start(l, m);
}

UNUSED static void start_plain(void)
{
	start(l, (struct wire_run_start){0});
	load(l); /* the agent */
}

UNUSED static void expect_end(enum run_result result, const char *code, const char *heard)
{
	assert_true(was_let_go(l));
	assert_string_equal(l->heard, heard);
	assert_int_equal(db.result, result);
	assert_string_equal(db.code, code);
	check_end();
}

UNUSED static void steer(void)
{
	wait_in_lane(TAKE_STEER);
	run_steer(l->run);
	turn();
}

UNUSED static const char *row_states(void)
{
	static char out[200];
	out[0] = 0;
	for (size_t i = 0; i < db.row_count; i++)
		snprintf(out + strlen(out), sizeof out - strlen(out), "%s%s",
			 i ? " " : "", db.rows[i].state);
	return out;
}

/* The model writes the summary, in as many parts as are asked for. */
UNUSED static void summarise(void)
{
	assert_true(l->side);
	while (l->asked && l->side)
		answer_text(l, "what was");
}

/* The model calls, and the results are stored. */
UNUSED static void work(const char *kinds)
{
	answer_calls(l, kinds);
	while (l->run->step == STEP_TOOLS || l->run->step == STEP_SETTLED)
		if (l->call)
			tool_ends(l);
		else
			land(l);
}

/* A run's context is full: it says so. */
UNUSED static void fill_up(void)
{
	agent_config = "{\"contextWindow\":3000}";
	calls_differ = true;
	start_plain();
	while (l->run->step != STEP_COMPACT)
		work("ppp");
	assert_true(slice_find(l->flying->events[0].stored, SLICE("compacting")) >= 0);
}

/* The i-th place of it: that it begins is being stored; the model writes the summary;
 * that is being stored; the rest is read again. */
UNUSED static void in_compaction(int place)
{
	fill_up();
	if (place >= 1)
		land(l);
	if (place >= 2)
		summarise();
	if (place >= 3)
		land(l);
}

#endif
