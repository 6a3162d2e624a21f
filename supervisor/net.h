/* SPDX-License-Identifier: Apache-2.0
 * The net under the queue: a live run of the database that memory does not know would
 * never start. */
#ifndef TB_NET_H
#define TB_NET_H

struct sup;

/* One look, every half minute while the lease is held: reads the ids of all live runs, a
 * page at a time. What memory knows may still be on its way to the database, and what it
 * does not know may just have ended, or just have been made: a run that two looks in a
 * row found unknown slipped, and the queue is loaded again. O(runs), in pages; nothing
 * is held meanwhile. */
void net_cast(struct sup *s);

#endif
