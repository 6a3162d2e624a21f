/* SPDX-License-Identifier: Apache-2.0
 * What has to be done from time to time and nobody waits for. On the lease's connection,
 * in pieces so small that no heartbeat is late for them. */
#ifndef TB_HOUSEKEEPING_H
#define TB_HOUSEKEEPING_H

struct sup;

/* Makes the partitions of the next days' events and drops those of past ones. */
void housekeeping_roll(struct sup *s);
/* Deletes the idempotency keys that are over, all of them, piece by piece. */
void housekeeping_keys(struct sup *s);

#endif
