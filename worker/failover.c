/* SPDX-License-Identifier: Apache-2.0
 * failover.tbl, asked. */
#include "worker/failover.h"

#include <stddef.h>

#include "common/attr.h"

enum inside { VAIN, AGAIN };
enum over { NONE, NEXT };
enum heat { WARM, COOLS };

static const struct row {
	enum err err;
	enum inside inside;
	enum over over;
	enum heat heat;
} rows[] = {
#define FAILOVER(ERROR, inside, over, heat) {ERR_##ERROR, inside, over, heat},
#include "worker/failover.tbl"
#undef FAILOVER
};

static struct row row_of(enum err e)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].err == e)
			return rows[i];
	return (struct row){.err = e, .inside = VAIN, .over = NONE};
}

bool failover_cools(enum err e)
{
	return row_of(e).heat == COOLS;
}

enum failover_move failover_decide(enum err e, const struct failover *f)
{
	struct row row = row_of(e);
	if (row.inside == AGAIN && f->retries < FAILOVER_RETRIES_MOST &&
	    f->retry_after_us <= FAILOVER_PAUSE_MOST_US)
		return FAILOVER_AGAIN;
	if (row.over == NEXT && f->has_next)
		return FAILOVER_NEXT;
	if (err_is_retryable(e) && f->attempt < f->max_attempts)
		return FAILOVER_POSTPONE;
	return FAILOVER_FAIL;
}
