/* SPDX-License-Identifier: Apache-2.0
 * Days of events, and keys. */
#include "supervisor/housekeeping.h"

#include "common/log.h"
#include "common/pg/pool.h"
#include "common/pg/row.h"
#include "supervisor/sql.h"
#include "supervisor/sup.h"

#define DAYS_AHEAD 2
#define DAYS_KEPT 3
#define KEYS_A_PIECE 2000 /* some ten milliseconds */
#define QUEUE_MS 10000

static void complain(const char *what, const struct pg_answer *a)
{
	if (a->err == ERR_DATABASE)
		log_warn("housekeeping-failed", "what=%s message=\"%s\"", what,
			 a->message);
}

static void on_rolled(void *arg, const struct pg_answer *a)
{
	(void)arg;
	complain("events", a);
}

void housekeeping_roll(struct sup *s)
{
	struct pg_request *r = pg_begin(s->lease);
	struct pg_params *p = pg_add(r, SQL_EVENTS_ROLL);
	pg_i32(p, DAYS_AHEAD);
	pg_i32(p, DAYS_KEPT);
	pg_submit(r, PG_ANY, QUEUE_MS, on_rolled, s);
}

static void on_piece(void *arg, const struct pg_answer *a)
{
	complain("keys", a);
	if (!a->err && pg_get_i64(a->results[0], 0, 0) == KEYS_A_PIECE)
		housekeeping_keys(arg);
}

void housekeeping_keys(struct sup *s)
{
	struct pg_request *r = pg_begin(s->lease);
	pg_i32(pg_add(r, SQL_KEYS_EXPIRE), KEYS_A_PIECE);
	pg_submit(r, PG_ANY, QUEUE_MS, on_piece, s);
}
