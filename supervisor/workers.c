/* SPDX-License-Identifier: Apache-2.0
 * Number, placement and leaving of workers. What follows from an event is done at the end
 * of the turn's steps: never inside a step of the lane queue or a link's message. */
#include "supervisor/workers.h"

#include <signal.h>
#include <string.h>

#include "common/alloc.h"
#include "common/attr.h"
#include "common/log.h"
#include "common/loop.h"
#include "supervisor/children.h"
#include "supervisor/placement.h"
#include "supervisor/sup.h"

#define LEAVE_LIMIT_US 60000000
#define END_LIMIT_US 2000000 /* from the end of its link to SIGKILL */
#define QUARANTINE_IDLE_US 60000000
#define NOBODY (-1)

struct workers {
	struct sup *sup;
	int target;
	int rolling; /* ordinal that restarts now, NOBODY: none */
	int16_t pins[LIMIT_SLOTS], slots[LIMIT_SLOTS];
	struct loop_timer *idle; /* of the quarantine worker */
	bool wants_quarantine;
};

static void on_idle(void *arg);

struct workers *workers_new(struct sup *s)
{
	struct workers *w = xcalloc(1, sizeof *w);
	w->sup = s;
	w->target = (int)s->config.workers;
	w->rolling = NOBODY;
	for (unsigned i = 0; i < LIMIT_SLOTS; i++)
		w->pins[i] = w->slots[i] = LQ_NO_WORKER;
	w->idle = loop_timer_new(s->loop, on_idle, w);
	return w;
}

/* ---- placement */

static bool owns_slots(const struct child *c)
{
	return c->role == ROLE_WORKER && c->state == LIFE_READY && !c->leave &&
	       c->ordinal != LQ_QUARANTINE;
}

void workers_place(struct sup *s)
{
	struct workers *w = s->workers;
	int ready[LQ_MAX_WORKERS], n = 0;
	bool is_ready[LQ_MAX_WORKERS] = {false};
	list_each (at, &s->children) {
		struct child *c = list_entry(at, struct child, node);
		if (!owns_slots(c))
			continue;
		ready[n++] = c->ordinal;
		is_ready[c->ordinal] = true;
	}
	placement_compute(ready, n, w->slots);
	for (unsigned i = 0; i < LIMIT_SLOTS; i++)
		if (w->pins[i] >= 0 && is_ready[w->pins[i]])
			w->slots[i] = w->pins[i];
	sup_step(s, &(struct lq_event){.kind = LQ_SLOTS, .slots = w->slots});
}

uint32_t workers_slots(const struct sup *s, int ordinal)
{
	uint32_t n = 0;
	for (unsigned i = 0; i < LIMIT_SLOTS; i++)
		n += s->workers->slots[i] == ordinal;
	return n;
}

enum err workers_pin(struct sup *s, unsigned slot, int ordinal)
{
	if (slot >= LIMIT_SLOTS)
		return ERR_BAD_REQUEST;
	if (ordinal >= 0 && (ordinal == LQ_QUARANTINE || !child_worker(s, ordinal)))
		return ERR_NOT_FOUND;
	s->workers->pins[slot] = (int16_t)(ordinal < 0 ? LQ_NO_WORKER : ordinal);
	workers_place(s);
	return ERR_OK;
}

int workers_pinned(const struct sup *s, unsigned slot)
{
	return slot < LIMIT_SLOTS ? s->workers->pins[slot] : LQ_NO_WORKER;
}

/* ---- leaving */

struct gather {
	struct sup *sup;
	int worker;
	struct lq_run *runs[256];
	unsigned count;
};

static bool add_active(void *ctx, const struct lq_lane_info *l)
{
	struct gather *g = ctx;
	if (l->active && lq_run_worker(l->active) == g->worker &&
	    lq_run_state(l->active) == LQ_S_RUNNING)
		g->runs[g->count++] = lq_find(g->sup->lq, lq_run_id(l->active));
	return g->count < ARRAY_LEN(g->runs);
}

/* What did not yield in time goes on elsewhere from its journal; the fence stops whatever
 * the old worker still writes. */
static void take_runs(struct child *c)
{
	struct gather g = {.sup = c->sup, .worker = c->ordinal};
	do {
		g.count = 0;
		lq_each_lane(c->sup->lq, add_active, &g);
		for (unsigned i = 0; i < g.count; i++)
			sup_step(c->sup,
				 &(struct lq_event){.kind = LQ_LOST, .run = g.runs[i]});
	} while (g.count == ARRAY_LEN(g.runs));
}

static void on_leave_limit(void *arg)
{
	struct child *c = arg;
	if (c->pid <= 0)
		return;
	if (!c->leave_forced) {
		c->leave_forced = true;
		log_warn("worker-leave-forced", "worker=%d runs=%u", c->ordinal,
			 lq_worker_running(c->sup->lq, c->ordinal));
		take_runs(c);
		child_close(c);
		loop_timer_start(c->leave_limit, END_LIMIT_US);
		return;
	}
	kill(c->pid, SIGKILL);
}

static void limit_leave(struct child *c, int64_t limit_us)
{
	if (!c->leave_limit)
		c->leave_limit = loop_timer_new(c->sup->loop, on_leave_limit, c);
	loop_timer_start(c->leave_limit, limit_us);
}

static void leave(struct child *c, enum child_leave how)
{
	c->leave = how;
	if (c->state != LIFE_READY) { /* nothing runs there */
		child_close(c);
		if (c->pid > 0)
			kill(c->pid, SIGKILL);
		else
			child_left(c);
		return;
	}
	log_info("worker-leaving", "worker=%d runs=%u then=%s", c->ordinal,
		 lq_worker_running(c->sup->lq, c->ordinal),
		 how == LEAVE_RESTART ? "restart" : "gone");
	c->leave_forced = false;
	limit_leave(c, LEAVE_LIMIT_US);
	workers_place(c->sup);
}

static bool is_worker(const struct child *c)
{
	return c->role == ROLE_WORKER && c->ordinal != LQ_QUARANTINE;
}

/* ---- what operators ask */

enum err workers_scale(struct sup *s, int n)
{
	if (n < 1 || n > WORKERS_MOST)
		return ERR_BAD_REQUEST;
	log_info("workers-scaled", "from=%d to=%d", s->workers->target, n);
	s->workers->target = n;
	for (int i = 0; i < n; i++) {
		struct child *c = child_worker(s, i);
		if (!c)
			children_add(s, i);
		else if (c->leave == LEAVE_GONE)
			c->leave = c->chan ? LEAVE_NOT : LEAVE_RESTART;
		if (c && !c->leave && c->leave_limit)
			loop_timer_stop(c->leave_limit);
	}
	list_each (at, &s->children) {
		struct child *c = list_entry(at, struct child, node);
		if (is_worker(c) && c->ordinal >= n && c->leave != LEAVE_GONE)
			leave(c, LEAVE_GONE);
	}
	workers_place(s);
	return ERR_OK;
}

/* READY, or on the way there for the first time: one that only crashes serves nobody. */
static bool is_of_use(const struct child *c)
{
	return is_worker(c) && !c->leave && (c->state == LIFE_READY || c->deaths == 0);
}

static bool others_stay(const struct sup *s, const struct child *but)
{
	list_each (at, &s->children) {
		const struct child *c = list_entry(at, struct child, node);
		if (c != but && is_of_use(c))
			return true;
	}
	return false;
}

enum err workers_drain(struct sup *s, int ordinal)
{
	struct child *c = child_worker(s, ordinal);
	if (!c || !is_worker(c))
		return ERR_NOT_FOUND;
	if (c->leave == LEAVE_GONE)
		return ERR_OK;
	if (!c->leave && !others_stay(s, c))
		return ERR_CONFLICT;
	leave(c, LEAVE_GONE);
	return ERR_OK;
}

enum err workers_restart(struct sup *s, int ordinal)
{
	if (ordinal < 0) {
		s->workers->rolling = 0;
		return ERR_OK;
	}
	struct child *c = child_worker(s, ordinal);
	if (!c || !is_worker(c))
		return ERR_NOT_FOUND;
	if (!c->leave)
		leave(c, LEAVE_RESTART);
	return ERR_OK;
}

int workers_target(const struct sup *s)
{
	return s->workers->target;
}

/* ---- what goes on */

void workers_quarantine(struct sup *s)
{
	s->workers->wants_quarantine = true;
}

static void open_quarantine(struct workers *w)
{
	struct child *c = child_worker(w->sup, LQ_QUARANTINE);
	w->wants_quarantine = false;
	if (w->sup->state > SUP_SERVING)
		return;
	if (!c)
		children_add(w->sup, LQ_QUARANTINE);
	else if (c->leave)
		c->leave = LEAVE_RESTART;
	loop_timer_start(w->idle, QUARANTINE_IDLE_US);
}

static void on_idle(void *arg)
{
	struct workers *w = arg;
	struct child *c = child_worker(w->sup, LQ_QUARANTINE);
	if (!c)
		return;
	if (lq_worker_running(w->sup->lq, LQ_QUARANTINE) || c->state != LIFE_READY) {
		loop_timer_start(w->idle, QUARANTINE_IDLE_US);
		return;
	}
	c->leave = LEAVE_GONE;
	sup_step(w->sup,
		 &(struct lq_event){.kind = LQ_WORKER_DOWN, .worker = LQ_QUARANTINE});
	child_close(c);
	c->leave_forced = true; /* it holds no run: what is left is its end */
	limit_leave(c, END_LIMIT_US);
}

/* A worker that leaves and has no run left is let go. */
static bool let_go(struct sup *s)
{
	bool leaving = false;
	list_each (at, &s->children) {
		struct child *c = list_entry(at, struct child, node);
		if (!is_worker(c) || !c->leave)
			continue;
		leaving = true;
		if (c->chan && lq_worker_running(s->lq, c->ordinal) == 0)
			child_close(c);
	}
	return leaving;
}

static bool all_ready(const struct sup *s)
{
	list_each (at, &s->children) {
		const struct child *c = list_entry(at, struct child, node);
		if (is_worker(c) && c->state != LIFE_READY)
			return false;
	}
	return true;
}

/* The next worker, in the order of their ordinals, when the one before is back. */
static void roll(struct workers *w)
{
	int next = WORKERS_MOST;
	struct child *c = NULL;
	list_each (at, &w->sup->children) {
		struct child *other = list_entry(at, struct child, node);
		if (!is_worker(other) || other->ordinal < w->rolling ||
		    other->ordinal >= next)
			continue;
		next = other->ordinal;
		c = other;
	}
	if (!c) {
		log_info("workers-restarted", "%s", "");
		w->rolling = NOBODY;
		return;
	}
	w->rolling = next + 1;
	leave(c, LEAVE_RESTART);
	let_go(w->sup);
}

void workers_look(struct sup *s)
{
	struct workers *w = s->workers;
	if (w->wants_quarantine)
		open_quarantine(w);
	bool leaving = let_go(s);
	if (w->rolling != NOBODY && !leaving && all_ready(s) && s->state == SUP_SERVING)
		roll(w);
}
