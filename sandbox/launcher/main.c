/* SPDX-License-Identifier: Apache-2.0
 * terabits-launcher: makes the jails of one worker.
 *
 * Owns: its jails, and nothing else: no network, no keys, no database, one thread. Never:
 * trusts its worker, or reads what a jail says. Fails: ends when its supervisor's socket
 * closes, and everything in its jails with it. */
#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/die.h"
#include "common/log.h"
#include "proto/boot.h"
#include "proto/packet.h"
#include "sandbox/cgroup/cgroup.h"
#include "sandbox/launcher/grants.h"
#include "sandbox/launcher/jails.h"
#include "sandbox/sandbox.h"

static struct packet packet;

/* ---- the supervisor */

/* false: it is gone. */
static bool take_grants(struct jails *j)
{
	const char *why;
	enum err e;
	while ((e = packet_receive(BOOT_CONTROL_FD, GRANT_DOWN, &packet, &why)) ==
	       ERR_OK) {
		if (packet.id == WIRE_GRANT)
			grants_put(&j->grants, &packet.message.grant);
		else
			jails_revoke(j, packet.message.revoke.handle);
	}
	if (e == ERR_PROTOCOL)
		fatal("the supervisor sent %s", why);
	return e == ERR_NOT_FOUND;
}

/* ---- the worker */

static enum err serve_one(struct jails *j)
{
	const char *why;
	enum err e = packet_receive(BOOT_PEER_FD, JAIL_UP, &packet, &why);
	for (int i = 0; i < packet.fd_count; i++)
		close(packet.fds[i]); /* it has none to give */
	if (e == ERR_PROTOCOL)
		log_error("launcher-nonsense", "message=\"%s\"", why);
	if (e)
		return e;
	if (packet.id == WIRE_JAIL_KILL) {
		jails_kill(j, packet.message.jail_kill.id);
		return ERR_OK;
	}
	return jails_open(j, &packet.message.jail_open);
}

/* It went away, or spoke nonsense: its jails end, nobody waits for answers. */
static void leave_worker(struct jails *j)
{
	shutdown(BOOT_PEER_FD, SHUT_RDWR);
	jails_kill_all(j);
}

static void serve(struct jails *j)
{
	struct pollfd p[2 + JAILS_POLL_MOST] = {{.fd = BOOT_CONTROL_FD, .events = POLLIN},
						{.fd = BOOT_PEER_FD, .events = POLLIN}};
	for (;;) {
		unsigned n = jails_poll(j, p + 2);
		enum err e = ERR_OK;
		p[1].events = jails_are_owed(j) ? POLLOUT : POLLIN;
		if (jails_want_spare(j) && poll(p, 2 + n, 0) == 0)
			jails_make_spare(j);
		if (poll(p, 2 + n, jails_patience_ms(j)) < 0 && errno != EINTR)
			fatal("poll failed");
		/* Grants first: the worker may know of one already. */
		if (!take_grants(j))
			return;
		if (p[1].revents && !jails_are_owed(j))
			e = serve_one(j);
		if (jails_look(j) || (e && e != ERR_NOT_FOUND)) {
			leave_worker(j);
			p[1].fd = -1;
		}
	}
}

/* ---- the start */

static void say_ready(const struct sandbox_level *l)
{
	struct wire_launcher_ready m = {.user_namespace = l->user_namespace,
					.tenant_uid = l->tenant_uid,
					.proc = l->proc,
					.landlock = l->landlock,
					.cgroup = l->cgroup,
					.cgroup_cpu = l->cpu};
	m.why = slice_of(l->cgroup_why, strnlen(l->cgroup_why, 255));
	if (packet_send(BOOT_CONTROL_FD, WIRE_LAUNCHER_READY, &m, NULL, 0))
		exit(0); /* the supervisor is gone, as when it closes this later */
}

static void copy(char *out, size_t size, struct slice text)
{
	snprintf(out, size, "%.*s", SLICE_ARG(text));
}

static struct cgroup_base base_of(const struct wire_boot *b)
{
	struct cgroup_base base = {
		.kind = b->cgroup > CGROUP_V2 ? CGROUP_NONE : (enum cgroup_kind)b->cgroup,
		.cpu = b->cgroup_cpu};
	copy(base.memory, sizeof base.memory, b->cgroup_memory);
	copy(base.pids, sizeof base.pids, b->cgroup_pids);
	return base;
}

/* For terabitsctl doctor, without a node: the level's word, the level, and what is
 * missing for FULL, a line each. */
static int probe(void)
{
	static struct jails jails;
	struct cgroup_places places;
	struct cgroup_base base;
	char text[1024];
	log_init("launcher", LOG_ERROR);
	cgroup_find("/proc/self", &places);
	cgroup_base_try(&places, &base);
	sandbox_prepare(SANDBOX_LAUNCHER);
	jails_init(&jails, -1, &(struct cgroup_base){.kind = CGROUP_NONE}, "");
	jails.level.cgroup = base.kind;
	jails.level.cpu = base.cpu;
	memcpy(jails.level.cgroup_why, base.why, sizeof base.why);
	puts(sandbox_word(&jails.level));
	sandbox_describe(&jails.level, text, sizeof text);
	puts(text);
	sandbox_missing(&jails.level, text, sizeof text);
	puts(text);
	return 0;
}

int main(int argc, char **argv)
{
	static struct jails jails;
	char name[32], detail[128], prefix[CGROUP_NAME];
	if (argc == 2 && !strcmp(argv[1], "--probe"))
		return probe();
	const struct wire_boot *b = boot_read();
	if (b->role != ROLE_LAUNCHER)
		fatal_usage("terabitsd started the wrong program");
	boot_die_with_parent(b->parent_pid);
	snprintf(name, sizeof name, "launcher.%u", b->ordinal);
	log_init(name, (enum log_level)b->log_level);
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	const struct cgroup_base base = base_of(b);
	cgroup_prefix(b->ordinal, b->incarnation, prefix);
	boot_wipe();
	sandbox_prepare(SANDBOX_LAUNCHER);
	jails_init(&jails, BOOT_PEER_FD, &base, prefix);
	sandbox_enter(SANDBOX_LAUNCHER, detail, sizeof detail);
	malloc_trim(0); /* see jail_host_prepare */
	log_debug("launcher-ready", "%s", detail);
	say_ready(&jails.level);
	serve(&jails);
	jails_fini(&jails);
	return 0;
}
