/* SPDX-License-Identifier: Apache-2.0
 * Of test_admin.c: a journal that did not get a row of a lane taken, and what people read
 * of that. */
#ifndef TB_TEST_ADMIN_PARKED_H
#define TB_TEST_ADMIN_PARKED_H

#include "supervisor/journal.h"
#include "supervisor/lq.h"

/* tries 0: the lane is not parked. */
static struct journal_wait parked_wait;
static enum flow_kind parked_kind;
static struct uuid parked_session;

unsigned journal_parked_lanes(const struct journal *j)
{
	(void)j;
	return 2;
}
bool journal_lane_waits(const struct journal *j, enum flow_kind kind, int64_t tenant,
			struct uuid session, struct journal_wait *out)
{
	(void)j;
	*out = parked_wait;
	return parked_wait.tries && kind == parked_kind && tenant == 1 &&
	       uuid_eq(session, parked_session);
}

#define REFUSED "the database refused "
#define HELD "another transaction in the database holds its session and stops "
#define TRIES ": no (55P03), 3 times so far; it"
static const struct {
	enum lq_state state;
	enum lq_why lq;
	bool held, pausing;
	const char *why, *sentence;
} parked_cases[] = {
	{LQ_S_CLAIMING, LQ_WHY_RUNS, 0, 0, "refused",
	 REFUSED "its start" TRIES " is tried again"},
	{LQ_S_CLAIMING, LQ_WHY_RUNS, 0, 1, "refused",
	 REFUSED "its start" TRIES "s session is being paused"},
	{LQ_S_CLAIMING, LQ_WHY_RUNS, 1, 0, "locked",
	 HELD "its start" TRIES " is tried again"},
	{LQ_S_ENQUEUEING, LQ_WHY_COMMITTING, 1, 0, "locked",
	 HELD "its acceptance" TRIES " is tried again"},
	{LQ_S_WAITING, LQ_WHY_LANE_BUSY, 0, 0, "lane_busy",
	 "another run of its session goes first: " REFUSED "the start of that one" TRIES
	 " is tried again"},
	{LQ_S_WAITING, LQ_WHY_LANE_PAUSED, 0, 0, "lane_paused",
	 "its session is paused: lane.resume ends that"},
	{LQ_S_RUNNING, LQ_WHY_RUNS, 0, 0, "runs",
	 "it runs, or its start is being committed"},
};

#endif
