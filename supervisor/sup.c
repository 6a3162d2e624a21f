/* SPDX-License-Identifier: Apache-2.0
 * The supervisor's own life: start, serve, drain, stop. */
#include "supervisor/sup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/clock.h"
#include "common/die.h"
#include "common/log.h"
#include "common/loop.h"
#include "supervisor/admin.h"
#include "supervisor/children.h"
#include "supervisor/journal.h"
#include "supervisor/placement.h"
#include "supervisor/sup.h"

#define STOP_LIMIT_US 5000000

char *sup_conninfo(const struct sup *s, const char *role)
{
	char path[4200], text[2048];
	snprintf(path, sizeof path, "%s/secrets/%s", s->config.state_dir, role);
	AUTO(auto_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		fatal("%s cannot be read (%s): run 'terabitsctl migrate' first, or set "
		      "TERABITS_STATE_DIR",
		      path, strerror(errno));
	ssize_t n = read(fd, text, sizeof text - 1);
	if (n <= 0)
		fatal("%s is empty: run 'terabitsctl migrate'", path);
	text[n] = 0;
	text[strcspn(text, "\r\n")] = 0;
	return xstrdup(text);
}

void sup_step(struct sup *s, const struct lq_event *e)
{
	lq_step(s->lq, e);
	struct lq_stats q = lq_stats(s->lq);
	if (q.next_due_us && s->tick && !loop_timer_is_running(s->tick))
		loop_timer_start(s->tick, q.next_due_us - clock_real_us());
}

void sup_place(struct sup *s)
{
	int16_t slots[LIMIT_SLOTS];
	int ready[LQ_MAX_WORKERS], n = 0;
	list_each (at, &s->children) {
		struct child *c = list_entry(at, struct child, node);
		if (c->role == ROLE_WORKER && c->state == LIFE_READY)
			ready[n++] = c->ordinal;
	}
	placement_compute(ready, n, slots);
	sup_step(s, &(struct lq_event){.kind = LQ_SLOTS, .slots = slots});
}

void sup_serve(struct sup *s)
{
	bool all_ready = true;
	if (s->state != SUP_STARTING)
		return;
	children_start(s);
	list_each (n, &s->children)
		all_ready &= list_entry(n, struct child, node)->state == LIFE_READY;
	if (!all_ready)
		return;
	s->state = SUP_SERVING;
	log_info("node-ready", "url=http://%s workers=%ld model=%s seconds=%.2f",
		 s->config.listen, s->config.workers, s->model,
		 (double)(loop_now_us(s->loop) - s->started_us) / 1e6);
}

/* ---- drain: no new work -> running runs end -> workers, then edges -> this node's row
 * -> out */

static void on_node_stopped(void *arg)
{
	loop_stop(((struct sup *)arg)->loop);
}

static void stop_children(struct sup *s)
{
	if (s->state == SUP_STOPPING)
		return;
	s->state = SUP_STOPPING;
	log_info("node-stopping", "running=%u", lq_stats(s->lq).running);
	children_close(s, ROLE_WORKER);
	children_close(s, ROLE_EDGE);
	loop_timer_start(s->drain_limit, STOP_LIMIT_US);
	sup_drain_check(s);
}

void sup_drain_check(struct sup *s)
{
	static bool told;
	if (s->state == SUP_DRAINING && lq_stats(s->lq).running == 0 &&
	    journal_pending(s->journal) == 0)
		stop_children(s);
	if (s->state == SUP_STOPPING && children_alive(s) == 0 && !told) {
		told = true;
		journal_stop(s->journal, on_node_stopped, s);
	}
}

void sup_drain(struct sup *s)
{
	if (s->state >= SUP_DRAINING) { /* asked twice: now */
		stop_children(s);
		children_kill(s);
		return;
	}
	s->state = SUP_DRAINING;
	log_info("node-draining", "running=%u limit_s=%ld", lq_stats(s->lq).running,
		 s->config.drain_seconds);
	sup_step(s, &(struct lq_event){.kind = LQ_PAUSE});
	children_drain(s, ROLE_EDGE, (unsigned)s->config.drain_seconds * 1000);
	loop_timer_start(s->drain_limit, (int64_t)s->config.drain_seconds * 1000000);
	sup_drain_check(s);
}
