/* SPDX-License-Identifier: Apache-2.0
 * Permits from a document, for tests without a database. */
#ifndef TB_TEST_PERMITS_H
#define TB_TEST_PERMITS_H

#include <stdio.h>

#include "common/alloc.h"
#include "common/clock.h"
#include "worker/permit.h"

/* With one user: the caller. */
static inline struct permit *permit_of(const char *agent, int version)
{
	struct permit *p = xcalloc(1, sizeof *p);
	p->users = 1;
	p->policy = policy_new();
	policy_put(p->policy, POLICY_AGENT, slice_str(agent));
	p->policy_version = version;
	p->read_us = clock_mono_us();
	snprintf(p->versions, sizeof p->versions, "0.%d.0", version);
	return p;
}

#endif
