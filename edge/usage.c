/* SPDX-License-Identifier: Apache-2.0
 * GET /v1/usage: what the tenant's models used, by day, agent, session, model, run or
 * user. */
#include <string.h>

#include "common/clock.h"
#include "edge/lookup.h"
#include "edge/money.h"
#include "edge/query.h"
#include "edge/reply.h"

#define DAY_US (24ll * 3600 * 1000000)
#define DEFAULT_US (30 * DAY_US)
#define RANGE_MOST_US (366 * DAY_US)
#define LIMIT_DEFAULT 50
#define LIMIT_MOST 200

enum stage { USAGE_START, USAGE_AGENT, USAGE_ASKED };

struct asking {
	struct usage_query query;
	struct slice agent; /* its name or id; SLICE_NONE: any */
	bool has_from, has_to;
	struct money_answer answer;
};

static struct asking *of(const struct call *c)
{
	return c->state;
}

static bool take_from(struct call *c, struct slice v)
{
	of(c)->has_from = true;
	return clock_parse(v, &of(c)->query.from_us) ||
	       reply_wrong(c->request, "from",
			   "from must be a day or an instant of UTC, like 2026-11-30 or "
			   "2026-11-30T12:00:00Z");
}

static bool take_to(struct call *c, struct slice v)
{
	of(c)->has_to = true;
	return clock_parse(v, &of(c)->query.to_us) ||
	       reply_wrong(c->request, "to",
			   "to must be a day or an instant of UTC, like 2026-11-30 or "
			   "2026-11-30T12:00:00Z; it is not part of what is counted");
}

static bool take_by(struct call *c, struct slice v)
{
	static const char *const words[] = {"day",   "agent", "session",
					    "model", "run",   "user"};
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (slice_is(v, words[i])) {
			of(c)->query.by = v;
			return true;
		}
	return reply_wrong(c->request, "groupBy",
			   "groupBy must be day, agent, session, model, run or user");
}

static bool take_agent(struct call *c, struct slice v)
{
	of(c)->agent = v;
	return (v.n && v.n <= LIMIT_NAME) ||
	       reply_wrong(c->request, "agent", "agent must be an agent's name or id");
}

static bool take_after(struct call *c, struct slice v)
{
	of(c)->query.after = v;
	return v.n <= 512 || reply_wrong(c->request, "after", "after is a page's next");
}

static bool take_limit(struct call *c, struct slice v)
{
	long long n;
	if (!slice_to_i64(v, &n) || n < 1 || n > LIMIT_MOST)
		return reply_wrong(c->request, "limit",
				   "limit must be an integer from 1 to 200");
	of(c)->query.limit = (unsigned)n;
	return true;
}

static bool is_id(struct slice by)
{
	return slice_is(by, "agent") || slice_is(by, "session") || slice_is(by, "run");
}

static bool is_sound(struct call *c, struct usage_query *q)
{
	struct uuid id;
	if (!of(c)->has_to)
		q->to_us = clock_real_us() + DAY_US; /* what is being written, too */
	if (!of(c)->has_from)
		q->from_us = q->to_us - DEFAULT_US;
	if (q->from_us >= q->to_us)
		return reply_wrong(c->request, "to", "to must be after from");
	if (q->to_us - q->from_us > RANGE_MOST_US)
		return reply_wrong(c->request, "from",
				   "from and to may be 366 days apart, no more");
	if (q->after.p &&
	    (is_id(q->by) ? !uuid_parse(q->after, &id)
			  : !slice_is_utf8(q->after) || slice_has_control(q->after)))
		return reply_wrong(c->request, "after", "after is a page's next");
	return true;
}

static bool begin(struct call *c)
{
	static const struct query_param params[] = {
		{"from", take_from},   {"to", take_to},       {"groupBy", take_by},
		{"agent", take_agent}, {"after", take_after}, {"limit", take_limit}};
	struct asking *a = arena_zalloc(c->request->arena, sizeof *a);
	c->state = a;
	a->query = (struct usage_query){.by = SLICE("day"), .limit = LIMIT_DEFAULT};
	if (!query_read(c, params, sizeof params / sizeof *params) ||
	    !is_sound(c, &a->query))
		return false;
	c->stage = USAGE_AGENT;
	return true;
}

static bool find_agent(struct call *c, struct asking *a)
{
	struct agent_row row;
	if (!a->agent.p)
		return true;
	if (!lookup_found(c, lookup_agent(c, a->agent, &row), "agent",
			  "there is no such agent"))
		return false;
	a->query.agent = row.id;
	return true;
}

void usage_get(struct call *c)
{
	if (c->asking || (c->stage == USAGE_START && !begin(c)))
		return;
	struct asking *a = c->state;
	if (c->stage == USAGE_ASKED) {
		money_reply(c, &a->answer, NULL, "usage");
	} else if (find_agent(c, a)) {
		c->stage = USAGE_ASKED;
		money_usage(c, &a->query, &a->answer);
	}
}
