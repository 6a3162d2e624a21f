/* SPDX-License-Identifier: Apache-2.0
 * What a session's runs may use, as the policy's rows said when they were read last.
 *
 * The rows may change at any time. A run heeds what took something away from the next
 * step on (the commit of each step says which versions stand), what gives more from the
 * next run on: so it keeps the permit it started with beside the present one. Between
 * runs the session keeps one for a moment, for a run whose claim found the same versions:
 * so most runs read nothing, and none begins with a policy older than itself. */
#ifndef TB_PERMIT_H
#define TB_PERMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/slice.h"
#include "proto/limits.h"
#include "proto/tools/policy.h"

struct price_list;
struct pg_result;
struct run;
struct session;

#define PERMIT_FRESH_US 1000000

struct permit {
	int users;
	struct policy *policy;
	/* of its rows, as tb.policy_versions says them */
	char versions[LIMIT_POLICY_VERSIONS + 1];
	int policy_version;        /* of the agent's */
	uint64_t always;           /* tools that a person allowed for the whole session */
	struct price_list *prices; /* the tenant's and the platform's; NULL: none */
	bool budgeted;             /* a budget of the tenant may bind its runs */
	int64_t read_us;           /* monotonic */
};

void permit_give_back(struct permit *p); /* NULL is fine */
/* The row of SQL_RUN_TERMS becomes the run's present permit, and its session's. */
void permit_take(struct run *r, const struct pg_result *rows);
/* The run has one, or its session has a fresh one, of the versions that the run's claim
 * found, that becomes it. */
bool permit_is_there(struct run *r);
/* Of a tool by its catalogue position. False: no run may be told of it. why: may be NULL.
 */
enum policy_verdict permit_judge(const struct run *r, size_t tool,
				 struct policy_reason *why);
int permit_max_calls(const struct run *r);
/* The agent's policy by whose version permit_judge decided; likewise permit_max_calls. */
int permit_version(const struct run *r, size_t tool);
int permit_max_calls_version(const struct run *r);

#endif
