/* SPDX-License-Identifier: Apache-2.0
 * A request's query, by a table of what its path knows. A misspelt parameter must not
 * mean something else, nor one that stands twice. */
#ifndef TB_EDGE_QUERY_H
#define TB_EDGE_QUERY_H

#include "edge/call.h"

struct query_param {
	const char *name;
	/* Decoded, NUL-terminated, in the request's arena. False: answered. */
	bool (*take)(struct call *c, struct slice value);
};

/* Whether the route of the call takes all that its query names (operations.tbl). False:
 * answered 400, naming what is too much and what there is. */
bool query_fits(struct call *c);
/* Hands each name=value to its row. False: answered 400, naming the parameter. */
bool query_read(struct call *c, const struct query_param *params, size_t count);

/* An integer of these bounds. False: answered 400, naming the parameter. */
bool query_number(struct call *c, const char *name, struct slice value, long long least,
		  long long most, int64_t *out);

#endif
