/* SPDX-License-Identifier: Apache-2.0
 * Blocking use of Postgres: the command line and a process's start. */
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/pg/pool.h"

struct pg_sync {
	PGconn *pq;
};

static void say(char *err, size_t size, const char *text)
{
	if (!err || !size)
		return;
	snprintf(err, size, "%s", text);
	for (char *p = err; *p; p++)
		if (*p == '\n' || *p == '\t')
			*p = ' ';
	for (size_t n = strlen(err); n && err[n - 1] == ' '; n--)
		err[n - 1] = 0;
}

struct pg_sync *pg_sync_open(const char *conninfo, char *err, size_t err_size)
{
	PGconn *pq = PQconnectdb(conninfo);
	if (PQstatus(pq) != CONNECTION_OK) {
		say(err, err_size, PQerrorMessage(pq));
		PQfinish(pq);
		return NULL;
	}
	PQclear(PQexec(pq, "SET client_min_messages = error"));
	struct pg_sync *s = xmalloc(sizeof *s);
	s->pq = pq;
	return s;
}

void pg_sync_close(struct pg_sync *s)
{
	if (!s)
		return;
	PQfinish(s->pq);
	free(s);
}

static bool is_good(const PGresult *r)
{
	ExecStatusType status = PQresultStatus(r);
	return status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK;
}

enum err pg_sync_exec(struct pg_sync *s, const char *sql, char *err, size_t err_size)
{
	PGresult *r = PQexec(s->pq, sql);
	enum err e = is_good(r) ? ERR_OK : ERR_DATABASE;
	if (e)
		say(err, err_size, PQresultErrorMessage(r));
	PQclear(r);
	return e;
}

enum err pg_sync_query(struct pg_sync *s, const char *sql, const struct pg_params *params,
		       struct pg_result **out, char *err, size_t err_size)
{
	Oid types[PG_MAX_PARAMS];
	const char *values[PG_MAX_PARAMS];
	int lengths[PG_MAX_PARAMS], formats[PG_MAX_PARAMS],
		n = params ? params->count : 0;
	for (int i = 0; i < n; i++) {
		bool null = params->item[i].len == (size_t)-1;
		types[i] = params->item[i].oid;
		values[i] = null ? NULL : params->buf.p + params->item[i].at;
		lengths[i] = null ? 0 : (int)params->item[i].len;
		formats[i] = 1;
	}
	PGresult *r = PQexecParams(s->pq, sql, n, types, values, lengths, formats, 1);
	if (!is_good(r)) {
		say(err, err_size, PQresultErrorMessage(r));
		PQclear(r);
		return ERR_DATABASE;
	}
	if (out)
		*out = (struct pg_result *)(void *)r;
	else
		PQclear(r);
	return ERR_OK;
}

void pg_result_free(struct pg_result *r)
{
	PQclear((PGresult *)(void *)r);
}

char *pg_sync_scram(struct pg_sync *s, const char *role, const char *password)
{
	char *verifier = PQencryptPasswordConn(s->pq, password, role, "scram-sha-256");
	char *copy = verifier ? xstrdup(verifier) : NULL;
	PQfreemem(verifier);
	return copy;
}

static void add_pair(struct strbuf *b, const char *keyword, const char *value)
{
	strbuf_printf(b, "%s%s='", b->n ? " " : "", keyword);
	for (const char *p = value; *p; p++) {
		if (*p == '\'' || *p == '\\')
			strbuf_add_char(b, '\\');
		strbuf_add_char(b, *p);
	}
	strbuf_add_char(b, '\'');
}

char *pg_conninfo_set(const char *conninfo, const char *keyword, const char *value,
		      char *err, size_t err_size)
{
	char *why = NULL;
	struct strbuf b = STRBUF_INIT;
	PQconninfoOption *given = PQconninfoParse(conninfo, &why);
	if (!given) {
		say(err, err_size, why ? why : "malformed connection string");
		PQfreemem(why);
		return NULL;
	}
	for (PQconninfoOption *o = given; o->keyword; o++)
		if (o->val && strcmp(o->keyword, keyword))
			add_pair(&b, o->keyword, o->val);
	add_pair(&b, keyword, value);
	PQconninfoFree(given);
	return b.p;
}
