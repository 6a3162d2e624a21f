/* SPDX-License-Identifier: Apache-2.0
 * Which tools a run may use: the one place where that is decided, for the list its model
 * is shown, for each call, and for people who ask why. Pure.
 *
 * A policy is layers; each can only take away. Within a layer a denial always wins. What
 * cannot be read (a row, a profile, a name that is no tool) refuses every tool and says
 * so: guessing what was meant would be worse. Rules: docs/policy.md.
 *
 * Owns: copies of what it was given. Never: opens anything. Fails: closed. */
#ifndef TB_TOOLS_POLICY_H
#define TB_TOOLS_POLICY_H

#include "common/slice.h"
#include "proto/tools/catalog.h"

enum policy_layer {
	POLICY_CEILING,  /* the tenant's: what no agent of it may exceed */
	POLICY_AGENT,    /* has a profile; what is not given is `minimal` */
	POLICY_REVISION, /* the tool list of the agent's pinned revision */
	POLICY_SESSION,  /* with a member "parent": the layers above a child */
	POLICY_LAYERS
};

enum policy_verdict { POLICY_DENY, POLICY_ASK, POLICY_ALLOW };

struct policy_reason {
	enum policy_verdict verdict;
	const char *layer; /* "ceiling", "agent", "revision", "session", "parent" */
	char rule[320];    /* a sentence: which word of which list decided */
};

#define POLICY_TEXT_MOST (64u << 10) /* bytes of a layer's document */
#define POLICY_CALLS_DEFAULT 10      /* tool calls of a turn */
#define POLICY_CALLS_MOST 1000

struct policy;
/* With nothing put: what an agent without any rows has. */
struct policy *policy_new(void);
void policy_free(struct policy *p);
/* Sets a layer from its document, a JSON object with profile, allowed, denied, ask,
 * maxToolCallsPerTurn (all may be absent, unknown members are refused; a profile is the
 * agent's alone, a ceiling asks nobody). SLICE_NONE or null: the layer says nothing. What
 * is wrong with it is kept: see policy_problem. */
void policy_put(struct policy *p, enum policy_layer l, struct slice json);
/* A set of tools as a revision's list: POLICY_REVISION. */
void policy_put_set(struct policy *p, uint64_t tools);
/* The same from the revision's own "tools"; SLICE_NONE or null: it has none, and takes
 * nothing away. */
void policy_put_tools(struct policy *p, struct slice json);
/* NULL: all layers could be read. Else a sentence; every tool is refused. */
const char *policy_problem(const struct policy *p);
/* tool < catalog_count(). why may be NULL. */
enum policy_verdict policy_judge(const struct policy *p, size_t tool,
				 struct policy_reason *why);
/* The least of all layers: 0..POLICY_CALLS_MOST. Of layers that could not be read, too:
 * a refusal shall tell the problem, not that there were too many calls. */
int policy_max_calls(const struct policy *p);
/* Whether a person's document for that layer is right; else a sentence that names the
 * member and the word. */
bool policy_check(enum policy_layer l, struct slice json, char *err, size_t err_size);
/* "allow", "ask", "deny". */
const char *policy_verdict_word(enum policy_verdict v);

#endif
