/* SPDX-License-Identifier: Apache-2.0
 * What people are told of parked lanes (parked.h). */
#include "common/clock.h"
#include "common/map.h"
#include "common/pg/error.h"
#include "supervisor/journal_state.h"

bool journal_lane_waits(const struct journal *j, enum flow_kind kind, int64_t tenant,
			struct uuid session, struct journal_wait *out)
{
	const struct parked_lane *l = parked_find(&j->flow[kind].parked, tenant, session);
	if (!l)
		return false;
	int64_t due_us = parked_due_us(l), now_us = clock_mono_us();
	*out = (struct journal_wait){.tries = l->tries,
				     .sqlstate = l->sqlstate,
				     .message = l->message,
				     .due_in_us = due_us > now_us ? due_us - now_us : 0,
				     .held = pg_error_kind(l->sqlstate) == PG_ERROR_LOCK,
				     .pausing = l->refusals >= JOURNAL_REFUSALS_MOST};
	return true;
}

/* A lane may wait with both. */
unsigned journal_parked_lanes(const struct journal *j)
{
	const struct parked *messages = &j->flow[FLOW_ENQUEUE].parked;
	const struct parked *claims = &j->flow[FLOW_CLAIM].parked;
	unsigned n = parked_count(claims);
	void *v;
	for (size_t at = 0; map_next(messages->lanes, &at, NULL, &v);) {
		const struct parked_lane *l = v;
		n += !parked_find(claims, l->tenant, l->session);
	}
	return n;
}
