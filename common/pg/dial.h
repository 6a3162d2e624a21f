/* SPDX-License-Identifier: Apache-2.0
 * How a pool's connections are opened. Private to common/pg. */
#ifndef TB_PG_DIAL_H
#define TB_PG_DIAL_H

#include <libpq-fe.h>

#include "common/pg/pool.h"

/* The limit of one statement at the server, milliseconds. */
int pg_statement_timeout_ms(const struct pg_pool_config *s);
/* Begins to connect, without blocking (PQconnectPoll goes on); NULL: the connection
 * string is malformed. */
PGconn *pg_dial(const struct pg_pool_config *s);

#endif
