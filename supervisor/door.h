/* SPDX-License-Identifier: Apache-2.0
 * The node's listening socket. It belongs to the supervisor, so that a restarted edge
 * takes it over with its backlog and a taken port is said once, at the start. */
#ifndef TB_DOOR_H
#define TB_DOOR_H

/* Listens on "host:port" (a name, an IPv4 address or [IPv6]); dies with what to do when
 * it cannot. */
int door_listen(const char *address);

#endif
