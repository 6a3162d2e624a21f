/* SPDX-License-Identifier: Apache-2.0
 * A request's body as a JSON object, by a table of what its path knows. A misspelt member
 * must not mean something else, nor one that stands twice. */
#ifndef TB_EDGE_BODY_H
#define TB_EDGE_BODY_H

#include "common/json.h"
#include "edge/call.h"

struct body_member {
	const char *name;
	bool (*take)(struct call *c, json_t value); /* false: answered */
};

/* The whole of it, a JSON object, which the caller frees. NULL: answered 400, naming the
 * member where a text is none. */
struct json_doc *body_object(struct call *c);
/* Hands each member to its row; an empty body has none. False: answered 400, naming the
 * member. */
bool body_read(struct call *c, const struct body_member *members, size_t count);
/* Likewise of an object in it, whose name is `within`. */
bool body_members(struct call *c, const char *within, json_t object,
		  const struct body_member *members, size_t count);
/* A text of least..most bytes without control characters, in the request's arena; with
 * `lines` these may stand in it. False: answered. */
bool body_text(struct call *c, const char *name, json_t v, size_t least, size_t most,
	       bool lines, struct slice *out);
bool body_number(struct call *c, const char *name, json_t v, int64_t least, int64_t most,
		 int64_t *out);

#endif
