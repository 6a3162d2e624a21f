/* SPDX-License-Identifier: Apache-2.0
 * The table of statements. */
#include "supervisor/sql.h"

const struct pg_stmt supervisor_sql[SQL__COUNT] = {
#define SQL(NAME, text) {#NAME, text},
#include "supervisor/sql.tbl"
#undef SQL
};
