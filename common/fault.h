/* SPDX-License-Identifier: Apache-2.0
 * Fault points: named instants at which a test can end or stop the process that passes
 * them. Compiled in by TB_FAULTS (the builds for tests) alone; a release holds
 * none.
 *
 * A test shares a file with the processes: one struct fault_slot a row of fault.tbl. It
 * writes `action`; whoever passes the point next takes the order (one process, once),
 * counts it in `hits`, leaves its pid and is gone or stopped. Never: I/O at a point, so a
 * confined process can pass it. */
#ifndef TB_FAULT_H
#define TB_FAULT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/slice.h"

enum fault {
#define FAULT_POINT(NAME, name, where) FAULT_##NAME,
#include "common/fault.tbl"
#undef FAULT_POINT
	FAULT__COUNT
};

enum fault_action { FAULT_NONE, FAULT_DIE, FAULT_STOP };

/* As the file holds it: four 32-bit numbers of this machine. */
struct fault_slot {
	uint32_t action, passes, hits, pid;
};

#ifdef TB_FAULTS
/* Maps the file named by the environment's TERABITS_FAULTS, if it is, and opens the
 * ledger. Before confinement. */
void fault_init(void);
/* Appends a line to the file named by TERABITS_LEDGER, on disk when this returns: the
 * record of effects outside the database. false: there is none. */
bool fault_ledger(struct slice line);
void fault_pass(enum fault f);
#define FAULT(NAME) fault_pass(FAULT_##NAME)
#else
#define fault_init() ((void)0)
#define FAULT(NAME) ((void)0)
#endif

#endif
