/* SPDX-License-Identifier: Apache-2.0
 * One pipelined connection of a pool. Private to common/pg. */
#ifndef TB_PG_CONN_H
#define TB_PG_CONN_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/list.h"
#include "common/pg/pool.h"

#define PG_MAX_STMTS 16

enum { PREPARES_NOTHING = -1, GREETS = -2 };

struct pg_request {
	struct list node; /* in the pool's queue, a connection's queue or its flight */
	struct pg_pool *pool;
	int stmt[PG_MAX_STMTS];
	struct pg_params *params[PG_MAX_STMTS]; /* kept when the request is recycled */
	int stmt_count;
	int prepares; /* PREPARES_NOTHING; else this item only prepares that statement */
	pg_done_fn *done;
	void *arg;
	int64_t expires_us; /* 0: never */

	/* the answer so far */
	int current;
	PGresult *result[PG_MAX_STMTS];
	int failed_stmt;
	char sqlstate[6];
	char message[256];
};

enum conn_state { CONN_DOWN, CONN_CONNECTING, CONN_UP };

struct pg_conn {
	struct pg_pool *pool;
	enum conn_state state;
	PGconn *pq;
	int fd;
	struct loop_fd *watch;
	struct loop_timer
		*timer;     /* reconnect, or the limit of connecting or of silence */
	struct list queue;  /* pinned to this connection, not sent */
	struct list flight; /* sent, in order */
	int in_flight;
	bool *prepared;
	int64_t backoff_us;
	int64_t heard_us; /* something came, or had not to before this */
	int backend;      /* pid of its server process, of the last one while down */
	int64_t backend_start_us; /* since when that runs, by its clock; 0: not known */
	bool has_output;
};

void pg_conn_init(struct pg_conn *c, struct pg_pool *p);
void pg_conn_fini(struct pg_conn *c);
void pg_conn_start(struct pg_conn *c);
/* Hands the request to libpq (UP only). */
void pg_conn_send(struct pg_conn *c, struct pg_request *r);
/* Writes what libpq holds. */
void pg_conn_flush(struct pg_conn *c);

/* ---- the pool's side, for the connections */
struct loop *pg_pool_loop(struct pg_pool *p);
const struct pg_pool_config *pg_pool_settings(struct pg_pool *p);
void pg_pool_conn_changed(struct pg_pool *p, const char *message);
/* An empty request, recycled. */
struct pg_request *pg_request_new(struct pg_pool *p);
/* Calls done, once, and recycles it. */
void pg_request_settle(struct pg_request *r, enum err e, enum pg_fate fate);

#endif
