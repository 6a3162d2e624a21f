/* SPDX-License-Identifier: Apache-2.0
 * Rows of the queue's table into the lane queue. */
#include "supervisor/load.h"

#include "common/die.h"
#include "common/loop.h"
#include "common/pg/row.h"
#include "supervisor/sql.h"
#include "supervisor/sup.h"

#define PAGE_ROWS 5000 /* as SQL_LOAD says */
#define AGAIN_US 300000

static struct {
	load_done *done;
	int rows;
	int64_t tenant; /* the last row of the pages that came */
	struct uuid run;
	struct loop_timer *again;
} load;

static void load_page(void *sup);

static struct lq_item item_at(const struct pg_result *r, int row)
{
	return (struct lq_item){
		.tenant = pg_get_i64(r, row, 0),
		.run = pg_get_uuid(r, row, 1),
		.session = pg_get_uuid(r, row, 2),
		.slot = (uint32_t)pg_get_i64(r, row, 3),
		.priority = (int)pg_get_i64(r, row, 4),
		.order_us = pg_get_i64(r, row, 5),
		/* a cancelled one has nothing to wait for */
		.run_at_us = pg_get_bool(r, row, 19) ? 0 : pg_get_time(r, row, 6),
		.lane_pos = pg_get_i64(r, row, 7),
		.ran = pg_get_bool(r, row, 8),
		.tenant_max_running = (uint32_t)pg_get_i64(r, row, 9),
		.tenant_max_queued = (uint32_t)pg_get_i64(r, row, 10),
		.tenant_weight = (uint32_t)pg_get_i64(r, row, 11),
		.agent = pg_get_uuid(r, row, 12),
		.mode = (enum run_mode)mode_from_word(pg_get_text(r, row, 13)),
		.deadline_us = pg_get_time(r, row, 14),
		.retrying = slice_is(pg_get_text(r, row, 15), "retry_wait"),
		.asking = slice_is(pg_get_text(r, row, 15), "waiting"),
		.folded = pg_get_bool(r, row, 16),
		.crashes = (uint32_t)pg_get_i64(r, row, 17),
		.agent_max_running = (uint32_t)pg_get_i64(r, row, 18)};
}

static void load_row(struct sup *s, const struct pg_result *r, int row)
{
	struct lq_item it = item_at(r, row);
	if (it.order_us > s->last_order_us)
		s->last_order_us = it.order_us;
	if (lq_find(s->lq, it.run))
		return;
	if (!it.mode)
		it.mode = (enum run_mode)job_from_word(pg_get_text(r, row, 13));
	if (!it.mode)
		it.mode = MODE_FOLLOWUP;
	sup_step(s, &(struct lq_event){
			    .kind = LQ_LOADED, .item = &it, .now_us = sup_db_now_us(s)});
	load.rows++;
}

static void on_page(void *arg, const struct pg_answer *a)
{
	struct sup *s = arg;
	if (a->err == ERR_CANCELLED)
		return;
	if (a->err) { /* what it had may be older than all that is known of its lane */
		load.done(s, load.rows, a->message);
		loop_timer_start(load.again, AGAIN_US);
		return;
	}
	const struct pg_result *r = a->results[0];
	int rows = pg_rows(r);
	for (int i = 0; i < rows; i++)
		load_row(s, r, i);
	if (rows == PAGE_ROWS) {
		load.tenant = pg_get_i64(r, rows - 1, 0);
		load.run = pg_get_uuid(r, rows - 1, 1);
		load_page(s);
		return;
	}
	s->loading = false;
	loop_timer_free(load.again);
	load.done(s, load.rows, NULL);
}

static void load_page(void *sup)
{
	struct sup *s = sup;
	struct pg_request *r = pg_begin(s->lease);
	struct pg_params *p = pg_add(r, SQL_LOAD);
	pg_i64(p, load.tenant);
	pg_uuid(p, load.run);
	pg_submit(r, PG_ANY, 0, on_page, s);
}

void load_queue(struct sup *s, load_done *done)
{
	check(!s->loading);
	s->loading = true;
	load.done = done;
	load.rows = 0;
	load.tenant = INT64_MIN;
	load.run = (struct uuid){{0}};
	load.again = loop_timer_new(s->loop, load_page, s);
	sup_step(s, &(struct lq_event){.kind = LQ_HOLD});
	load_page(s);
}
