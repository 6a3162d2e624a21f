/* SPDX-License-Identifier: Apache-2.0
 * What the admin socket reads in Postgres: one connection of its own, made at the first
 * use, so that an operator's question never stands before a run's commit. */
#ifndef TB_ADMIN_DB_H
#define TB_ADMIN_DB_H

#include <stdint.h>

#include "common/json.h"
#include "common/pg/param.h"
#include "common/pg/row.h"

struct sup;
struct ask;
struct admin_db;

struct admin_db *admin_db_new(struct sup *s);
void admin_db_free(struct admin_db *db);

/* Begins the ask's query; the caller fills the parameters, then calls admin_db_send. */
struct pg_params *admin_db_query(struct ask *a, int stmt);
/* fn gets the result, later, if the ask is not over by then; a failure ends the ask. */
void admin_db_send(struct ask *a, void (*fn)(struct ask *a, const struct pg_result *r));

/* A query whose parameters are the run that was asked for and its tenant, sent. */
void admin_db_read_run(struct ask *a, int stmt,
		       void (*fn)(struct ask *a, const struct pg_result *r));

struct audit {
	int64_t tenant; /* 0: the node's own */
	const char *actor, *action, *object;
	json_t detail; /* an object, or NULL */
};
/* Writes the row later; a failure is logged. */
void admin_db_audit(struct admin_db *db, const struct audit *row);

#endif
