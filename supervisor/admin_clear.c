/* SPDX-License-Identifier: Apache-2.0
 * lane.clear: the end of all runs of a lane that never started. */
#include <stdio.h>

#include "common/alloc.h"
#include "supervisor/admin_ask.h"
#include "supervisor/admin_commands.h"
#include "supervisor/admin_db.h"
#include "supervisor/admin_names.h"
#include "supervisor/control.h"
#include "supervisor/sql.h"
#include "supervisor/sup.h"

#define CLEAR_MOST 1000

struct clearing {
	unsigned under_way, cancelled, failed;
	bool more; /* than CLEAR_MOST */
	enum err err;
	char message[256]; /* of the first failure */
};

static void finish(struct ask *a)
{
	struct clearing *c = a->work;
	if (!c->cancelled && c->failed) {
		ask_fail(a, c->err, "%s", c->message);
		return;
	}
	struct json_out *o = ask_reply(a);
	json_kv_i64(o, "cancelled", c->cancelled);
	if (c->failed) {
		json_kv_i64(o, "failed", c->failed);
		json_kv_cstr(o, "why", c->message);
	}
	if (c->more)
		json_kv_bool(o, "more", true);
	ask_end(a);
}

static void one_less(struct ask *a)
{
	struct clearing *c = a->work;
	if (--c->under_way == 0 && !ask_is_over(a))
		finish(a);
	ask_release(a);
}

static void on_cancelled(void *arg, const struct control_answer *answer)
{
	struct ask *a = arg;
	struct clearing *c = a->work;
	if (!answer->err) {
		c->cancelled++;
	} else if (answer->err != ERR_CONFLICT && answer->err != ERR_NOT_FOUND) {
		/* Those two ended meanwhile, by themselves. */
		if (!c->failed++)
			snprintf(c->message, sizeof c->message, "%s",
				 answer->message ? answer->message
						 : err_text(answer->err));
		c->err = answer->err;
	}
	one_less(a);
}

/* Whether it is still what Postgres said: neither started nor about to. */
static bool waits(const struct lq_run *r)
{
	enum lq_state s = r ? lq_run_state(r) : LQ_S_RUNNING;
	return s == LQ_S_WAITING || s == LQ_S_DELAYED || s == LQ_S_FOLDED;
}

static void on_unstarted(struct ask *a, const struct pg_result *r)
{
	struct clearing *c = a->work = xcalloc(1, sizeof *c);
	int rows = pg_rows(r);
	c->more = rows > CLEAR_MOST;
	c->under_way = 1; /* this function */
	ask_hold(a);
	for (int i = rows < CLEAR_MOST ? rows : CLEAR_MOST; i-- > 0;) {
		/* The last one first, so that none of them starts in between. */
		struct uuid run = pg_get_uuid(r, i, 0);
		if (!waits(lq_find(a->sup->lq, run)))
			continue;
		c->under_way++;
		ask_hold(a);
		control_cancel(a->sup, a->names.tenant, run, a->by, on_cancelled, a);
	}
	one_less(a);
}

static void clear_lane(struct ask *a)
{
	char id[UUID_TEXT_LEN + 1];
	uuid_format(a->names.session, id);
	ask_audit(a, a->names.tenant, "session:%s", id);
	struct pg_params *p = admin_db_query(a, SQL_ADMIN_UNSTARTED);
	pg_i64(p, a->names.tenant);
	pg_uuid(p, a->names.session);
	pg_i64(p, CLEAR_MOST + 1);
	admin_db_send(a, on_unstarted);
}

void admin_lane_clear(struct ask *a)
{
	names_find(a, NAMES_SESSION, clear_lane);
}
