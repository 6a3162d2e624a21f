/* SPDX-License-Identifier: Apache-2.0
 * Postgres for tests of who asks it: requests are kept until the test answers them, with
 * rows made by hand or with a failure. pg_begin, pg_add and pg_submit are this file's
 * own. */
#ifndef TB_FAKE_PG_H
#define TB_FAKE_PG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <libpq-fe.h>

#include "common/alloc.h"
#include "common/attr.h"
#include "common/pg/pool.h"

#define EPOCH_2000_US 946684800000000LL

struct pg_request {
	int stmt, first_stmt; /* the last one, whose parameters are kept, and the first */
	int stmt_n;
	struct pg_params params;
	pg_done_fn *done;
	void *arg;
	bool answered;
};

#define REQUESTS_MOST 4096
static struct pg_request *requests[REQUESTS_MOST];
static int request_n;

struct pg_request *pg_begin(struct pg_pool *p)
{
	(void)p;
	assert_true(request_n < REQUESTS_MOST);
	struct pg_request *r = requests[request_n] = xcalloc(1, sizeof *r);
	pg_params_init(&r->params);
	return r;
}

struct pg_params *pg_add(struct pg_request *r, int stmt)
{
	if (r->stmt_n++ == 0)
		r->first_stmt = stmt;
	r->stmt = stmt;
	pg_params_fini(&r->params);
	pg_params_init(&r->params);
	return &r->params;
}

void pg_submit(struct pg_request *r, int conn, int queue_ms, pg_done_fn *done, void *arg)
{
	(void)conn, (void)queue_ms;
	r->done = done;
	r->arg = arg;
	request_n++;
}

/* The one that waits for its answer; there must be exactly one. */
UNUSED static struct pg_request *open_request(void)
{
	struct pg_request *found = NULL;
	for (int i = 0; i < request_n; i++) {
		if (requests[i]->answered)
			continue;
		assert_null(found);
		found = requests[i];
	}
	assert_non_null(found);
	return found;
}

UNUSED static int open_requests(void)
{
	int n = 0;
	for (int i = 0; i < request_n; i++)
		n += !requests[i]->answered;
	return n;
}

UNUSED static void forget_requests(void)
{
	while (request_n > 0) {
		struct pg_request *r = requests[--request_n];
		pg_params_fini(&r->params);
		free(r);
	}
}

static void settle(struct pg_request *r, const struct pg_answer *a)
{
	assert_false(r->answered);
	r->answered = true;
	r->done(r->arg, a);
}

UNUSED static void refuse(struct pg_request *r, enum pg_fate fate, const char *sqlstate)
{
	struct pg_answer a = {.err = ERR_DATABASE, .fate = fate, .message = "no"};
	snprintf(a.sqlstate, sizeof a.sqlstate, "%s", sqlstate);
	settle(r, &a);
}

/* ---- rows; columns that are not set are NULL */

static PGresult *rows_new(int columns, const unsigned *types, int rows)
{
	static char name[] = "c";
	PGresult *r = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
	PGresAttDesc *d = xcalloc((size_t)columns, sizeof *d);
	for (int i = 0; i < columns; i++)
		d[i] = (PGresAttDesc){.name = name, .format = 1, .typid = types[i]};
	assert_true(PQsetResultAttrs(r, columns, d));
	free(d);
	for (int row = 0; row < rows; row++)
		for (int i = 0; i < columns; i++)
			assert_true(PQsetvalue(r, row, i, NULL, -1));
	return r;
}

UNUSED static void set_i64(PGresult *r, int row, int col, int64_t v)
{
	char b[8];
	for (int i = 0; i < 8; i++)
		b[i] = (char)(uint8_t)((uint64_t)v >> (56 - 8 * i));
	assert_true(PQsetvalue(r, row, col, b, 8));
}

UNUSED static void set_bool(PGresult *r, int row, int col, bool v)
{
	char b = v;
	assert_true(PQsetvalue(r, row, col, &b, 1));
}

UNUSED static void set_time(PGresult *r, int row, int col, int64_t real_us)
{
	set_i64(r, row, col, real_us - EPOCH_2000_US);
}

UNUSED static void set_text(PGresult *r, int row, int col, const char *text)
{
	char b[64];
	snprintf(b, sizeof b, "%s", text);
	assert_true(PQsetvalue(r, row, col, b, (int)strlen(b)));
}

UNUSED static void set_uuid(PGresult *r, int row, int col, struct uuid u)
{
	assert_true(PQsetvalue(r, row, col, (char *)u.b, sizeof u.b));
}

static const struct pg_result *as_result(const PGresult *r)
{
	return (const struct pg_result *)(const void *)r;
}

/* The request committed and its last statement returned these rows, which are freed. */
UNUSED static void answer_rows(struct pg_request *r, PGresult *rows)
{
	const struct pg_result *results[4] = {NULL};
	assert_in_range(r->stmt_n, 1, ARRAY_LEN(results));
	results[r->stmt_n - 1] = as_result(rows);
	settle(r, &(struct pg_answer){.fate = PG_COMMITTED,
				      .message = "",
				      .results = results,
				      .result_count = r->stmt_n});
	PQclear(rows);
}

/* ---- what was asked */

/* The uuid that parameter is. */
UNUSED static struct uuid uuid_param(const struct pg_request *r, int param)
{
	struct uuid u;
	assert_int_equal(r->params.item[param].len, sizeof u.b);
	memcpy(u.b, r->params.buf.p + r->params.item[param].at, sizeof u.b);
	return u;
}

static const uint8_t *array_of(const struct pg_request *r, int param)
{
	return (const uint8_t *)r->params.buf.p + r->params.item[param].at;
}

/* Elements of an array parameter: the count stands behind dimensions, flags and type. */
UNUSED static int elements(const struct pg_request *r, int param)
{
	const uint8_t *at = array_of(r, param);
	if (r->params.item[param].len == 12) /* no dimension: empty */
		return 0;
	return at[12] << 24 | at[13] << 16 | at[14] << 8 | at[15];
}

/* Element i of a parameter that is an array of uuids, none of them NULL. */
UNUSED static struct uuid uuid_element(const struct pg_request *r, int param, int i)
{
	struct uuid u;
	assert_true(i < elements(r, param));
	memcpy(u.b, array_of(r, param) + 20 + i * 20 + 4, sizeof u.b);
	return u;
}

#endif
