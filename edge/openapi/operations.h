/* SPDX-License-Identifier: Apache-2.0
 * What is known of each route beside how it is reached: operations.tbl. The document at
 * /openapi.json is made of it, and queries are held to it. */
#ifndef TB_EDGE_OPENAPI_OPERATIONS_H
#define TB_EDGE_OPENAPI_OPERATIONS_H

#include <stdbool.h>

#include "common/slice.h"
#include "edge/route.h"

struct operation {
	const char *tag, *summary;
	const char *params;  /* names of params.tbl, a space between */
	const char *body;    /* "": none */
	const char *answers; /* "202:RunAccepted 200:events" */
};
enum param_place { PARAM_query, PARAM_header };
struct param {
	enum param_place place;
	const char *name, *type, *text;
};

/* tag NULL: nothing is known of it. */
const struct operation *operation_of(enum route r);
/* NULL: there is none of that name. */
const struct param *param_named(struct slice name);
/* The next word of a list; SLICE_NONE at its end. */
struct slice operation_word(struct slice *rest);
/* Likewise of its parameters; needed: the request has to have it. */
struct slice operation_param(struct slice *rest, bool *needed);
/* Whether its query may name that. */
bool operation_takes(const struct operation *op, struct slice name);

#endif
