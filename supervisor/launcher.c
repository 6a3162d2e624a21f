/* SPDX-License-Identifier: Apache-2.0
 * Launchers, and the level that they reach: one line for the node. */
#include "supervisor/launcher.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/die.h"
#include "common/log.h"
#include "common/loop.h"
#include "proto/boot.h"
#include "proto/packet.h"
#include "supervisor/children.h"
#include "supervisor/groups.h"
#include "supervisor/spawn.h"
#include "supervisor/sup.h"
#include "supervisor/workspaces.h"

/* Before the next one, of one that died at once. */
#define EARLY_US 1000000
#define PAUSE_US 5000000

/* ---- the level */

static void take_level(const struct child *c, const struct wire_launcher_ready *m,
		       struct sandbox_level *l)
{
	const struct cgroup_base *base = groups_base(c->sup->groups);
	*l = (struct sandbox_level){.user_namespace = m->user_namespace,
				    .tenant_uid = m->tenant_uid,
				    .proc = m->proc,
				    .landlock = m->landlock,
				    .cgroup = m->cgroup > CGROUP_V2
						      ? CGROUP_NONE
						      : (enum cgroup_kind)m->cgroup,
				    .cpu = m->cgroup_cpu};
	snprintf(l->cgroup_why, sizeof l->cgroup_why, "%.*s", SLICE_ARG(m->why));
	if (base->kind == CGROUP_NONE)
		snprintf(l->cgroup_why, sizeof l->cgroup_why, "%s", base->why);
}

static bool is_same(const struct sandbox_level *a, const struct sandbox_level *b)
{
	char x[1300], y[1300];
	sandbox_describe(a, x, 256);
	sandbox_missing(a, x + strlen(x), 1024);
	sandbox_describe(b, y, 256);
	sandbox_missing(b, y + strlen(y), 1024);
	return !strcmp(x, y);
}

static void say_level(const struct sandbox_level *l)
{
	char line[256], missing[1024];
	sandbox_describe(l, line, sizeof line);
	sandbox_missing(l, missing, sizeof missing);
	if (sandbox_is_full(l))
		log_info("sandbox", "%s level=FULL", line);
	else
		log_warn("sandbox", "%s level=REDUCED why=\"%s\"", line, missing);
}

/* Of the node: what its launchers reach, which is the same for all of them. */
static void reached(struct sup *s, const struct sandbox_level *l)
{
	char missing[1024];
	bool is_news = !s->sandbox_known || !is_same(&s->sandbox, l);
	sandbox_missing(l, missing, sizeof missing);
	if (!strcmp(s->config.sandbox_require, "full") && !sandbox_is_full(l))
		fatal_usage("TERABITS_SANDBOX_REQUIRE is full, and jails are reduced "
			    "here: %s",
			    missing);
	if (!is_news)
		return;
	say_level(l);
	s->sandbox = *l;
	s->sandbox_known = true;
	list_each (n, &s->children) {
		struct child *c = list_entry(n, struct child, node);
		if (c->role == ROLE_EDGE && child_serves(c))
			sup_tell_edges(s, c);
	}
}

/* ---- its words */

static void on_control(void *arg, int what)
{
	static struct packet p;
	struct child *c = arg;
	struct sandbox_level level;
	const char *why;
	enum err e;
	(void)what;
	while ((e = packet_receive(c->launcher_control, LAUNCHER_UP, &p, &why)) ==
	       ERR_OK) {
		for (int i = 0; i < p.fd_count; i++)
			close(p.fds[i]);
		if (c->launcher_ready) {
			child_punish(c, "its launcher was ready twice");
			continue;
		}
		take_level(c, &p.message.launcher_ready, &level);
		reached(c->sup, &level);
		c->launcher_ready = true;
		child_settle(c);
	}
	if (e == ERR_NOT_FOUND)
		return;
	/* Its death is noticed as that of a child. */
	loop_fd_free(c->launcher_watch);
	c->launcher_watch = NULL;
	if (e == ERR_PROTOCOL)
		child_punish(c, "its launcher sent %s", why);
}

/* ---- birth and end */

static void close_control(struct child *c)
{
	loop_fd_free(c->launcher_watch);
	c->launcher_watch = NULL;
	if (c->launcher_control >= 0)
		close(c->launcher_control);
	c->launcher_control = -1;
	workspaces_forget(c);
}

void launcher_close(struct child *c)
{
	close_control(c);
	if (c->launcher_peer >= 0)
		close(c->launcher_peer);
	c->launcher_peer = -1;
	loop_timer_stop(c->relaunch);
}

void launcher_drop(struct child *c)
{
	launcher_close(c);
	if (c->launcher_pid > 0)
		kill(c->launcher_pid, SIGKILL);
	c->launcher_pid = -1;
}

/* At its end of the pair. */
static int start(struct child *c, int peer)
{
	int control[2];
	c->launcher_ready = false;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control))
		return -1;
	c->launcher_life = uuid7_new();
	struct wire_boot b = {
		.role = ROLE_LAUNCHER,
		.ordinal = (uint32_t)c->ordinal,
		.incarnation = c->launcher_life,
		.node = c->sup->node,
		.parent_pid = (uint32_t)getpid(),
		.log_level = (uint32_t)log_level_parse(c->sup->config.log_level)};
	groups_fill(c->sup->groups, &b);
	struct spawn_fds fds = {
		.boot = boot_write(&b), .peer = peer, .control = control[1], .tls = -1};
	c->launched_us = loop_now_us(c->sup->loop);
	c->launcher_pid = spawn_child(c->sup->binaries, "terabits-launcher", &fds);
	close(fds.boot);
	close(control[1]);
	c->launcher_control = control[0];
	c->launcher_watch =
		loop_fd_new(c->sup->loop, control[0], LOOP_READ, on_control, c);
	groups_sweep(c->sup->groups); /* of the one before, should its end be unseen */
	return c->launcher_pid < 0 ? -1 : 0;
}

/* An edge's launcher's end of the pair stays with us: the next launcher can take it. */
int launcher_birth(struct child *c, int *peer)
{
	int pair[2];
	launcher_drop(c); /* one that has not ended yet, or never would */
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -1;
	int rv = start(c, pair[1]);
	*peer = pair[0];
	if (c->role == ROLE_EDGE)
		c->launcher_peer = pair[1];
	else
		close(pair[1]);
	return rv;
}

/* ---- an edge's, once more */

void launcher_again(void *child)
{
	struct child *c = child;
	if (c->pid > 0 && c->launcher_peer >= 0 && c->sup->state != SUP_STOPPING &&
	    start(c, c->launcher_peer))
		loop_timer_start(c->relaunch, PAUSE_US);
}

void launcher_lost(struct child *c)
{
	bool early = loop_now_us(c->sup->loop) - c->launched_us < EARLY_US;
	struct wire_files_lost m = {.launchers = ++c->launchers_lost};
	log_warn("launcher-died", "child=edge.%d", c->ordinal);
	close_control(c);
	child_send(c, WIRE_FILES_LOST, &m);
	loop_timer_start(c->relaunch, early ? PAUSE_US : 0);
}
