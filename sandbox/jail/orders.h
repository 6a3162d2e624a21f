/* SPDX-License-Identifier: Apache-2.0
 * What a spare jail is told: a spec, through a stream socket. Both ends are copies of one
 * process, so addresses of functions mean the same. */
#ifndef TB_JAIL_ORDERS_H
#define TB_JAIL_ORDERS_H

#include "sandbox/jail/jail.h"

/* Blocks until all is taken: by a process that does nothing else. -1: it is gone. */
int orders_send(int socket, const struct jail_spec *s);
/* Blocks; false: the other end was closed. Memory and descriptors of *s are for the rest
 * of this process's life. */
bool orders_receive(int socket, struct jail_spec *s);

#endif
