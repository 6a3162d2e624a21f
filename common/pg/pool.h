/* SPDX-License-Identifier: Apache-2.0
 * Postgres on the loop: a few connections in pipeline mode (the home of libpq).
 *
 * A *request* is one transaction: one or more prepared statements followed by one Sync.
 * What lies between two Syncs is one implicit transaction, so an error rolls back that
 * request alone. Requests are queued and written at the turn's DATABASE phase; answers
 * come back in order on a connection. Statements are prepared on first use on each
 * connection, behind a Sync of their own; a connection that lost one, or whose statement
 * has other columns since a migration, is closed and made anew. A lost connection fails
 * its requests with ERR_DATABASE: PG_NOT_SENT (never written, safe to send again) or
 * PG_UNKNOWN (written: the commit may have landed); the pool reconnects with jitter (50
 * ms..1 s) by itself. Every statement is checked against the table given at creation; SQL
 * text never comes from anywhere else. */
#ifndef TB_PG_POOL_H
#define TB_PG_POOL_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"
#include "common/pg/param.h"
#include "common/pg/row.h"
#include "common/slice.h"

struct loop;
struct pg_pool;
struct pg_request;

struct pg_stmt {
	const char *name; /* unique, also the name of the prepared statement */
	const char *sql;
};

struct pg_pool_config {
	const char *conninfo; /* libpq keywords; the password is in it, so it is wiped
				 from memory on pg_pool_free */
	int connections;
	const struct pg_stmt *stmts; /* the process's table (X-macro over its sql.tbl) */
	size_t stmt_count;
	const char *application_name;
	int statement_timeout_ms; /* 0: 10,000 */
	int lock_timeout_ms;      /* of waiting for one lock; 0: none */
	/* Called when the first connection is up, when the last one is lost, and at each
	 * failed attempt while down. */
	void (*on_state)(void *arg, bool up, const char *message);
	void *arg;
};

/* Returns at once; connecting goes on in the loop. */
struct pg_pool *pg_pool_new(struct loop *l, const struct pg_pool_config *c);
/* Fails whatever is still open with ERR_CANCELLED. */
void pg_pool_free(struct pg_pool *p);
bool pg_pool_is_up(const struct pg_pool *p);
/* Requests neither answered nor failed yet. */
size_t pg_pool_pending(const struct pg_pool *p);

enum pg_fate { PG_COMMITTED, PG_ROLLED_BACK, PG_NOT_SENT, PG_UNKNOWN };

/* The outcome of a request, valid during the callback only. */
struct pg_answer {
	enum err err; /* ERR_OK, ERR_DATABASE (see fate), ERR_CANCELLED */
	enum pg_fate fate;
	char sqlstate[6];    /* of the statement that failed, or "" */
	const char *message; /* the server's text, one line; "" if none */
	int failed_stmt;     /* index of it in the request, -1 if none */
	const struct pg_result *const
		*results; /* one a statement, in order; NULL after a failed one */
	int result_count;
};
typedef void pg_done_fn(void *arg, const struct pg_answer *a);

/* Begins a request. */
struct pg_request *pg_begin(struct pg_pool *p);
/* Adds a statement (an index into the table). The returned params are empty, to be filled
 * before the next call. */
struct pg_params *pg_add(struct pg_request *r, int stmt);
/* The parameters of a statement that was added, to append to them. */
struct pg_params *pg_params_of(struct pg_request *r, int i);
/* Queues it. conn: the connection to use (0..n-1), or PG_ANY. done is called exactly
 * once, from the loop, never from inside pg_submit. A request waits at most queue_ms (0:
 * as long as it takes) for a connection before it fails NOT_SENT. */
#define PG_ANY (-1)
void pg_submit(struct pg_request *r, int conn, int queue_ms, pg_done_fn *done, void *arg);
/* Gives up a request that was begun and not submitted. */
void pg_discard(struct pg_request *r);

/* ---- blocking use, for the command line and the start of a process only */
struct pg_sync;
/* NULL and a sentence in err on failure. */
struct pg_sync *pg_sync_open(const char *conninfo, char *err, size_t err_size);
void pg_sync_close(struct pg_sync *s);
/* A script of statements without parameters and results, in one implicit transaction
 * unless it begins its own. */
enum err pg_sync_exec(struct pg_sync *s, const char *sql, char *err, size_t err_size);
/* One statement with binary parameters (params may be NULL). *out (may be NULL) is freed
 * with pg_result_free. */
enum err pg_sync_query(struct pg_sync *s, const char *sql, const struct pg_params *params,
		       struct pg_result **out, char *err, size_t err_size);
void pg_result_free(struct pg_result *r);
/* The SCRAM verifier of a password, so that it never travels or is logged in clear.
 * malloc'ed. */
char *pg_sync_scram(struct pg_sync *s, const char *role, const char *password);
/* A copy of conninfo with keyword=value replaced or added (value quoted as libpq wants).
 * malloc'ed. URL or keyword form in, keyword form out; NULL and a sentence when conninfo
 * is malformed. */
char *pg_conninfo_set(const char *conninfo, const char *keyword, const char *value,
		      char *err, size_t err_size);
/* Each file or directory by which a connection is made: of sockets, of certificates. Sets
 * HOME when certificates are there. Before connecting, in a process that will see no more
 * than these. */
void pg_conninfo_files(struct slice conninfo, void (*show)(const char *path));

#endif
