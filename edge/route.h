/* SPDX-License-Identifier: Apache-2.0
 * From method and path to a row of routes.tbl. */
#ifndef TB_EDGE_ROUTE_H
#define TB_EDGE_ROUTE_H

#include "common/arena.h"
#include "common/slice.h"

#define ROUTE_PARAMS 3
#define ROUTE_ALLOW_MAX 64

enum route {
	ROUTE_NONE,
#define ROUTE(NAME, methods, pattern, scopes, handler) ROUTE_##NAME,
#include "edge/routes.tbl"
#undef ROUTE
	ROUTE__COUNT
};

struct call;
struct route_row {
	const char *name, *pattern;
	unsigned methods, scopes;
	void (*handler)(struct call *c);
};
struct route_match {
	enum route route;
	struct slice params[ROUTE_PARAMS]; /* decoded, in the arena */
	char allow[ROUTE_ALLOW_MAX]; /* methods of the path, when route is NONE and it
					exists */
};

/* The row of a route other than NONE. */
const struct route_row *route_row(enum route r);
/* A scope by its bit's number, as tokens name it; NULL: there is none behind. */
const char *route_scope_word(unsigned bit);
/* route NONE: the path is unknown (allow empty) or does not take the method. */
void route_find(unsigned method, struct slice path, struct arena *a,
		struct route_match *out);

#endif
