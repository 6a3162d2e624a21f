/* SPDX-License-Identifier: Apache-2.0
 * What is being deleted: <state>/workspaces/.trash. What shall go is renamed into it, in
 * one step, and deleted there by a process of its own (terabits-sweep); what a crash left
 * goes at the next start.
 *
 * Owns: that process. Never: waits for it. Fails: what cannot be deleted stays, and the
 * log says why. */
#ifndef TB_TRASH_H
#define TB_TRASH_H

#include <stdbool.h>
#include <sys/types.h>

struct sup;

/* Moves a directory into the trash below `all` (workspaces_open_all). 0, or -1 and errno.
 */
int trash_take(int all, int from, const char *name);
/* Deletes what is in it, if there is anything. */
void trash_empty(struct sup *s);
/* Whether it was the sweeper that ended. */
bool trash_reap(struct sup *s, pid_t pid, int status);

#endif
