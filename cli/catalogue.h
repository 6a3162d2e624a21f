/* SPDX-License-Identifier: Apache-2.0
 * Tenants, agents and tokens as the database's owner: what their commands share. Each
 * change is one statement that also writes its row of tb.audit_log. */
#ifndef TB_CLI_CATALOGUE_H
#define TB_CLI_CATALOGUE_H

#include <stdint.h>

#include "cli/command.h"
#include "cli/owner.h"
#include "common/config.h"
#include "common/strbuf.h"

struct catalogue {
	const struct args *args;
	struct config config;
	struct owner owner;
	/* catalogue_tenant */
	int64_t tenant;
	char slug[64];
};

/* Connects; an exit status, reported unless 0. catalogue_close in any case. */
int catalogue_open(struct catalogue *c, const struct args *a);
void catalogue_close(struct catalogue *c);
/* Looks up --tenant or TENANT, by slug or number, into c->tenant. An exit status. */
int catalogue_tenant(struct catalogue *c);
/* The two parameters that the audit row of a change takes: its id and who did it. */
void catalogue_put_actor(struct pg_params *p);
/* Runs a statement that answers one row with one text, a JSON object. 1: *json has it; 0:
 * no row; -1: reported. `what` as owner_query. */
int catalogue_query(struct catalogue *c, const char *sql, const struct pg_params *p,
		    struct strbuf *json, const char *what);
/* Prints an answer like a node's. */
void catalogue_print(const struct catalogue *c, const struct strbuf *json);
/* The same for a command that only lists. An exit status. */
int catalogue_list(struct catalogue *c, const char *sql, const struct pg_params *p,
		   const char *what);
/* A whole list command: the objects of --tenant, or of all. $1 of the statement is the
 * tenant's number, or 0. An exit status. */
int catalogue_list_by_tenant(const struct args *a, const char *sql, const char *what);
/* Tells the node of this machine, if one runs, that what it knows of an object of
 * c->tenant is old; `kind` is token, tenant or agent, `id` (may be NULL) the object's. */
void catalogue_invalidate(const struct catalogue *c, const char *kind,
			  const struct uuid *id);

#define CATALOGUE_TIME(column)                                                           \
	"to_char(" column " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"
/* A CTE: the audit row of each row of the CTE `made`, by parameters $1 and $2. */
#define CATALOGUE_AUDIT(tenant, action, object, detail)                                  \
	"noted AS (INSERT INTO tb.audit_log (tenant_id, audit_id, actor, action, "       \
	"object, detail) SELECT " tenant ", $1, $2, " action ", " object ", " detail     \
	" FROM made) "

#endif
