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

/* The newest migration this build knows. */
#define SCHEMA_VERSION 11

#endif
