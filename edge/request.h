/* SPDX-License-Identifier: Apache-2.0
 * One request and the exchange it belongs to, as a handler sees it.
 *
 * A handler gets it once, whole, and answers with the functions of edge/reply.h, at once
 * or later. Owns: the arena, the body. The request lives until its answer is complete
 * or the client went away (on_end), and then until the turn's end. */
#ifndef TB_EDGE_REQUEST_H
#define TB_EDGE_REQUEST_H

#include "common/arena.h"
#include "common/strbuf.h"
#include "edge/http_parse.h"

struct conn;
struct reply_error;

#define REQUEST_ID_MAX 64

/* A handler gets a request whole, or, where server_config.in_pieces says so, before its
 * body: then body_start begins to read that, on_body tells of each piece, and no more is
 * read from the client than REQUEST_WINDOW ahead of body_eat. */
#define REQUEST_WINDOW (128u << 10)

struct request {
	struct conn *conn;
	struct arena *arena;
	struct http_head head;
	struct strbuf body;
	bool head_only;   /* HEAD: handlers see GET, and no body goes out */
	size_t body_most; /* of one that comes whole */
	bool secure;      /* over TLS, or a socket of this machine */
	bool trusted; /* from a client that may say on whose behalf it asks: on a socket
			 of this machine, or one with a certificate */
	char id[REQUEST_ID_MAX + 1];
	struct slice fields; /* more of the answer's head: whole lines */
	/* The handler's own. on_end: the exchange is over, answered or given up by the
	 * client; nothing more may be answered. on_room, set for one call: a stream's
	 * output has drained. Both may be NULL. */
	void *owner;
	/* A body that comes in pieces: `body` holds what is not eaten yet. */
	bool in_pieces;
	bool body_whole;                    /* nothing follows what is in `body` */
	void (*on_body)(struct request *r); /* there is more, or it is whole */
	bool gone;  /* in on_end: the client left before the answer was complete */
	bool waits; /* the answer may take long: a client that shuts its side is gone */
	void (*on_end)(struct request *r);
	void (*on_room)(struct request *r);
	/* Of a protocol whose errors have a form of their own: answers in place of
	 * reply_error. NULL: they are ours. */
	void (*on_error)(struct request *r, const struct reply_error *e,
			 const char *message);
};

/* Where it comes from, 16 bytes: all clients of one address have the same. */
const uint8_t *request_address(const struct request *r);
/* A client that waits for "100 Continue" is told to send. on_body is set before. */
void body_start(struct request *r);
void body_eat(struct request *r, size_t n);

#endif
