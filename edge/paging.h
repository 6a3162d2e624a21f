/* SPDX-License-Identifier: Apache-2.0
 * What the lists of a tenant have in common: ?agent, ?session, ?limit, ?before. */
#ifndef TB_EDGE_PAGING_H
#define TB_EDGE_PAGING_H

#include "edge/call.h"
#include "edge/query.h"
#include "edge/store.h"

/* The first member of such a list's c->state. */
struct paging {
	struct page_filter *filter;
	struct slice agent; /* a name that is to be looked up */
};

/* For its table of parameters; */
#define PAGING_PARAMS                                                                    \
	{"session", paging_session}, {"agent", paging_agent}, {"limit", paging_limit},   \
	{                                                                                \
		"before", paging_before                                                  \
	}

bool paging_session(struct call *c, struct slice v);
bool paging_agent(struct call *c, struct slice v);
bool paging_limit(struct call *c, struct slice v);
bool paging_before(struct call *c, struct slice v);

/* The newest of everything, 50 of them, into *f; then what the query says. False:
 * answered. */
bool paging_read(struct call *c, struct page_filter *f, const struct query_param *params,
		 size_t count);
/* The agent, if it is to be looked up. False: answered, or it is still under way: ask
 * again. */
bool paging_is_complete(struct call *c);

#endif
