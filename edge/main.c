/* SPDX-License-Identifier: Apache-2.0
 * terabits-edge: the HTTP door. Started by terabitsd.
 *
 * Fails: a lost link, a database role that could see too much, and a kernel that refuses
 * the confinement end the process; its supervisor starts the next one. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>

#include "common/attr.h"
#include "common/crypto.h"
#include "common/die.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/pg/pool.h"
#include "edge/doors.h"
#include "edge/start.h"
#include "proto/boot.h"
#include "proto/chan.h"
#include "sandbox/privileges.h"
#include "sandbox/sandbox.h"

/* Who stops this process is its supervisor, by DRAIN or by the end of the link: a Ctrl-C
 * that reaches the whole group is not meant for it. */
static void ignore_signals(void)
{
	static const int ignored[] = {SIGPIPE, SIGTERM, SIGINT, SIGHUP};
	for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
		signal(ignored[i], SIG_IGN);
}

/* A connection is a descriptor: as many as the system allows. */
static void raise_descriptors(void)
{
	struct rlimit r;
	if (getrlimit(RLIMIT_NOFILE, &r) == 0) {
		r.rlim_cur = r.rlim_max;
		setrlimit(RLIMIT_NOFILE, &r);
	}
}

/* All that it has to reach by a file's name. */
static void show_sockets(const struct wire_boot *b)
{
	char path[128];
	chan_url_path(b->url, path, sizeof path);
	sandbox_show(path);
	pg_conninfo_files(b->conninfo, sandbox_show);
}

int main(void)
{
	static struct edge edge;
	char name[32];
	const struct wire_boot *b = boot_read();
	if (b->role != ROLE_EDGE)
		fatal_usage("terabitsd started the wrong program");
	privileges_refuse_root();
	boot_die_with_parent(b->parent_pid);
	snprintf(name, sizeof name, "edge.%u", b->ordinal);
	log_init(name, (enum log_level)b->log_level);
	ignore_signals();
	raise_descriptors();
	crypto_init();
	doors_take(b);
	show_sockets(b);
	fcntl(BOOT_PEER_FD, F_SETFD, FD_CLOEXEC);
	sandbox_prepare(SANDBOX_EDGE);
	boot_die_with_parent(b->parent_pid); /* who we are in the kernel's eyes changed */
	struct loop *loop = loop_new();
	edge_start(&edge, loop, b);
	boot_wipe();
	loop_run(loop);
	return 0;
}
