/* SPDX-License-Identifier: Apache-2.0
 * Capabilities of our own processes, by privileges.tbl. All of it is of the calling
 * thread: call it while there is one. */
#ifndef TB_PRIVILEGES_H
#define TB_PRIVILEGES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum privileges_holder {
	PRIVILEGES_NONE = 0,
	PRIVILEGES_SUPERVISOR = 1, /* what it uses itself */
	PRIVILEGES_LAUNCHER = 2,
	PRIVILEGES_VIEW = 4,   /* edge and worker until they have their view */
	PRIVILEGES_MOMENT = 8, /* what the supervisor takes up for a moment */
	PRIVILEGES_ALL = 15,
};

/* Whether this process may use all that those holders have. */
bool privileges_has(enum privileges_holder h);
/* What it has not of the whole table: "CAP_SYS_ADMIN, CAP_KILL"; "": nothing. */
void privileges_missing(char *out, size_t size);

/* Of root, or of who was started with the whole table: becomes that user (unless it is
 * already), keeps the table to hand on and what the supervisor uses itself, and empties
 * the bounding set; no exec of root gives anything back. Sets no-new-privileges. Dies
 * when the kernel refuses. */
void privileges_keep(uid_t uid, gid_t gid);
/* Becomes that user with no capability at all. Dies when the kernel refuses. */
void privileges_leave(uid_t uid, gid_t gid);
/* After fork, before exec: the next program gets what the holder has, and no other one
 * ever anything. Async-signal-safe. -1: refused. Nothing for who kept nothing. */
int privileges_hand_on(enum privileges_holder h);

/* Of the supervisor: what it takes up for a moment can be used from here to the call of
 * privileges_lower, by this thread. False: it has not got it; nothing is to be lowered.
 */
bool privileges_raise(void);
/* Dies when the kernel refuses. */
void privileges_lower(void);

/* Of a child: keeps what the holder has, as far as it is there, for itself alone; no
 * program that it starts inherits any of it. */
void privileges_limit(enum privileges_holder h);
/* No capability in any set, for ever, and no-new-privileges. Dies when the kernel
 * refuses, or when something is left. */
void privileges_drop(void);
/* Dies unless all of that is so. */
void privileges_verify_none(void);
/* Dies when the process has root's uid. */
void privileges_refuse_root(void);

#endif
