/* SPDX-License-Identifier: Apache-2.0
 * The listening sockets and all connections: accepting, caps, deadlines, the flush of a
 * turn, drain.
 *
 * Whatever handlers answer during a turn is collected in each connection and sent at the
 * CONNECTIONS phase, one send a connection. Owns: connections. Never: the listening
 * sockets (inherited). */
#ifndef TB_EDGE_SERVER_H
#define TB_EDGE_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/listen.h"
#include "edge/request.h"

struct loop;
struct server;
struct conn;
struct cors;
struct tls_keys;

/* Deadlines; microseconds. */
#define SERVER_HEAD_US 10000000
#define SERVER_IDLE_US 60000000
/* In each of these windows SERVER_BODY_RATE bytes a second of a body have to come; one
 * that is read whole has to be there in the end. */
#define SERVER_BODY_US 10000000
#define SERVER_BODY_RATE 1024
#define SERVER_BODY_END_US 600000000
#define SERVER_STALL_US 30000000 /* output of which nothing could be sent */
#define SERVER_LINGER_US 2000000 /* after the answer that ends a connection */
#define SERVER_HEARTBEAT_US 15000000
#define SERVER_SWEEP_US 500000
/* Bytes. */
#define SERVER_BODY_MAX (1u << 20)
#define SERVER_TALK_MAX                                                                  \
	(20u << 20) /* of protocols whose clients send all that was said */
/* Of all bodies that are being read whole or are with their handlers. Beyond it those
 * that are small still come in. */
#define SERVER_BODIES_MAX (256u << 20)
#define SERVER_BODY_SMALL (64u << 10)
#define SERVER_PIECES_MAX (256ull << 20) /* of a body that is read in pieces */
#define SERVER_LINGER_MAX (4u << 20)     /* read and dropped while lingering */
#define SERVER_STREAM_MAX                                                                \
	(1u << 20) /* unsent output of a stream: its reader is cut off */
#define SERVER_STREAM_LOW (32u << 10)
#define SERVER_REQUESTS_MAX 100000 /* of one connection */

/* A listening socket, non-blocking. */
struct server_listener {
	int fd;
	enum listen_kind kind;
	unsigned edge; /* whose queue it is; SERVER_EVERYBODY */
};
#define SERVER_EVERYBODY 255u

struct server_config {
	struct loop *loop;
	const struct server_listener *listeners; /* may be none: server_adopt */
	unsigned listener_count;
	unsigned edge; /* which one this is */
	unsigned max_connections;
	unsigned max_per_address; /* of TCP */
	/* 0: as the macros above say. */
	int64_t head_us;
	unsigned body_rate, requests_most;
	const struct cors *cors; /* NULL: no other origin may */
	size_t bodies_max;       /* 0: SERVER_BODIES_MAX */
	int64_t time_scale;      /* deadlines are divided by it; 0: 1. For tests. */
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
 * max_per_address. Of TLS only while there are keys. */
void server_adopt(struct server *s, int fd, const uint8_t address[16],
		  enum listen_kind kind);
/* What TLS connections begin with from now on; taken over. */
void server_set_keys(struct server *s, struct tls_keys *k);
/* Beside its own, the sockets of these edges are served: a bit each. */
void server_stand_in(struct server *s, uint32_t edges);
/* Keep-alive ends: idle connections close, exchanges under way are the last of theirs.
 * New connections are still taken, so that health checks hear the truth. */
void server_drain(struct server *s);
bool server_is_draining(const struct server *s);
unsigned server_connections(const struct server *s);
/* Requests not yet answered. */
unsigned server_exchanges(const struct server *s);

#endif
