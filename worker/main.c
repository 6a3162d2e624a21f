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
#include "proto/boot.h"
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

int main(void)
{
	static struct worker worker;
	char name[32];
	const struct wire_boot *b = boot_read();
	if (b->role != ROLE_WORKER)
		fatal_usage("terabitsd started the wrong program");
	boot_die_with_parent(b->parent_pid);
	snprintf(name, sizeof name, "worker.%u", b->ordinal);
	log_init(name, (enum log_level)b->log_level);
	ignore_signals();
	crypto_init();
	fault_init();
	sandbox_prepare(SANDBOX_WORKER);
	struct loop *loop = loop_new();
	worker_start(&worker, loop, b);
	boot_wipe();
	loop_run(loop);
	return 0;
}
