/* SPDX-License-Identifier: Apache-2.0
 * The event loop on libevent. Handles are reaped at the turn's end, so a callback that
 * was already collected for a freed handle finds it marked and does nothing. */
#include "common/loop.h"

#include <event2/event.h>
#include <stdlib.h>
#include <sys/time.h>

#include "common/alloc.h"
#include "common/clock.h"
#include "common/die.h"

struct loop_fd {
	struct loop *loop;
	struct event *ev;
	loop_fd_fn *fn;
	void *arg;
	int fd, what;
	bool dead;
};

struct loop_timer {
	struct loop *loop;
	struct event *ev;
	loop_timer_fn *fn;
	void *arg;
	bool dead;
};

struct signal_watch {
	struct signal_watch *next;
	struct event *ev;
	void (*fn)(void *arg, int signo);
	void *arg;
};

struct reap {
	struct reap *next;
	void (*fn)(void *p);
	void *p;
};

struct hook {
	void (*fn)(void *arg);
	void *arg;
};

struct loop {
	struct event_base *base;
	struct loop_task *ready, **ready_end;
	struct hook *hooks[LOOP_PHASES];
	int hook_count[LOOP_PHASES], hook_room[LOOP_PHASES];
	bool hooks_removed;
	struct reap *reaps, *spare;
	struct signal_watch *signals;
	int64_t now_us, worst_us;
	bool stopped, again;
};

struct loop *loop_new(void)
{
	struct loop *l = xcalloc(1, sizeof *l);
	struct event_config *config = event_config_new();
	/* Milliseconds are exact enough for every timer here, and cost one system call
	 * less a turn. */
	event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
	l->base = event_base_new_with_config(config);
	event_config_free(config);
	if (!l->base)
		fatal("the event loop cannot start: epoll is not there");
	l->ready_end = &l->ready;
	l->now_us = clock_mono_us();
	return l;
}

static void run_reaps(struct loop *l)
{
	while (l->reaps) {
		struct reap *r = l->reaps;
		l->reaps = r->next;
		r->fn(r->p);
		r->next = l->spare;
		l->spare = r;
	}
}

void loop_free(struct loop *l)
{
	run_reaps(l);
	while (l->spare) {
		struct reap *r = l->spare;
		l->spare = r->next;
		free(r);
	}
	while (l->signals) {
		struct signal_watch *s = l->signals;
		l->signals = s->next;
		event_free(s->ev);
		free(s);
	}
	event_base_free(l->base);
	for (int phase = 0; phase < LOOP_PHASES; phase++)
		free(l->hooks[phase]);
	free(l);
}

static void took(struct loop *l, int64_t since_us)
{
	int64_t us = clock_mono_us() - since_us;
	if (us > l->worst_us)
		l->worst_us = us;
}

static void run_tasks(struct loop *l)
{
	while (l->ready) {
		struct loop_task *t = l->ready;
		l->ready = t->next;
		if (!l->ready)
			l->ready_end = &l->ready;
		t->queued = false;
		t->next = NULL;
		t->fn(t->arg);
	}
}

/* A removed hook stays as an empty place until the turn's end, so that hooks may remove
 * each other. */
static void drop_removed_hooks(struct loop *l)
{
	if (!l->hooks_removed)
		return;
	l->hooks_removed = false;
	for (int phase = 0; phase < LOOP_PHASES; phase++) {
		int kept = 0;
		for (int i = 0; i < l->hook_count[phase]; i++)
			if (l->hooks[phase][i].fn)
				l->hooks[phase][kept++] = l->hooks[phase][i];
		l->hook_count[phase] = kept;
	}
}

static void run_hooks(struct loop *l)
{
	for (int phase = 0; phase < LOOP_PHASES; phase++)
		for (int i = 0; i < l->hook_count[phase]; i++)
			if (l->hooks[phase][i].fn)
				l->hooks[phase][i].fn(l->hooks[phase][i].arg);
	drop_removed_hooks(l);
}

static void finish_turn(struct loop *l)
{
	int64_t start_us = clock_mono_us();
	l->now_us = start_us;
	run_tasks(l);
	run_hooks(l);
	run_reaps(l);
	took(l, start_us);
}

static void collect(struct loop *l, int flags)
{
	if (l->again || l->ready)
		flags |= EVLOOP_NONBLOCK;
	l->again = false;
	event_base_loop(l->base, EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY | flags);
}

void loop_run(struct loop *l)
{
	l->stopped = false;
	finish_turn(l);
	while (!l->stopped) {
		collect(l, 0);
		finish_turn(l);
	}
}

static void on_turn_limit(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what, (void)arg; /* it only ended the wait */
}

void loop_turn(struct loop *l, int timeout_ms)
{
	struct event *limit = NULL;
	if (timeout_ms > 0) {
		struct timeval tv = {timeout_ms / 1000, timeout_ms % 1000 * 1000};
		limit = event_new(l->base, -1, 0, on_turn_limit, NULL);
		event_add(limit, &tv);
	}
	collect(l, timeout_ms > 0 ? 0 : EVLOOP_NONBLOCK);
	if (limit)
		event_free(limit);
	finish_turn(l);
}

void loop_stop(struct loop *l)
{
	l->stopped = true;
	l->again = true;
}

int64_t loop_now_us(const struct loop *l)
{
	return l->now_us;
}

void loop_again(struct loop *l)
{
	l->again = true;
}

int64_t loop_worst_us(struct loop *l)
{
	int64_t us = l->worst_us;
	l->worst_us = 0;
	return us;
}

struct event_base *loop_base(struct loop *l)
{
	return l->base;
}

/* ---- file descriptors */

static void on_fd(evutil_socket_t fd, short what, void *arg)
{
	struct loop_fd *f = arg;
	(void)fd;
	if (f->dead)
		return;
	int64_t start_us = clock_mono_us();
	int ready =
		((what & EV_READ) ? LOOP_READ : 0) | ((what & EV_WRITE) ? LOOP_WRITE : 0);
	f->loop->now_us = start_us;
	f->fn(f->arg, ready & f->what);
	took(f->loop, start_us);
}

static void arm(struct loop_fd *f)
{
	short what = EV_PERSIST;
	what |= (f->what & LOOP_READ) ? EV_READ : 0;
	what |= (f->what & LOOP_WRITE) ? EV_WRITE : 0;
	if (f->what == 0)
		return;
	if (event_assign(f->ev, f->loop->base, f->fd, what, on_fd, f) ||
	    event_add(f->ev, NULL))
		fatal("descriptor %d cannot be watched", f->fd);
}

struct loop_fd *loop_fd_new(struct loop *l, int fd, int what, loop_fd_fn *fn, void *arg)
{
	struct loop_fd *f = xcalloc(1, sizeof *f);
	*f = (struct loop_fd){.loop = l, .fd = fd, .what = what, .fn = fn, .arg = arg};
	f->ev = event_new(l->base, fd, EV_READ | EV_PERSIST, on_fd, f);
	arm(f);
	return f;
}

void loop_fd_set(struct loop_fd *f, int what)
{
	if (f->what == what)
		return;
	event_del(f->ev);
	f->what = what;
	arm(f);
}

static void fd_reap(void *p)
{
	struct loop_fd *f = p;
	event_free(f->ev);
	free(f);
}

void loop_fd_free(struct loop_fd *f)
{
	if (!f || f->dead)
		return;
	f->dead = true;
	event_del(f->ev);
	loop_reap(f->loop, fd_reap, f);
}

/* ---- timers */

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct loop_timer *t = arg;
	(void)fd, (void)what;
	if (t->dead)
		return;
	int64_t start_us = clock_mono_us();
	t->loop->now_us = start_us;
	t->fn(t->arg);
	took(t->loop, start_us);
}

struct loop_timer *loop_timer_new(struct loop *l, loop_timer_fn *fn, void *arg)
{
	struct loop_timer *t = xcalloc(1, sizeof *t);
	*t = (struct loop_timer){.loop = l, .fn = fn, .arg = arg};
	t->ev = event_new(l->base, -1, 0, on_timer, t);
	return t;
}

void loop_timer_start(struct loop_timer *t, int64_t delay_us)
{
	if (delay_us < 0)
		delay_us = 0;
	struct timeval tv = {delay_us / 1000000, delay_us % 1000000};
	event_add(t->ev, &tv);
}

void loop_timer_stop(struct loop_timer *t)
{
	event_del(t->ev);
}

bool loop_timer_is_running(const struct loop_timer *t)
{
	return event_pending(t->ev, EV_TIMEOUT, NULL) != 0;
}

static void timer_reap(void *p)
{
	struct loop_timer *t = p;
	event_free(t->ev);
	free(t);
}

void loop_timer_free(struct loop_timer *t)
{
	if (!t || t->dead)
		return;
	t->dead = true;
	event_del(t->ev);
	loop_reap(t->loop, timer_reap, t);
}

/* ---- signals */

static void on_signal(evutil_socket_t signo, short what, void *arg)
{
	struct signal_watch *s = arg;
	(void)what;
	s->fn(s->arg, (int)signo);
}

void loop_signal(struct loop *l, int signo, void (*fn)(void *arg, int signo), void *arg)
{
	struct signal_watch *s = xcalloc(1, sizeof *s);
	*s = (struct signal_watch){.next = l->signals, .fn = fn, .arg = arg};
	s->ev = evsignal_new(l->base, signo, on_signal, s);
	event_add(s->ev, NULL);
	l->signals = s;
}

/* ---- ready tasks */

void loop_task_init(struct loop_task *t, void (*fn)(void *arg), void *arg)
{
	*t = (struct loop_task){.fn = fn, .arg = arg};
}

void loop_wake(struct loop *l, struct loop_task *t)
{
	if (t->queued)
		return;
	t->queued = true;
	t->next = NULL;
	*l->ready_end = t;
	l->ready_end = &t->next;
}

void loop_unwake(struct loop *l, struct loop_task *t)
{
	if (!t->queued)
		return;
	for (struct loop_task **at = &l->ready; *at; at = &(*at)->next) {
		if (*at != t)
			continue;
		*at = t->next;
		if (!t->next)
			l->ready_end = at;
		break;
	}
	t->queued = false;
	t->next = NULL;
}

/* ---- hooks and reaping */

void loop_hook(struct loop *l, enum loop_phase phase, void (*fn)(void *arg), void *arg)
{
	if (l->hook_count[phase] == l->hook_room[phase]) {
		l->hook_room[phase] = l->hook_room[phase] * 2 + 4;
		l->hooks[phase] =
			xrealloc(l->hooks[phase],
				 (size_t)l->hook_room[phase] * sizeof *l->hooks[phase]);
	}
	l->hooks[phase][l->hook_count[phase]++] = (struct hook){fn, arg};
}

void loop_unhook(struct loop *l, void (*fn)(void *arg), void *arg)
{
	for (int phase = 0; phase < LOOP_PHASES; phase++)
		for (int i = 0; i < l->hook_count[phase]; i++)
			if (l->hooks[phase][i].fn == fn && l->hooks[phase][i].arg == arg)
				l->hooks[phase][i].fn = NULL;
	l->hooks_removed = true;
}

void loop_reap(struct loop *l, void (*fn)(void *p), void *p)
{
	struct reap *r = l->spare;
	if (r)
		l->spare = r->next;
	else
		r = xmalloc(sizeof *r);
	*r = (struct reap){.next = l->reaps, .fn = fn, .p = p};
	l->reaps = r;
}
