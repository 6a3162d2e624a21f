/* SPDX-License-Identifier: Apache-2.0
 * Reading binary results, each column checked against what it is read as. */
#include "common/pg/row.h"

#include <libpq-fe.h>

#include "common/die.h"
#include "common/pg/param.h"

#define EPOCH_2000_US 946684800000000LL

static const PGresult *result(const struct pg_result *r)
{
	return (const PGresult *)(const void *)r;
}

int pg_rows(const struct pg_result *r)
{
	return PQntuples(result(r));
}

bool pg_is_null(const struct pg_result *r, int row, int col)
{
	return PQgetisnull(result(r), row, col) != 0;
}

static const char *field(const struct pg_result *r, int row, int col, size_t *n)
{
	check(row >= 0 && row < PQntuples(result(r)) && col >= 0 &&
	      col < PQnfields(result(r)));
	check(PQfformat(result(r), col) == 1);
	*n = (size_t)PQgetlength(result(r), row, col);
	return PQgetvalue(result(r), row, col);
}

static uint64_t number(const char *p, size_t n)
{
	uint64_t v = 0;
	for (size_t i = 0; i < n; i++)
		v = v << 8 | (uint8_t)p[i];
	return v;
}

bool pg_get_bool(const struct pg_result *r, int row, int col)
{
	size_t n;
	const char *p = field(r, row, col, &n);
	check(PQftype(result(r), col) == PG_BOOL);
	return n == 1 && p[0];
}

int64_t pg_get_i64(const struct pg_result *r, int row, int col)
{
	size_t n;
	const char *p = field(r, row, col, &n);
	Oid type = PQftype(result(r), col);
	if (pg_is_null(r, row, col))
		return 0;
	if (type == PG_INT2 && n == 2)
		return (int16_t)number(p, 2);
	if (type == PG_INT4 && n == 4)
		return (int32_t)number(p, 4);
	check(type == PG_INT8 && n == 8);
	return (int64_t)number(p, 8);
}

static bool is_binary(Oid type)
{
	return type == PG_BOOL || type == PG_BYTEA || type == PG_INT2 ||
	       type == PG_INT4 || type == PG_INT8 || type == PG_TIMESTAMPTZ ||
	       type == PG_UUID;
}

struct slice pg_get_text(const struct pg_result *r, int row, int col)
{
	size_t n;
	const char *p = field(r, row, col, &n);
	if (pg_is_null(r, row, col))
		return SLICE_NONE;
	if (PQftype(result(r), col) == PG_JSONB) {
		check(n > 0 && p[0] == 1);
		return slice_of(p + 1, n - 1);
	}
	/* text, varchar, name, json, enums (of any oid) travel as their characters. */
	check(!is_binary(PQftype(result(r), col)));
	return slice_of(p, n);
}

struct slice pg_get_bytea(const struct pg_result *r, int row, int col)
{
	size_t n;
	const char *p = field(r, row, col, &n);
	check(PQftype(result(r), col) == PG_BYTEA);
	return pg_is_null(r, row, col) ? SLICE_NONE : slice_of(p, n);
}

struct uuid pg_get_uuid(const struct pg_result *r, int row, int col)
{
	struct uuid u = {{0}};
	size_t n;
	const char *p = field(r, row, col, &n);
	check(PQftype(result(r), col) == PG_UUID);
	if (!pg_is_null(r, row, col) && n == sizeof u.b)
		memcpy(u.b, p, sizeof u.b);
	return u;
}

int64_t pg_get_time(const struct pg_result *r, int row, int col)
{
	size_t n;
	const char *p = field(r, row, col, &n);
	check(PQftype(result(r), col) == PG_TIMESTAMPTZ);
	if (pg_is_null(r, row, col))
		return 0;
	return (int64_t)number(p, 8) + EPOCH_2000_US;
}
