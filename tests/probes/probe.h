/* SPDX-License-Identifier: Apache-2.0
 * What a hostile program tries from inside a jail. Each probe says how it was refused, or
 * what it got. Run by tests/scenario/test_containment.py in jails, and outside of one,
 * where the probes have to find what they look for.
 *
 * Its input is lines of NAME=VALUE: host=PATH (a file with the canary; several), canary=
 * TEXT, pid=N (a process of the host), tcp=PORT, udp=PORT, abstract=NAME, unix=PATH
 * (several), key=N (System V shared memory), only=NAME (several: of the probes).
 *
 * One line a probe: held or HOLE, its class, its name, what came of it. */
#ifndef TB_PROBE_H
#define TB_PROBE_H

#include <stddef.h>

#define FACTS_MOST 32

struct facts {
	const char *host[FACTS_MOST], *unix_path[FACTS_MOST], *only[FACTS_MOST];
	size_t hosts, unix_paths, onlys;
	const char *canary, *abstract;
	int pid, tcp, udp, key;
};

extern struct facts facts;
extern int said; /* the descriptor on which a probe says what came of it */

/* A hole: the same, as printf; never comes back to the probe. */
void hole(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
/* Ends the probe as held if rv is below 0 with one of these errors (ended by 0), else as
 * a hole. */
void refused(long rv, const char *what, ...);

struct probe {
	const char *class, *name;
	void (*fn)(void); /* comes back: held */
};
extern const struct probe probes_files[], probes_processes[], probes_network[],
	probes_privileges[]; /* each ended by a NULL name */

#endif
