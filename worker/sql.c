/* SPDX-License-Identifier: Apache-2.0
 * sql.tbl as the pool's table of statements. */
#include "worker/sql.h"

const struct pg_stmt worker_sql[SQL__COUNT] = {
#define SQL(NAME, text) {#NAME, text},
#include "worker/sql.tbl"
#undef SQL
};
