/* SPDX-License-Identifier: Apache-2.0
 * Ctrl-C of who talks: while a run is at work it is a wish, not the end of the program.
 * One at a time in a process. */
#ifndef TB_CLI_INTERRUPT_H
#define TB_CLI_INTERRUPT_H

#include <stdbool.h>

struct loop;

/* From here on SIGINT interrupts a read from the terminal (EINTR) and calls fn from the
 * loop, once a signal. */
void interrupt_open(struct loop *l, void (*fn)(void *arg), void *arg);
/* SIGINT ends the program again. */
void interrupt_close(void);
/* Waits until fd can be read; true: SIGINT came instead. */
bool interrupt_wait(int fd);
/* How many there were since the last call. */
int interrupt_count(void);

#endif
