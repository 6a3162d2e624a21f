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
#include "supervisor/workers.h"

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

int64_t sup_db_now_us(const struct sup *s)
{
	return clock_boot_us() + s->db_offset_us;
}

int64_t sup_next_order_us(struct sup *s, int64_t now_us)
{
	s->last_order_us = now_us > s->last_order_us ? now_us : s->last_order_us + 1;
	return s->last_order_us;
}

/* The tick's time moved to the earliest of what is due. */
static void aim_tick(struct sup *s)
{
	int64_t due_us = lq_stats(s->lq).next_due_us;
	if (!due_us || !s->tick)
		return;
	if (loop_timer_is_running(s->tick) && s->tick_us <= due_us)
		return;
	int64_t delay_us = due_us - sup_db_now_us(s);
	s->tick_us = due_us;
	loop_timer_start(s->tick, delay_us > 0 ? delay_us : 0);
}

void sup_step(struct sup *s, const struct lq_event *e)
{
	lq_step(s->lq, e);
	aim_tick(s);
}

void sup_release(struct sup *s)
{
	if (s->lease_held && !s->loading && s->state <= SUP_SERVING)
		sup_step(s, &(struct lq_event){.kind = LQ_RELEASE});
}

void sup_set_clock(struct sup *s, int64_t db_offset_us)
{
	s->db_offset_us = db_offset_us;
	loop_timer_stop(s->tick);
	aim_tick(s);
}

bool sup_is_accepting(const struct sup *s, const char **why)
{
	const char *reason = NULL;
	if (s->state >= SUP_DRAINING)
		reason = "this node is shutting down";
	else if (!s->lease_held)
		reason =
			"this node's lease on the database is not confirmed; nothing was "
			"accepted, try again";
	else if (!journal_is_up(s->journal))
		reason = "the database is away; nothing was accepted, try again";
	else if (pace_is_slow(&s->pace, clock_mono_us()))
		reason = "the database takes over 500 ms a commit; nothing was accepted, "
			 "try again";
	else if (pace_is_stalled(&s->pace, clock_mono_us()))
		reason = "the database has not answered a commit for 2 s; nothing was "
			 "accepted, try again";
	else if (journal_is_full(s->journal))
		reason = "too many messages wait for the database; nothing was accepted, "
			 "try again";
	if (why)
		*why = reason;
	return !reason;
}

/* The edges that serve nobody now, a bit each. */
static uint32_t absent_edges(const struct sup *s)
{
	uint32_t absent = 0;
	list_each (n, &s->children) {
		const struct child *c = list_entry(n, struct child, node);
		if (c->role == ROLE_EDGE && !child_serves(c))
			absent |= 1u << c->ordinal;
	}
	return absent;
}

/* `why` of what it says stays borrowed. */
static struct wire_node_state node_state(const struct sup *s)
{
	const char *why;
	struct wire_node_state m = {.accepting = sup_is_accepting(s, &why),
				    .doors = absent_edges(s)};
	m.why = slice_str(why ? why : "");
	m.sandbox = slice_str(s->sandbox_known ? sandbox_word(&s->sandbox) : "");
	return m;
}

void sup_tell_edges_all(struct sup *s)
{
	struct wire_node_state m = node_state(s);
	s->told_accepting = m.accepting;
	list_each (n, &s->children) {
		struct child *c = list_entry(n, struct child, node);
		if (c->role == ROLE_EDGE && child_serves(c))
			child_send(c, WIRE_NODE_STATE, &m);
	}
}

void sup_tell_edges(struct sup *s, struct child *child)
{
	struct wire_node_state m = node_state(s);
	if (child)
		child_send(child, WIRE_NODE_STATE, &m);
	else if (m.accepting != s->told_accepting)
		sup_tell_edges_all(s);
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
	log_info("node-ready",
		 "listen=\"%s\" edges=%ld workers=%ld model=%s seconds=%.2f",
		 s->config.listen, s->config.edges, s->config.workers, s->model,
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
}

static void look_at_drain(struct sup *s)
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
	sup_step(s, &(struct lq_event){.kind = LQ_HOLD});
	sup_tell_edges(s, NULL);
	children_drain(s, ROLE_EDGE, (unsigned)s->config.drain_seconds * 1000);
	loop_timer_start(s->drain_limit, (int64_t)s->config.drain_seconds * 1000000);
}

void sup_look(void *sup)
{
	struct sup *s = sup;
	workers_look(s);
	if (s->state >= SUP_DRAINING)
		look_at_drain(s);
}
