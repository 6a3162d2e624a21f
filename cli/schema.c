/* SPDX-License-Identifier: Apache-2.0
 * Comparing and applying: each migration in one transaction with its row of
 * tb_meta.migrations, so that a kill leaves all of it or nothing. */
#include "cli/schema.h"

#include <stdio.h>

#include "cli/report.h"
#include "common/crypto.h"

/* One applied row, at its place among the files. */
static int compare(const struct pg_result *r, int row, const struct migrations *m)
{
	long long version = pg_get_i64(r, row, 0);
	struct slice name = pg_get_text(r, row, 1), hash = pg_get_bytea(r, row, 2);
	if (version > (long long)m->count) {
		report("the database is newer than this build: migration %.*s was "
		       "applied "
		       "to it and is not in this directory. Use the newer build",
		       SLICE_ARG(name));
		return -1;
	}
	if (version != row + 1) {
		report("tb_meta.migrations lacks migration %04d though later ones were "
		       "applied: restore that row, or the database from a backup",
		       row + 1);
		return -1;
	}
	const struct migration *file = &m->list[row];
	if (slice_eq(hash, slice_of(file->sha256, sizeof file->sha256)) ||
	    migrations_was_so(file->version, hash))
		return 0;
	report("migration %s was changed after it was applied%s%.*s%s: restore it and "
	       "add "
	       "a new migration instead",
	       file->file, slice_is(name, file->file) ? "" : " (as ",
	       slice_is(name, file->file) ? 0 : (int)name.n, name.p,
	       slice_is(name, file->file) ? "" : ")");
	return -1;
}

int schema_standing(struct owner *o, const struct migrations *m)
{
	long long there;
	struct pg_result *r;
	int rv = 0, n;
	if (owner_number(o, "SELECT (to_regclass('tb_meta.migrations') IS NOT NULL)::int",
			 "looking for tb_meta.migrations", &there))
		return -1;
	if (!there)
		return 0;
	if (owner_query(o,
			"SELECT version, name, sha256 FROM tb_meta.migrations ORDER BY "
			"version",
			NULL, &r, "reading tb_meta.migrations"))
		return -1;
	n = pg_rows(r);
	for (int i = 0; i < n && !rv; i++)
		rv = compare(r, i, m);
	pg_result_free(r);
	return rv ? -1 : n;
}

static int make_table(struct owner *o)
{
	return owner_exec(o,
			  "CREATE SCHEMA IF NOT EXISTS tb_meta;"
			  "CREATE TABLE IF NOT EXISTS tb_meta.migrations ("
			  "version int PRIMARY KEY, name text NOT NULL,"
			  "sha256 bytea NOT NULL,"
			  "applied_at timestamptz NOT NULL DEFAULT now())",
			  "the table of migrations cannot be made (the role must own the "
			  "database)");
}

/* Inside the migration's transaction. */
static int note(struct owner *o, const struct migration *m)
{
	struct pg_params p;
	pg_params_init(&p);
	pg_i32(&p, m->version);
	pg_text(&p, slice_str(m->file));
	pg_bytea(&p, slice_of(m->sha256, sizeof m->sha256));
	int rv = owner_query(o,
			     "INSERT INTO tb_meta.migrations (version, name, sha256) "
			     "VALUES ($1, $2, $3)",
			     &p, NULL, "its row in tb_meta.migrations");
	pg_params_fini(&p);
	return rv;
}

static int apply(struct owner *o, const struct migration *m)
{
	char what[400];
	snprintf(what, sizeof what, "migration %s failed, nothing of it was kept",
		 m->file);
	if (owner_exec(o, "BEGIN", what))
		return -1;
	if (owner_exec(o, m->sql, what) || note(o, m)) {
		pg_sync_exec(o->pg, "ROLLBACK", NULL, 0);
		return -1;
	}
	snprintf(what, sizeof what, "migration %s: its commit failed; run migrate again",
		 m->file);
	if (owner_exec(o, "COMMIT", what))
		return -1;
	printf("applied %s\n", m->file);
	fflush(stdout);
	return 0;
}

int schema_apply(struct owner *o, const struct migrations *m)
{
	int standing = schema_standing(o, m);
	if (standing < 0 || (standing == 0 && make_table(o)))
		return -1;
	for (size_t i = (size_t)standing; i < m->count; i++)
		if (apply(o, &m->list[i]))
			return -1;
	printf("schema is at version %zu\n", m->count);
	return 0;
}
