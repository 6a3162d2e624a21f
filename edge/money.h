/* SPDX-License-Identifier: Apache-2.0
 * Reads and changes of usage, budgets and prices: by the report functions of the
 * database, whose JSON is answered as it is. */
#ifndef TB_EDGE_MONEY_H
#define TB_EDGE_MONEY_H

#include "edge/call.h"
#include "edge/change.h"

struct usage_query {
	int64_t from_us, to_us; /* to: exclusive */
	struct slice by;        /* day, agent, session, model, run or user */
	struct uuid agent;      /* nil: any */
	struct slice after;     /* SLICE_NONE: from the first group on */
	unsigned limit;
};

enum { LIMIT_IS_TOKENS, LIMIT_IS_COST, LIMIT_IS_CALLS, LIMIT_IS_SECONDS, LIMIT__COUNT };
struct budget_change {
	struct slice scope, id, period; /* id: SLICE("") of the tenant */
	int64_t limit[LIMIT__COUNT];    /* 0: none; all 0: the budget goes */
};

enum { PRICE_IS_IN, PRICE_IS_OUT, PRICE_IS_CACHED, PRICE_IS_WRITE, PRICE__COUNT };
struct price_change {
	struct slice provider, model;
	int64_t micros[PRICE__COUNT]; /* -1: not said; all: the price goes */
};

/* A report, and what a change came to: change.expect is the one that is meant to be
 * replaced. The call is woken. */
struct money_answer {
	bool absent;
	struct slice json;    /* in the request's arena */
	struct change change; /* of budgets and prices; their version together */
};

void money_usage(struct call *c, const struct usage_query *q, struct money_answer *out);
/* scope SLICE_NONE: all of the tenant's. */
void money_budgets(struct call *c, struct slice scope, struct slice id,
		   struct money_answer *out);
void money_set_budget(struct call *c, const struct budget_change *b,
		      struct money_answer *out);
void money_prices(struct call *c, struct money_answer *out);
void money_set_price(struct call *c, const struct price_change *p,
		     struct money_answer *out);

/* Answers {"name":<json>}, or the report itself when name is NULL; or what went wrong.
 * `what` is absent: "such budget". */
void money_reply(struct call *c, const struct money_answer *a, const char *name,
		 const char *what);

#endif
