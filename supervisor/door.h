/* SPDX-License-Identifier: Apache-2.0
 * The node's listening sockets. They belong to the supervisor, so that a restarted edge
 * takes them over with what waits at them, low ports work, and a taken port is said once,
 * at the start.
 *
 * Of a TCP address each edge has a socket of its own (SO_REUSEPORT), among which the
 * kernel spreads connections; every edge inherits all of them and serves its own, and
 * those of an edge that is not there at the moment. A socket in the file system is
 * everybody's. */
#ifndef TB_DOOR_H
#define TB_DOOR_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/listen.h"
#include "common/slice.h"

struct config;

struct door {
	struct listen_address addresses[LISTEN_MOST];
	unsigned address_count;
	int sockets[LISTEN_SOCKETS_MOST];
	unsigned char rows[2 * LISTEN_SOCKETS_MOST]; /* as BOOT says them */
	unsigned socket_count;
	int tls; /* see proto/tls_box.h; -1: no address needs it */
	const struct config *config;
};

/* Listens at all addresses of the configuration; dies with what to do when it cannot.
 * Sockets in the file system are given to that user. */
void door_open(struct door *d, const struct config *c, uid_t uid, gid_t gid);
/* What BOOT says of the sockets. */
struct slice door_rows(const struct door *d);
/* Reads certificate, key and authorities again. false: why (512 bytes) says what is
 * wrong, and the old ones stay. */
bool door_reload(struct door *d, char *why, size_t why_size);
/* Removes sockets from the file system, as far as this user may. */
void door_close(struct door *d);

#endif
