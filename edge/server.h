/* SPDX-License-Identifier: Apache-2.0
 * The listening socket and all connections: accepting, caps, deadlines, the flush of a
 * turn, drain.
 *
 * Whatever handlers answer during a turn is collected in each connection and sent at the
 * CONNECTIONS phase, one send a connection. Owns: connections. Never: the listening
 * socket (inherited). */
#ifndef TB_EDGE_SERVER_H
#define TB_EDGE_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "edge/request.h"

struct loop;
struct server;
struct conn;

/* Deadlines; microseconds. */
#define SERVER_HEAD_US 10000000
#define SERVER_IDLE_US 60000000
#define SERVER_BODY_US 10000000 /* plus a second for each SERVER_BODY_RATE bytes */
#define SERVER_BODY_RATE 1024
#define SERVER_STALL_US 30000000 /* output of which nothing could be sent */
#define SERVER_LINGER_US 2000000 /* after the answer that ends a connection */
#define SERVER_HEARTBEAT_US 15000000
#define SERVER_SWEEP_US 500000
/* Bytes. */
#define SERVER_BODY_MAX (1u << 20)
#define SERVER_TALK_MAX                                                                  \
	(20u << 20) /* of protocols whose clients send all that was said */
#define SERVER_PIECES_MAX (256ull << 20) /* of a body that is read in pieces */
#define SERVER_LINGER_MAX (4u << 20)     /* read and dropped while lingering */
#define SERVER_STREAM_MAX                                                                \
	(1u << 20) /* unsent output of a stream: its reader is cut off */
#define SERVER_STREAM_LOW (32u << 10)
#define SERVER_REQUESTS_MAX 100000 /* of one connection */

struct server_config {
	struct loop *loop;
	int listen_fd; /* -1: none, connections come by server_adopt */
	unsigned max_connections, max_per_address;
	int64_t time_scale; /* deadlines are divided by it; 0: 1. For tests. */
	/* Whether a request's body goes to its handler in pieces; NULL: none does. Asked
	 * when its head is there. */
	bool (*in_pieces)(void *arg, struct request *r);
	/* A whole request: answer it now or later. */
	void (*on_request)(void *arg, struct request *r);
	/* After server_drain: the last exchange has ended. */
	void (*on_drained)(void *arg);
	void *arg;
};

struct server *server_new(const struct server_config *c);
/* Closes everything at once; on_end is called for open exchanges. */
void server_free(struct server *s);
/* Takes a connected, non-blocking stream socket. address: 16 bytes, counted for
 * max_per_address. */
void server_adopt(struct server *s, int fd, const uint8_t address[16]);
/* Keep-alive ends: idle connections close, exchanges under way are the last of theirs.
 * New connections are still taken, so that health checks hear the truth. */
void server_drain(struct server *s);
bool server_is_draining(const struct server *s);
unsigned server_connections(const struct server *s);
/* Requests not yet answered. */
unsigned server_exchanges(const struct server *s);

#endif
