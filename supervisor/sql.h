/* SPDX-License-Identifier: Apache-2.0
 * The supervisor's statements, from sql.tbl. */
#ifndef TB_SUPERVISOR_SQL_H
#define TB_SUPERVISOR_SQL_H

#include "common/pg/pool.h"

enum {
#define SQL(NAME, text) SQL_##NAME,
#include "supervisor/sql.tbl"
#undef SQL
	SQL__COUNT
};
extern const struct pg_stmt supervisor_sql[SQL__COUNT];

/* In front of one row that may meet a lock, in its request: it has another try, so what
 * goes over the same connection does not wait for it. The row's result is the last one.
 */
static inline void sql_short_lock(struct pg_request *r)
{
	pg_text(pg_add(r, SQL_LOCK_TIMEOUT), SLICE("10ms"));
}

/* The newest migration this build knows. */
#define SCHEMA_VERSION 33

#endif
