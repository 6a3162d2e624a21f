/* SPDX-License-Identifier: Apache-2.0
 * The event loop: the only owner of libevent's event_base and of "what happens when" in a
 * process.
 *
 * One turn = collect events once (callbacks store results and wake tasks), run the ready
 * tasks until none is left, then run the turn hooks in the order of enum loop_phase, each
 * once: steps, database batches, links, connections. A hook that finds new work for an
 * earlier phase calls loop_again, and the next turn does not sleep. So a process writes
 * once a turn to each peer, never from inside a callback: measured as the largest lever
 * on speed.
 *
 * Freeing: an object may be freed in any callback; the loop keeps its handle until the
 * turn's end (reap), so a callback already collected for it does not fire.
 * Single-threaded: every call comes from the loop's own thread, loop_post excepted. */
#ifndef TB_LOOP_H
#define TB_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct loop;

struct loop *loop_new(void);
void loop_free(struct loop *l);
/* Until loop_stop. */
void loop_run(struct loop *l);
/* One turn, for tests: blocks for the first event at most timeout_ms (0: not at all). */
void loop_turn(struct loop *l, int timeout_ms);
void loop_stop(struct loop *l);
/* The time of the current turn's start, CLOCK_MONOTONIC microseconds: cheap. */
int64_t loop_now_us(const struct loop *l);
/* The next turn shall not sleep. */
void loop_again(struct loop *l);
/* The longest callback or hook since the last call, microseconds: nothing may take over
 * 5,000. */
int64_t loop_worst_us(struct loop *l);

/* ---- file descriptors */
enum { LOOP_READ = 1, LOOP_WRITE = 2 };
struct loop_fd;
typedef void loop_fd_fn(void *arg, int what);
/* Watches fd (not owned) level-triggered. `what` 0 is allowed: nothing watched yet. */
struct loop_fd *loop_fd_new(struct loop *l, int fd, int what, loop_fd_fn *fn, void *arg);
void loop_fd_set(struct loop_fd *f, int what);
void loop_fd_free(struct loop_fd *f); /* before the fd is closed; NULL allowed */

/* ---- timers: one-shot; starting again moves it; a stopped one may be stopped again */
struct loop_timer;
typedef void loop_timer_fn(void *arg);
struct loop_timer *loop_timer_new(struct loop *l, loop_timer_fn *fn, void *arg);
void loop_timer_start(struct loop_timer *t, int64_t delay_us);
void loop_timer_stop(struct loop_timer *t);
bool loop_timer_is_running(const struct loop_timer *t);
void loop_timer_free(struct loop_timer *t);

/* ---- signals, as ordinary callbacks */
void loop_signal(struct loop *l, int signo, void (*fn)(void *arg, int signo), void *arg);

/* ---- ready tasks: woken any number of times, run once a wake-up batch, from the top of
 * the loop only */
struct loop_task {
	struct loop_task *next;
	void (*fn)(void *arg);
	void *arg;
	bool queued;
};
void loop_task_init(struct loop_task *t, void (*fn)(void *arg), void *arg);
void loop_wake(struct loop *l, struct loop_task *t);
/* The task will not run; call before its memory goes. */
void loop_unwake(struct loop *l, struct loop_task *t);

/* ---- turn hooks */
enum loop_phase { LOOP_STEPS, LOOP_DATABASE, LOOP_LINKS, LOOP_CONNECTIONS, LOOP_PHASES };
void loop_hook(struct loop *l, enum loop_phase phase, void (*fn)(void *arg), void *arg);
/* Removes it, also from inside a hook. */
void loop_unhook(struct loop *l, void (*fn)(void *arg), void *arg);

/* ---- reaping: fn(p) at the turn's end */
void loop_reap(struct loop *l, void (*fn)(void *p), void *p);

/* The event_base, for the few modules that bind a library to it (curl). */
struct event_base *loop_base(struct loop *l);

#endif
