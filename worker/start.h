/* SPDX-License-Identifier: Apache-2.0
 * A worker's way to READY. */
#ifndef TB_WORKER_START_H
#define TB_WORKER_START_H

struct worker;
struct loop;
struct wire_boot;

/* Begins everything; READY is said from the loop. Copies what it keeps of b. */
void worker_start(struct worker *w, struct loop *l, const struct wire_boot *b);

#endif
