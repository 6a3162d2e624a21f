/* SPDX-License-Identifier: Apache-2.0
 * Everything a worker says to Postgres: the rows of sql.tbl. */
#ifndef TB_WORKER_SQL_H
#define TB_WORKER_SQL_H

#include "common/pg/pool.h"

enum worker_sql {
#define SQL(NAME, text) SQL_##NAME,
#include "worker/sql.tbl"
#undef SQL
	SQL__COUNT
};

/* Journal commits of a run never overtake each other: they share one connection. Reads
 * and the tools' own statements use the other. */
enum { CONN_JOURNAL = 0, CONN_READS = 1, CONNECTIONS = 2 };

extern const struct pg_stmt worker_sql[SQL__COUNT];

#endif
