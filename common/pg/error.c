/* SPDX-License-Identifier: Apache-2.0
 * SQLSTATEs and classes of them, the narrower ones first. */
#include "common/pg/error.h"

#include <stddef.h>
#include <string.h>

#include "common/attr.h"

static const struct {
	const char *prefix;
	enum pg_error kind;
} known[] = {
	{"55P03", PG_ERROR_LOCK},  /* lock_not_available: lock_timeout */
	{"57014", PG_ERROR_LOCK},  /* query_canceled: statement_timeout */
	{"26000", PG_ERROR_AGAIN}, /* the connection lost its prepared statement */
	{"0A000", PG_ERROR_AGAIN}, /* its result has other columns now; see conn.c */
	{"40", PG_ERROR_AGAIN},    /* serialization failure, deadlock */
	{"20", PG_ERROR_ROW},      {"21", PG_ERROR_ROW}, {"22", PG_ERROR_ROW}, /* data */
	{"23", PG_ERROR_ROW},                            /* constraints */
	{"44", PG_ERROR_ROW},      {"54", PG_ERROR_ROW}, /* too large for an index, or
							    nested too deep */
	{"P0", PG_ERROR_ROW},                            /* raised by a function */
	{"TB", PG_ERROR_ROW},                            /* by ours */
};

enum pg_error pg_error_kind(const char *sqlstate)
{
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (!strncmp(sqlstate, known[i].prefix, strlen(known[i].prefix)))
			return known[i].kind;
	return PG_ERROR_WEATHER;
}
