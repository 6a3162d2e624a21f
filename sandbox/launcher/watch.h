/* SPDX-License-Identifier: Apache-2.0
 * How much memory the processes of a jail use together, for machines where no cgroup
 * says so: RLIMIT_AS is of each process alone. */
#ifndef TB_LAUNCHER_WATCH_H
#define TB_LAUNCHER_WATCH_H

#include <stdint.h>
#include <sys/types.h>

/* Resident bytes of a process and all its descendants; 0 when it is gone. */
uint64_t watch_memory(pid_t root);

#endif
