/* SPDX-License-Identifier: Apache-2.0
 * The database as its owner: the connection migrations are made on. Failures are
 * reported here. */
#ifndef TB_CLI_OWNER_H
#define TB_CLI_OWNER_H

#include "common/pg/pool.h"

struct owner {
	const char *state; /* the state directory, borrowed */
	char *conninfo;    /* as given; holds a password */
	struct pg_sync *pg;
};

/* By TERABITS_DATABASE_URL, else by secrets/owner of the state directory. Refuses a
 * PostgreSQL before 15. -1: reported. owner_close in any case. */
int owner_open(struct owner *o, const char *state);
void owner_close(struct owner *o);
/* One migrate after the other: waits for the lock, which the connection's end gives back.
 */
int owner_lock(struct owner *o);
/* A script; on failure "<what>: <the server's words>" is reported and -1 returned. */
int owner_exec(struct owner *o, const char *sql, const char *what);
/* One statement; params may be NULL, *out (may be NULL) is freed by pg_result_free. */
int owner_query(struct owner *o, const char *sql, const struct pg_params *params,
		struct pg_result **out, const char *what);
/* The first column of the only row, a number. -1: reported. */
int owner_number(struct owner *o, const char *sql, const char *what, long long *out);

#endif
