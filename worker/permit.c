/* SPDX-License-Identifier: Apache-2.0
 * Reading, sharing and asking permits. */
#include "worker/permit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/pg/pool.h"
#include "worker/agent.h"
#include "worker/llm/prices.h"
#include "worker/run.h"
#include "worker/session.h"
#include "worker/sql.h"

void permit_give_back(struct permit *p)
{
	if (!p || --p->users)
		return;
	policy_free(p->policy);
	price_list_free(p->prices);
	free(p);
}

static struct permit *shared(struct permit *p)
{
	p->users++;
	return p;
}

static void take_always(struct permit *p, struct slice names)
{
	while (names.n) {
		struct slice name = slice_cut(&names, ' ');
		for (size_t i = 0; i < catalog_count(); i++)
			if (slice_is(name, catalog_at(i)->name))
				p->always |= (uint64_t)1 << i;
	}
}

static struct permit *read_rows(const struct run *r, const struct pg_result *rows)
{
	struct permit *p = xcalloc(1, sizeof *p);
	struct slice versions = pg_get_text(rows, 0, 3);
	p->policy = policy_new();
	policy_put(p->policy, POLICY_CEILING, pg_get_text(rows, 0, 0));
	policy_put(p->policy, POLICY_AGENT, pg_get_text(rows, 0, 1));
	policy_put(p->policy, POLICY_SESSION, pg_get_text(rows, 0, 2));
	snprintf(p->versions, sizeof p->versions, "%.*s", SLICE_ARG(versions));
	sscanf(p->versions, "%*d.%d", &p->policy_version);
	take_always(p, pg_get_text(rows, 0, 4));
	p->prices = price_list_new(pg_get_text(rows, 0, 5));
	p->budgeted = pg_get_bool(rows, 0, 6);
	p->read_us = clock_mono_us();
	if (policy_problem(p->policy))
		log_warn("policy-unreadable", "tenant=%lld message=\"%s\"",
			 (long long)r->tenant, policy_problem(p->policy));
	return p;
}

static void set(struct permit **at, struct permit *p)
{
	permit_give_back(*at);
	*at = shared(p);
}

static void become(struct run *r, struct permit *p)
{
	set(&r->permit, p);
	if (!r->started_with)
		r->started_with = shared(p);
	r->permit_is_old = false;
}

void permit_take(struct run *r, const struct pg_result *rows)
{
	struct permit *p = shared(read_rows(r, rows));
	become(r, p);
	set(&r->session->permit, p);
	permit_give_back(p);
}

bool permit_is_there(struct run *r)
{
	struct permit *p = r->session->permit;
	if (r->permit)
		return true;
	if (!p || clock_mono_us() - p->read_us > PERMIT_FRESH_US ||
	    strcmp(p->versions, r->policy_claimed))
		return false;
	become(r, p);
	return true;
}

/* Of the policy the run began with and the present one, that which gives the tool less;
 * the present one where they say the same. */
static const struct permit *narrower(const struct run *r, size_t tool)
{
	const struct permit *first = r->started_with, *now = r->permit;
	return first != now && policy_judge(first->policy, tool, NULL) <
				       policy_judge(now->policy, tool, NULL)
		       ? first
		       : now;
}

/* Likewise, of calls in one turn. */
static const struct permit *tighter(const struct run *r)
{
	const struct permit *first = r->started_with, *now = r->permit;
	return policy_max_calls(first->policy) < policy_max_calls(now->policy) ? first
									       : now;
}

enum policy_verdict permit_judge(const struct run *r, size_t tool,
				 struct policy_reason *why)
{
	if (!r->permit || !r->agent || !(r->agent->config.tool_set >> tool & 1)) {
		if (why)
			*why = (struct policy_reason){
				.verdict = POLICY_DENY,
				.layer = "revision",
				.rule = "the agent's revision does not list it"};
		return POLICY_DENY;
	}
	if (catalog_is_builder(tool) && !r->asking.builder) {
		if (why)
			*why = (struct policy_reason){
				.verdict = POLICY_DENY,
				.layer = "message",
				.rule = "it is for a message of mode builder alone"};
		return POLICY_DENY;
	}
	if (!(asking_tools(r) >> tool & 1)) {
		if (why)
			*why = (struct policy_reason){
				.verdict = POLICY_DENY,
				.layer = "message",
				.rule = "the message of this run leaves it out"};
		return POLICY_DENY;
	}
	enum policy_verdict v = policy_judge(narrower(r, tool)->policy, tool, why);
	return v == POLICY_ASK && r->permit->always >> tool & 1 ? POLICY_ALLOW : v;
}

int permit_max_calls(const struct run *r)
{
	return r->permit ? policy_max_calls(tighter(r)->policy) : 0;
}

int permit_version(const struct run *r, size_t tool)
{
	return r->permit ? narrower(r, tool)->policy_version : 0;
}

int permit_max_calls_version(const struct run *r)
{
	return r->permit ? tighter(r)->policy_version : 0;
}
