/* SPDX-License-Identifier: Apache-2.0
 * One message, with descriptors, in one packet of a SOCK_SEQPACKET pair: how a launcher
 * is spoken to. The wire form is that of a frame with one message.
 *
 * Owns: nothing. Never: blocks. Fails: what is cut short, has nothing or more than one
 * message, or a route that is not wanted, is ERR_PROTOCOL, and its descriptors are
 * closed. */
#ifndef TB_PACKET_H
#define TB_PACKET_H

#include "common/err.h"
#include "proto/wire.h"

#define PACKET_FDS 3
#define PACKET_BYTES (192u << 10)

/* Where a received packet lives, until the next one. */
struct packet {
	union wire_any message;
	enum wire_id id;
	int fds[PACKET_FDS]; /* -1: none; the receiver's to close */
	int fd_count;
	char bytes[PACKET_BYTES];
};

/* fds are borrowed. ERR_UNAVAILABLE: the other side does not read, try when writable;
 * ERR_TOO_LARGE; ERR_PEER_GONE. */
enum err packet_send(int socket, enum wire_id id, const void *msg, const int *fds, int n);
/* Only messages of that route. ERR_NOT_FOUND: there is none now; ERR_PEER_GONE: the
 * other side is gone; ERR_PROTOCOL with a word in *why (static). */
enum err packet_receive(int socket, enum wire_route route, struct packet *p,
			const char **why);

#endif
