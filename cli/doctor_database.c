/* SPDX-License-Identifier: Apache-2.0
 * What the node needs of its database, and what must hold in it. Changes nothing: one
 * read-only session, each question with a time limit. */
#include "cli/doctor.h"

#include <stdlib.h>
#include <string.h>

#include "cli/migrations.h"
#include "cli/owner.h"
#include "cli/report.h"
#include "cli/schema.h"
#include "common/alloc.h"
#include "common/clock.h"

#define SHOWN_MOST 200
#define VIOLATIONS_MOST 1000

static const struct {
	const char *name, *sql;
} health[] = {
#define CHECK(name, function)
#define HEALTH(name, sql) {#name, sql},
#include "cli/checks.tbl"
#undef CHECK
#undef HEALTH
};

static const struct {
	const char *name, *sentence, *sql;
} invariants[] = {
#define INVARIANT(name, sentence, sql) {#name, sentence, sql},
#include "cli/invariants.tbl"
#undef INVARIANT
};

/* ---- health */

static void say_row(struct doctor *d, const struct pg_result *r)
{
	int64_t v = pg_rows(r) ? pg_get_i64(r, 0, 0) : VERDICT_WARN;
	struct slice text = pg_rows(r) ? pg_get_text(r, 0, 1) : SLICE("no answer");
	doctor_say(d, v < 0 || v > VERDICT_FAIL ? VERDICT_FAIL : (enum verdict)v, "%.*s",
		   SLICE_ARG(text));
}

/* What was reported while the question was asked is the finding. */
static void say_failed(struct doctor *d, struct strbuf *said)
{
	doctor_say(d, VERDICT_FAIL, "%s", said->n ? said->p : "it cannot be asked");
	strbuf_reset(said);
}

/* $1, for those that ask: this machine's time, in seconds. */
static void look(struct doctor *d, struct owner *o, const char *sql, struct strbuf *said)
{
	struct pg_params p;
	struct pg_result *r;
	pg_params_init(&p);
	if (strstr(sql, "$1"))
		pg_i64(&p, clock_real_us() / 1000000);
	if (owner_query(o, sql, &p, &r, "asking")) {
		say_failed(d, said);
	} else {
		say_row(d, r);
		pg_result_free(r);
	}
	pg_params_fini(&p);
}

/* -1: it is not this build's, so that nothing else can be asked of it. */
static int look_at_schema(struct doctor *d, struct owner *o, struct strbuf *said)
{
	int fails = d->count[VERDICT_FAIL];
	struct migrations m = {0};
	char err[512];
	AUTO(auto_free)
	char *dir = migrations_directory(args_text(d->args, PARAM_dir, NULL), err,
					 sizeof err);
	d->check = "schema_version";
	if (!dir || migrations_load(&m, dir, err, sizeof err)) {
		doctor_say(d, VERDICT_WARN, "%s", err);
	} else {
		int standing = schema_standing(o, &m);
		if (standing < 0)
			say_failed(d, said);
		else if ((size_t)standing < m.count)
			doctor_say(d, VERDICT_FAIL,
				   "%d, and this build needs %zu: run 'terabitsctl "
				   "migrate'",
				   standing, m.count);
		else
			doctor_say(d, VERDICT_OK, "%d", standing);
	}
	migrations_fini(&m);
	return d->count[VERDICT_FAIL] > fails ? -1 : 0;
}

/* ---- invariants */

static void say_violations(struct doctor *d, const struct pg_result *r,
			   const char *sentence)
{
	long long n = pg_get_i64(r, 0, 0);
	struct slice first = pg_get_text(r, 0, 1);
	if (n == 0)
		doctor_say(d, VERDICT_OK, "%s", sentence);
	else
		doctor_say(
			d, VERDICT_FAIL,
			"not so: %s. %s%lld rows, the first is %.*s. Keep the database "
			"and the logs as they are and report it",
			sentence, n == VIOLATIONS_MOST ? "At least " : "", n,
			first.n > SHOWN_MOST ? SHOWN_MOST : (int)first.n,
			first.p ? first.p : "");
}

static void look_at_invariant(struct doctor *d, struct owner *o, size_t i,
			      struct strbuf *said)
{
	struct strbuf sql = STRBUF_INIT;
	struct pg_result *r;
	d->check = invariants[i].name;
	strbuf_printf(&sql,
		      "SELECT count(*), min(v) FROM (SELECT x::text AS v FROM (%s) x "
		      "LIMIT %d) y",
		      invariants[i].sql, VIOLATIONS_MOST);
	if (owner_query(o, sql.p, NULL, &r, "asking")) {
		say_failed(d, said);
	} else {
		say_violations(d, r, invariants[i].sentence);
		pg_result_free(r);
	}
	strbuf_fini(&sql);
}

/* ---- all of it */

static void look_at_all(struct doctor *d, struct owner *o, enum doctor_depth depth,
			struct strbuf *said)
{
	for (size_t i = 0; i < ARRAY_LEN(health) && depth == DOCTOR_ALL; i++) {
		d->check = health[i].name;
		look(d, o, health[i].sql, said);
	}
	if (look_at_schema(d, o, said))
		return;
	for (size_t i = 0; i < ARRAY_LEN(invariants); i++)
		look_at_invariant(d, o, i, said);
}

void doctor_database(struct doctor *d, enum doctor_depth depth)
{
	struct owner o = {0};
	AUTO(strbuf_fini) struct strbuf said = STRBUF_INIT;
	d->check = "database";
	report_into(&said);
	if (owner_open(&o, d->config.state_dir) ||
	    owner_exec(&o,
		       "SET default_transaction_read_only = on; SET statement_timeout = "
		       "'60s'",
		       "setting up the connection")) {
		say_failed(d, &said);
	} else {
		doctor_say(d, VERDICT_OK, "can be reached as its owner");
		look_at_all(d, &o, depth, &said);
	}
	report_into(NULL);
	owner_close(&o);
}
