/* SPDX-License-Identifier: Apache-2.0
 * One supervisor a database: an advisory lock on a connection of its own, with a
 * heartbeat; and the load of the queue when the lock is first won.
 *
 * Lock connection lost, or no answer for 13 s: the lease is lost, nothing is dispatched
 * or accepted (503), runs go on to their next commit. Back and locked again: carry on.
 * Held by another: exit, the fence keeps both apart. */
#ifndef TB_LEASE_H
#define TB_LEASE_H

struct sup;

/* Connects; calls sup_serve when the lock is held and the queue is loaded for the first
 * time. Dies with a clear line when Postgres cannot be reached at the start, another node
 * holds the lock, the role has too many rights, or the schema is not this build's. */
void lease_start(struct sup *s);

#endif
