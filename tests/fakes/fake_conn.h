/* SPDX-License-Identifier: Apache-2.0
 * Connections of the fake model: reading requests, sending answers with their pauses. */
#ifndef FAKE_CONN_H
#define FAKE_CONN_H

#include <stdbool.h>

#include "common/list.h"
#include "common/loop.h"
#include "tests/fakes/fake_http.h"
#include "tests/fakes/fake_reply.h"
#include "tests/fakes/fake_stats.h"

struct conn;

struct server {
	struct loop *loop;
	struct loop_fd *watch;
	int fd;
	char key[200]; /* what a client must present; empty: anything */
	long window;   /* tokens a request may have; -1: any */
	/* The next `storm` requests get storm_status. */
	long storm;
	int storm_status;
	char storm_wait[20]; /* seconds, for their Retry-After; empty: none */
	struct list conns;
	struct strbuf last, last_head; /* of the last chat request */
	struct strbuf answers;         /* JSON object: scripts in place of users' texts */
	struct strbuf text;            /* of the user, while a request is answered */
	struct stats stats;
};

/* Writes the answer; true: it is a chat request, to be counted as open till its end. */
bool serve(struct server *s, const struct request *q, struct reply *r);

/* Owns fd from now on. */
void conn_new(struct server *s, int fd);
void conn_close(struct conn *c);
void conn_close_all(struct server *s);

#endif
