/* SPDX-License-Identifier: Apache-2.0
 * Births and deaths. */
#include "supervisor/children.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/crypto.h"
#include "common/die.h"
#include "common/log.h"
#include "common/loop.h"
#include "proto/boot.h"
#include "proto/tls_box.h"
#include "supervisor/caps.h"
#include "supervisor/child_boot.h"
#include "supervisor/groups.h"
#include "supervisor/inquiries.h"
#include "supervisor/launcher.h"
#include "supervisor/live.h"
#include "supervisor/spawn.h"
#include "supervisor/sup.h"
#include "supervisor/trash.h"
#include "supervisor/workers.h"

#define BACKOFF_FIRST_US 100000
#define BACKOFF_MOST_US 5000000
#define EARLY_DEATH_US 1000000 /* after READY */
#define SILENCE_US 5000000
#define STARTING_US 15000000 /* from birth to READY */

static const char *name_of(const struct child *c)
{
	return c->role == ROLE_EDGE ? "edge" : "worker";
}

static void birth(struct child *c);

static void on_rebirth(void *arg)
{
	struct child *c = arg;
	if (c->state == LIFE_DOWN && c->sup->state != SUP_STOPPING)
		birth(c);
}

/* Judged by ticks of our own loop, after what was readable was read: a supervisor that
 * slept must not find all dead. */
static void on_silence(void *arg)
{
	const struct child *c = arg;
	if (c->state == LIFE_STARTING)
		child_punish(arg, "%s not ready within %d s",
			     c->said_ready ? "its launcher was" : "it was",
			     STARTING_US / 1000000);
	else
		child_punish(arg, "silent for %d s", SILENCE_US / 1000000);
}

static struct child *child_new(struct sup *s, enum boot_role role, int ordinal)
{
	struct child *c = xcalloc(1, sizeof *c);
	*c = (struct child){.sup = s,
			    .role = role,
			    .ordinal = ordinal,
			    .pid = -1,
			    .launcher_pid = -1,
			    .launcher_control = -1,
			    .launcher_peer = -1,
			    .backoff_us = BACKOFF_FIRST_US};
	c->rebirth = loop_timer_new(s->loop, on_rebirth, c);
	c->silence = loop_timer_new(s->loop, on_silence, c);
	c->relaunch = loop_timer_new(s->loop, launcher_again, c);
	list_init(&c->subs);
	list_init(&c->lag);
	c->subs_by_id = map_new();
	c->caps = map_new();
	list_push(&s->children, &c->node);
	return c;
}

void children_new(struct sup *s)
{
	for (int i = 0; i < s->config.edges; i++)
		child_new(s, ROLE_EDGE, i);
	for (int i = 0; i < s->config.workers; i++)
		child_new(s, ROLE_WORKER, i);
}

/* ---- birth */

static void on_up(void *arg, unsigned pid)
{
	struct child *c = arg;
	if ((pid_t)pid != c->pid)
		child_punish(c, "the greeting came from pid %u, not %d", pid,
			     (int)c->pid);
}

static void on_link_down(void *arg, const char *why)
{
	child_punish(arg, "link down: %s", why);
}

static int open_link(struct child *c, const uint8_t *secret)
{
	char dir[96], err[256];
	snprintf(dir, sizeof dir, "%s/l", c->sup->runtime_dir);
	chan_make_url(dir, c->url, sizeof c->url);
	struct chan_config config = {.loop = c->sup->loop,
				     .url = c->url,
				     .is_supervisor = true,
				     .role = c->role,
				     .secret = secret,
				     .on_up = on_up,
				     .on_message = c->role == ROLE_EDGE
							   ? edge_link_message
							   : worker_link_message,
				     .on_down = on_link_down,
				     .arg = c};
	c->chan = chan_open(&config, err, sizeof err);
	if (c->chan)
		return 0;
	log_error("link-refused", "child=%s.%d message=\"%s\"", name_of(c), c->ordinal,
		  err);
	return -1;
}

static void pass_door(const struct door *d, struct spawn_fds *fds)
{
	fds->listen = d->sockets;
	fds->listen_count = d->socket_count;
	if (d->tls >= 0)
		fds->tls = tls_box_reader(d->tls);
}

static void birth_process(struct child *c, const uint8_t *secret)
{
	AUTO(auto_free)
	char *conninfo =
		sup_conninfo(c->sup, c->role == ROLE_EDGE ? "tb_edge" : "tb_worker");
	struct wire_boot b;
	struct child_secrets secrets;
	int peer = -1;
	if (launcher_birth(c, &peer)) {
		log_error("launcher-refused", "child=%s.%d message=\"%s\"", name_of(c),
			  c->ordinal, strerror(errno));
		crypto_wipe(conninfo, strlen(conninfo));
		if (peer >= 0)
			close(peer);
		return;
	}
	child_boot_fill(c, secret, conninfo, &secrets, &b);
	struct spawn_fds fds = {
		.boot = boot_write(&b), .peer = peer, .control = -1, .tls = -1};
	if (c->role == ROLE_EDGE)
		pass_door(&c->sup->door, &fds);
	crypto_wipe(conninfo, strlen(conninfo));
	child_boot_forget(&secrets);
	c->pid = spawn_child(c->sup->binaries,
			     c->role == ROLE_EDGE ? "terabits-edge" : "terabits-worker",
			     &fds);
	close(fds.boot);
	if (fds.tls >= 0)
		close(fds.tls);
	if (peer >= 0)
		close(peer);
}

static void birth(struct child *c)
{
	uint8_t secret[32];
	crypto_random(secret, sizeof secret);
	c->incarnation = uuid7_new();
	c->born_us = loop_now_us(c->sup->loop);
	c->state = LIFE_STARTING;
	c->lost_launcher = c->leave_forced = c->said_ready = false;
	if (open_link(c, secret) == 0)
		birth_process(c, secret);
	crypto_wipe(secret, sizeof secret);
	if (c->chan && c->pid > 0) {
		loop_timer_start(c->silence, STARTING_US);
		return;
	}
	log_error("birth-failed", "child=%s.%d message=\"%s\"", name_of(c), c->ordinal,
		  strerror(errno));
	launcher_drop(c);
	chan_free(c->chan);
	c->chan = NULL;
	c->state = LIFE_DOWN;
	loop_timer_start(c->rebirth, BACKOFF_MOST_US);
}

void children_add(struct sup *s, int ordinal)
{
	struct child *c = child_new(s, ROLE_WORKER, ordinal);
	if (s->state == SUP_SERVING)
		birth(c);
}

void children_start(struct sup *s)
{
	list_each (n, &s->children) {
		struct child *c = list_entry(n, struct child, node);
		if (c->state == LIFE_DOWN)
			birth(c);
	}
}

/* ---- life */

void child_settle(struct child *c)
{
	if (c->state != LIFE_STARTING || !c->said_ready)
		return;
	if (c->role == ROLE_WORKER && !c->launcher_ready)
		return;
	c->state = LIFE_READY;
	c->ready_us = loop_now_us(c->sup->loop);
	loop_timer_start(c->silence, SILENCE_US);
	log_info("child-ready", "child=%s.%d pid=%d ms=%lld detail=\"%s\"", name_of(c),
		 c->ordinal, (int)c->pid,
		 (long long)(loop_now_us(c->sup->loop) - c->born_us) / 1000, c->detail);
	if (c->role == ROLE_WORKER) {
		workers_place(c->sup);
		sup_step(c->sup,
			 &(struct lq_event){.kind = LQ_WORKER_UP, .worker = c->ordinal});
	} else {
		sup_tell_edges_all(c->sup);
	}
	sup_serve(c->sup);
}

void child_ready(struct child *c, const struct wire_ready *m)
{
	if (c->state != LIFE_STARTING || c->said_ready)
		return;
	c->said_ready = true;
	chan_set_phase(c->chan, LINK_READY);
	snprintf(c->detail, sizeof c->detail, "%.*s", SLICE_ARG(m->detail));
	child_settle(c);
}

void child_ping(struct child *c, const struct wire_ping *m)
{
	c->runs = m->runs;
	c->worst_us = m->worst_us;
	c->rss_kib = m->rss_kib;
	if (c->state !=
	    LIFE_STARTING) /* its launcher has not got all the time there is */
		loop_timer_start(c->silence, SILENCE_US);
}

void child_send(struct child *c, enum wire_id id, const void *msg)
{
	if (!c->chan)
		return;
	enum err e = chan_send(c->chan, id, msg);
	if (e == ERR_TOO_LARGE)
		log_error("message-too-large", "child=%s.%d message=%s", name_of(c),
			  c->ordinal, wire_desc(id)->name);
}

bool child_has_room(const struct child *c)
{
	return c->chan && chan_outbox(c->chan) <= LIMIT_OUTBOX_SOFT;
}

/* ---- death */

void child_punish(struct child *c, const char *fmt, ...)
{
	char why[256];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(why, sizeof why, fmt, ap);
	va_end(ap);
	if (c->pid <= 0)
		return;
	if (c->sup->state != SUP_STOPPING)
		log_warn("child-killed", "child=%s.%d pid=%d why=\"%s\"", name_of(c),
			 c->ordinal, (int)c->pid, why);
	loop_timer_stop(c->silence);
	chan_free(c->chan);
	c->chan = NULL;
	if (c->sup->state != SUP_STOPPING) /* while stopping it ends by itself, when it
					      sees its link closed */
		kill(c->pid, SIGKILL);
}

static void forget_life(struct child *c)
{
	chan_free(c->chan);
	c->chan = NULL;
	loop_timer_stop(c->silence);
	live_drop_edge(c);
	launcher_close(c);
	inquiries_lost(c);
	caps_drop(c);
}

/* Status 2 is "I can never run like this": trying again would only fill the log. */
static void give_up_on_usage(const struct child *c, const char *name, int status)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == 2)
		fatal_usage("%s.%d cannot run here: its line above says why", name,
			    c->ordinal);
}

void child_close(struct child *c)
{
	forget_life(c);
}

static void free_child(void *p)
{
	struct child *c = p;
	map_free(c->subs_by_id);
	map_free(c->caps);
	free(c);
}

void child_left(struct child *c)
{
	bool again = c->leave == LEAVE_RESTART;
	log_info("worker-left", "worker=%d then=%s", c->ordinal,
		 again ? "restart" : "gone");
	c->leave = LEAVE_NOT;
	loop_timer_free(c->leave_limit);
	c->leave_limit = NULL;
	if (again) {
		birth(c);
		return;
	}
	list_remove(&c->node);
	loop_timer_free(c->rebirth);
	loop_timer_free(c->silence);
	loop_timer_free(c->relaunch);
	loop_reap(c->sup->loop, free_child, c);
}

/* Its runs go on elsewhere, as crashed unless we ended it. */
static void bury_worker(struct child *c)
{
	sup_step(c->sup,
		 &(struct lq_event){.kind = LQ_WORKER_DOWN,
				    .worker = c->ordinal,
				    .uncharged = c->lost_launcher || c->leave_forced});
	workers_place(c->sup);
}

static void note_death(struct child *c, int status)
{
	c->deaths++;
	c->sup->child_deaths++;
	log_warn("child-died", "child=%s.%d signal=%d status=%d lived_ms=%lld",
		 name_of(c), c->ordinal, WIFSIGNALED(status) ? WTERMSIG(status) : 0,
		 WIFEXITED(status) ? WEXITSTATUS(status) : -1,
		 (long long)(loop_now_us(c->sup->loop) - c->born_us) / 1000);
}

static void throttle(struct child *c, int64_t ready_us)
{
	bool early = !ready_us || loop_now_us(c->sup->loop) - ready_us < EARLY_DEATH_US;
	c->backoff_us = early ? c->backoff_us * 2 : BACKOFF_FIRST_US;
	if (c->backoff_us > BACKOFF_MOST_US)
		c->backoff_us = BACKOFF_MOST_US;
	loop_timer_start(c->rebirth, c->backoff_us);
}

static void died(struct child *c, int status)
{
	struct sup *s = c->sup;
	int64_t ready_us = c->ready_us;
	bool was_ready = c->state == LIFE_READY || c->state == LIFE_DRAINING;
	c->pid = -1;
	c->state = LIFE_DOWN;
	c->ready_us = 0;
	forget_life(c);
	if (s->state == SUP_STOPPING)
		return;
	if (!c->leave)
		note_death(c, status);
	if (c->role == ROLE_WORKER && was_ready)
		bury_worker(c);
	if (c->role == ROLE_EDGE && was_ready)
		sup_tell_edges_all(s);
	if (c->leave) {
		child_left(c);
		return;
	}
	give_up_on_usage(c, name_of(c), status);
	throttle(c, ready_us);
}

static void launcher_died(struct child *c, int status)
{
	c->launcher_pid = -1;
	groups_sweep(c->sup->groups);
	if (c->sup->state != SUP_STOPPING)
		give_up_on_usage(c, "launcher", status);
	if (c->pid <= 0 || !c->chan || c->sup->state == SUP_STOPPING)
		return;
	if (c->role == ROLE_EDGE) {
		launcher_lost(c);
		return;
	}
	c->lost_launcher = true;
	child_punish(c, "its launcher died");
}

void children_reap(struct sup *s)
{
	int status;
	for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
		if (trash_reap(s, pid, status))
			continue;
		list_each (n, &s->children) { /* which allows the removal of n */
			struct child *c = list_entry(n, struct child, node);
			if (c->pid == pid)
				died(c, status);
			else if (c->launcher_pid == pid)
				launcher_died(c, status);
			else
				continue;
			break;
		}
	}
}

/* ---- all of them */

void children_tell(struct sup *s, enum boot_role role, enum wire_id id, const void *msg)
{
	list_each (n, &s->children) {
		struct child *c = list_entry(n, struct child, node);
		if (c->role == role && child_serves(c))
			child_send(c, id, msg);
	}
}

void children_drain(struct sup *s, enum boot_role role, unsigned grace_ms)
{
	struct wire_drain m = {.grace_ms = grace_ms};
	list_each (n, &s->children) {
		struct child *c = list_entry(n, struct child, node);
		if (c->role != role || c->state != LIFE_READY || !c->chan)
			continue;
		child_send(c, WIRE_DRAIN, &m);
		if (!c->chan) /* it could not take even that */
			continue;
		c->state = LIFE_DRAINING;
		chan_set_phase(c->chan, LINK_DRAINING);
	}
}

void children_close(struct sup *s, enum boot_role role)
{
	list_each (n, &s->children) {
		struct child *c = list_entry(n, struct child, node);
		if (c->role == role)
			forget_life(c);
	}
}

void children_kill(struct sup *s)
{
	list_each (n, &s->children) {
		struct child *c = list_entry(n, struct child, node);
		if (c->pid > 0)
			kill(c->pid, SIGKILL);
		if (c->launcher_pid > 0)
			kill(c->launcher_pid, SIGKILL);
	}
}

int children_alive(const struct sup *s)
{
	int alive = 0;
	list_each (n, &s->children) {
		const struct child *c = list_entry(n, struct child, node);
		alive += (c->pid > 0) + (c->launcher_pid > 0);
	}
	return alive;
}

bool children_has_pid(const struct sup *s, pid_t pid)
{
	list_each (n, &s->children) {
		const struct child *c = list_entry(n, struct child, node);
		if (c->pid == pid || c->launcher_pid == pid)
			return true;
	}
	return false;
}

struct child *child_worker(struct sup *s, int ordinal)
{
	list_each (n, &s->children) {
		struct child *c = list_entry(n, struct child, node);
		if (c->role == ROLE_WORKER && c->ordinal == ordinal)
			return c;
	}
	return NULL;
}
