/* SPDX-License-Identifier: Apache-2.0
 * From what an operator calls a tenant, agent, session or run to its ids. */
#ifndef TB_ADMIN_NAMES_H
#define TB_ADMIN_NAMES_H

struct ask;
struct lq_run;

/* What to find. An id is believed unless NAMES_CHECK asks Postgres whether it exists; a
 * session is always asked for. A tenant that was not named is the only active one. */
enum { NAMES_TENANT = 1, NAMES_AGENT = 2, NAMES_SESSION = 4, NAMES_CHECK = 8 };

/* Fills a->names, then calls `then`, at once or later; what does not exist ends the ask
 * with ERR_NOT_FOUND. An agent and a session bring their tenant. */
void names_find(struct ask *a, unsigned want, void (*then)(struct ask *a));
/* The bits of the tenant and the agent as far as they are given: for filters. */
unsigned names_given(const struct ask *a);
/* The tenant of the argument "run", by the queue or as names_find has it. */
void names_find_run(struct ask *a, void (*then)(struct ask *a));
/* The live run of that argument, NULL when the queue has none; in or after
 * names_find_run's `then`. */
struct lq_run *names_run(const struct ask *a);

#endif
