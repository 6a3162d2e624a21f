/* SPDX-License-Identifier: Apache-2.0
 * A layer's document as people write it, as it is kept, and what came of all of them.
 * Pure. */
#ifndef TB_TOOLS_POLICY_DOC_H
#define TB_TOOLS_POLICY_DOC_H

#include "common/json.h"
#include "proto/tools/policy.h"

/* Appends the document as it is kept: every member its layer knows (a session's: those
 * that were given), words in small letters and once each. False: it is not right; a
 * sentence as policy_check's. */
bool policy_compose(enum policy_layer l, struct slice json, struct strbuf *out, char *err,
		    size_t err_size);
/* The member that a sentence of policy_check or policy_compose begins with; "" when it is
 * about the document as a whole. */
void policy_blame(const char *err, char *member, size_t size);

/* What Postgres holds; SLICE_NONE where there is nothing. */
struct policy_layers {
	struct slice ceiling, agent, tools, session;
};
struct policy *policy_of(const struct policy_layers *d);

/* The tools that a word of a person means, as a word of a policy; false: none. */
bool policy_tools_of(struct slice word, uint64_t *tools);
#define POLICY_EVERY_TOOL UINT64_MAX
/* Members of an object: "problem" (null), "maxToolCallsPerTurn", "tools" with name,
 * category, verdict, layer and rule of each of a set. */
void policy_explain(struct json_out *o, const struct policy *p, uint64_t tools);

#endif
