/* SPDX-License-Identifier: Apache-2.0
 * A child's launcher: birth, what it says of itself, end. Part of children. */
#ifndef TB_LAUNCHER_H
#define TB_LAUNCHER_H

struct child;

/* Starts it, and makes the pair between the two; peer gets the child's end. 0, or -1
 * and errno. */
int launcher_birth(struct child *c, int *peer);
/* Its control socket closes, so that it ends by itself. */
void launcher_close(struct child *c);
/* An edge's launcher died: the edge is told, and gets another one. */
void launcher_lost(struct child *c);
/* The timer c->relaunch. */
void launcher_again(void *child);
/* Of a child that is dead, or was not born: at once. */
void launcher_drop(struct child *c);

#endif
