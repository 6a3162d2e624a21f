/* SPDX-License-Identifier: Apache-2.0
 * One connection: bytes in, requests out one after the other, answers back in order.
 *
 * Pipelined requests wait in the input until the answer before them is complete.
 * Callbacks only read, mark and wake; parsing happens in the connection's task, sending
 * in the server's flush. Owns: the socket, its buffers, the current request. Private to
 * server.c, conn.c and reply.c. */
#ifndef TB_EDGE_CONN_H
#define TB_EDGE_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "common/list.h"
#include "common/listen.h"
#include "common/loop.h"
#include "common/strbuf.h"
#include "edge/http_parse.h"
#include "edge/request.h"
#include "edge/server.h"

enum conn_state {
	CONN_HEAD,   /* collecting a head, or idle */
	CONN_BODY,   /* collecting a body */
	CONN_BUSY,   /* the handler has the request */
	CONN_LAST,   /* the last answer is being sent */
	CONN_LINGER, /* our side is shut; reading until the peer closes */
	CONN_DEAD    /* freed at the turn's end */
};
enum conn_framing { FRAMING_LENGTH, FRAMING_CHUNKED, FRAMING_CLOSE };

struct conn {
	struct list node;  /* in the server's connections */
	struct list dirty; /* in the server's list of those to flush */
	struct server *server;
	struct loop_fd *watch;
	struct loop_task task;
	struct http_parser *parser;
	struct request *request;
	struct http_scan scan;
	struct strbuf in, out;
	int fd;
	enum conn_state state;
	enum conn_framing framing; /* of the answer */
	int watching;
	unsigned requests;
	bool streaming;   /* the answer's head is out, its body comes in pieces */
	bool close_after; /* this exchange is the last */
	bool eof;         /* the peer sends no more */
	bool broken;      /* the socket failed, or the reader is cut off */
	bool blocked;     /* the socket took less than was there */
	bool late;        /* a deadline passed */
	int64_t deadline_us;
	int64_t begun_us; /* of the state */
	int64_t moved_us; /* last progress of the output, or when it began */
	bool uploading;   /* the handler has the request, its body is still coming ... */
	bool wanted;      /* ... and may be read */
	uint64_t taken;   /* bytes of it that came */
	size_t received; /* of a body in its window of time, or dropped while lingering */
	int64_t whole_us; /* when a body has to be whole */
	size_t held;      /* of server_hold */
	struct slice heartbeat;
	struct tls *tls; /* NULL: plain */
	enum listen_kind kind;
	uint8_t address[16];
};

/* tls: the connection's, NULL for a plain one. */
struct conn *conn_new(struct server *s, int fd, const uint8_t address[16],
		      enum listen_kind kind, struct tls *tls);
/* Ends it now: on_end for an open request, socket closed, memory freed at the turn's
 * end. From the top of the loop only. */
void conn_kill(struct conn *c);
/* Sends what is collected. From the flush only. */
void conn_flush(struct conn *c);
/* Looks at deadlines and heartbeats. */
void conn_sweep(struct conn *c, int64_t now_us);
/* The flush of this turn shall look at it. */
void conn_mark(struct conn *c);
/* Answers with the fault and ends the connection. */
void conn_refuse(struct conn *c, const struct http_fault *f);
/* No further request; closes at once when idle. */
void conn_drain(struct conn *c);
/* The answer is complete (reply.c). */
void conn_answered(struct conn *c);

/* ---- what server.c keeps for them */
struct loop *server_loop(const struct server *s);
int64_t server_scaled(const struct server *s, int64_t us);
void server_forget(struct server *s, struct conn *c);
bool server_in_pieces(const struct server *s, struct request *r);
void server_dispatch(struct server *s, struct request *r);
void server_count_exchange(struct server *s, int delta);
/* Counts bytes of bodies; whether all of them together are within bounds. */
bool server_hold(struct server *s, size_t had, size_t has);
struct list *server_dirty(struct server *s);
/* "Mon, 23 Nov 2026 08:00:00 GMT", of the current second. */
const char *server_date(struct server *s);
/* Its limits, none of them 0. */
const struct server_config *server_settings(const struct server *s);
/* NULL: no other origin may. */
const struct cors *server_cors(const struct server *s);
/* A unique id for a request that brought none. */
void server_request_id(struct server *s, char out[REQUEST_ID_MAX + 1]);

#endif
