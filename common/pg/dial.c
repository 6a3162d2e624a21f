/* SPDX-License-Identifier: Apache-2.0
 * Keywords and session settings of a connection. */
#include "common/pg/dial.h"

#include <stdio.h>
#include <string.h>

#include "common/die.h"

#define MAX_KEYWORDS 64
#define STATEMENT_TIMEOUT_MS 10000

int pg_statement_timeout_ms(const struct pg_pool_config *s)
{
	return s->statement_timeout_ms ? s->statement_timeout_ms : STATEMENT_TIMEOUT_MS;
}

struct keywords {
	const char *name[MAX_KEYWORDS], *value[MAX_KEYWORDS];
	int count;
};

static void keyword(struct keywords *k, const char *name, const char *value)
{
	for (int i = 0; i < k->count; i++) {
		if (strcmp(k->name[i], name))
			continue;
		k->value[i] = value;
		return;
	}
	check(k->count < MAX_KEYWORDS - 1);
	k->name[k->count] = name;
	k->value[k->count++] = value;
}

PGconn *pg_dial(const struct pg_pool_config *s)
{
	struct keywords k = {.count = 0};
	char options[512];
	PQconninfoOption *given = PQconninfoParse(s->conninfo, NULL);
	for (PQconninfoOption *o = given; o && o->keyword; o++)
		if (o->val)
			keyword(&k, o->keyword, o->val);
	/* Every statement of a process looks things up by key. A plan made while a table
	 * was small would read all of it, and stay until the table is analysed: a hundred
	 * thousand dead rows later. */
	snprintf(options, sizeof options,
		 "-c statement_timeout=%d -c lock_timeout=%d -c "
		 "idle_in_transaction_session_timeout=10000"
		 " -c plan_cache_mode=force_generic_plan -c client_min_messages=error"
		 " -c jit=off -c enable_seqscan=off -c enable_hashjoin=off -c "
		 "enable_mergejoin=off",
		 pg_statement_timeout_ms(s), s->lock_timeout_ms);
	keyword(&k, "options", options);
	keyword(&k, "application_name", s->application_name);
	keyword(&k, "tcp_user_timeout", "5000");
	keyword(&k, "keepalives_idle", "5");
	keyword(&k, "keepalives_interval", "2");
	keyword(&k, "keepalives_count", "3");
	keyword(&k, "target_session_attrs", "read-write");
	PGconn *pq = given ? PQconnectStartParams(k.name, k.value, 0) : NULL;
	PQconninfoFree(given);
	return pq;
}
