/* SPDX-License-Identifier: Apache-2.0
 * What is asked of a launcher, checked again: a worker or an edge may be in the hands of
 * who wrote its input. */
#ifndef TB_LAUNCHER_REQUEST_H
#define TB_LAUNCHER_REQUEST_H

#include "proto/wire.h"
#include "sandbox/jail/jail.h"
#include "sandbox/launcher/grants.h"

#define REQUEST_WORDS 1024 /* of argv, of the environment */

/* NULL, or why not. g NULL: nothing was granted under that number. jails: those that
 * live. argv and env get pointers into m, of a program. */
const char *request_check(const struct wire_jail_open *m, const struct grant *g,
			  unsigned jails, char *argv[REQUEST_WORDS + 1],
			  char *env[REQUEST_WORDS + 1]);
/* Never above the grant's. */
struct jail_limits request_limits(const struct wire_jail_open *m, const struct grant *g);
/* What is asked, 0: the most. */
uint64_t request_within(uint64_t asked, uint64_t most);
/* Whether such a jail can make its workspace fuller. */
bool request_writes(uint32_t kind);
/* What a built-in function is told, as the one value that it gets: its kind, and the
 * bytes until the quota; and the function, in the jail. */
void *request_arg(uint32_t kind, uint64_t room_bytes);
void request_run(void *arg);

#endif
