/* SPDX-License-Identifier: Apache-2.0
 * One process more, without a link: it ends with its task. */
#include "supervisor/sweep.h"

#include <unistd.h>

#include "common/log.h"
#include "proto/boot.h"
#include "supervisor/spawn.h"
#include "supervisor/sup.h"

pid_t sweep_start(struct sup *s, enum sweep_task task, const char *wanted, int directory,
		  int out)
{
	struct wire_boot b = {.role = ROLE_SWEEP,
			      .ordinal = (uint32_t)task,
			      .wanted = slice_str(wanted),
			      .node = s->node,
			      .parent_pid = (uint32_t)getpid(),
			      .log_level =
				      (uint32_t)log_level_parse(s->config.log_level)};
	struct spawn_fds fds = {
		.boot = boot_write(&b), .peer = directory, .control = out, .tls = -1};
	if (fds.boot < 0)
		return -1;
	pid_t pid = spawn_child(s->binaries, "terabits-sweep", &fds);
	close(fds.boot);
	return pid;
}
