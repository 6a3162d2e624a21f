/* SPDX-License-Identifier: Apache-2.0
 * Typed, checked access to a result in binary format. A column of another type than asked
 * for is a bug (panic). */
#ifndef TB_PG_ROW_H
#define TB_PG_ROW_H

#include <stdbool.h>
#include <stdint.h>

#include "common/ident.h"
#include "common/slice.h"

struct pg_result; /* a PGresult */

int pg_rows(const struct pg_result *r);
bool pg_is_null(const struct pg_result *r, int row, int col);
bool pg_get_bool(const struct pg_result *r, int row, int col);
/* int2, int4 or int8; 0 for NULL. */
int64_t pg_get_i64(const struct pg_result *r, int row, int col);
/* text, varchar, name, enum or json(b) (its text); SLICE_NONE for NULL. Borrowed from the
 * result. */
struct slice pg_get_text(const struct pg_result *r, int row, int col);
struct slice pg_get_bytea(const struct pg_result *r, int row, int col);
struct uuid pg_get_uuid(const struct pg_result *r, int row, int col); /* nil for NULL */
/* Microseconds since 1970; 0 for NULL. */
int64_t pg_get_time(const struct pg_result *r, int row, int col);

#endif
