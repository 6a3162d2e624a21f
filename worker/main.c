/* SPDX-License-Identifier: Apache-2.0
 * terabits-worker: runs the agent loop of the lanes it is given. Started by terabitsd. */
#include <signal.h>
#include <stdio.h>

#include "common/attr.h"
#include "common/crypto.h"
#include "common/die.h"
#include "common/fault.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/pg/pool.h"
#include "proto/boot.h"
#include "proto/chan.h"
#include "sandbox/privileges.h"
#include "sandbox/sandbox.h"
#include "worker/start.h"
#include "worker/worker.h"

/* Who stops this process is its supervisor, by the end of the link. */
static void ignore_signals(void)
{
	static const int ignored[] = {SIGPIPE, SIGTERM, SIGINT, SIGHUP};
	for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
		signal(ignored[i], SIG_IGN);
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
	static struct worker worker;
	char name[32];
	const struct wire_boot *b = boot_read();
	if (b->role != ROLE_WORKER)
		fatal_usage("terabitsd started the wrong program");
	privileges_refuse_root();
	boot_die_with_parent(b->parent_pid);
	snprintf(name, sizeof name, "worker.%u", b->ordinal);
	log_init(name, (enum log_level)b->log_level);
	ignore_signals();
	crypto_init();
	fault_init();
	show_sockets(b);
	sandbox_prepare(SANDBOX_WORKER);
	boot_die_with_parent(b->parent_pid); /* who we are in the kernel's eyes changed */
	struct loop *loop = loop_new();
	worker_start(&worker, loop, b);
	boot_wipe();
	loop_run(loop);
	return 0;
}
