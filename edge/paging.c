/* SPDX-License-Identifier: Apache-2.0
 * A list's page, as its query says. */
#include "edge/paging.h"

#include <string.h>

#include "edge/lookup.h"
#include "edge/reply.h"

#define LIMIT_DEFAULT 50

static struct page_filter *filter_of(const struct call *c)
{
	return ((const struct paging *)c->state)->filter;
}

bool paging_session(struct call *c, struct slice v)
{
	return uuid_parse(v, &filter_of(c)->session) ||
	       reply_wrong(c->request, "session", "session must be a session's id");
}

bool paging_agent(struct call *c, struct slice v)
{
	if (v.n == 0 || v.n > LIMIT_NAME)
		return reply_wrong(c->request, "agent",
				   "agent must be an agent's name or id");
	if (!uuid_parse(v, &filter_of(c)->agent))
		((struct paging *)c->state)->agent = v;
	return true;
}

bool paging_limit(struct call *c, struct slice v)
{
	long long n;
	if (!slice_to_i64(v, &n) || n < 1 || n > PAGE_MAX)
		return reply_wrong(c->request, "limit",
				   "limit must be an integer from 1 to 200");
	filter_of(c)->limit = (unsigned)n;
	return true;
}

bool paging_before(struct call *c, struct slice v)
{
	return uuid_parse(v, &filter_of(c)->before) ||
	       reply_wrong(c->request, "before",
			   "before must be an id of this list, such as a page's next");
}

bool paging_read(struct call *c, struct page_filter *f, const struct query_param *params,
		 size_t count)
{
	struct paging *p = c->state;
	*p = (struct paging){.filter = f};
	f->limit = LIMIT_DEFAULT;
	memset(&f->before, 0xff, sizeof f->before);
	return query_read(c, params, count);
}

bool paging_is_complete(struct call *c)
{
	struct paging *p = c->state;
	struct agent_row row;
	if (!p->agent.p)
		return true;
	if (!lookup_found(c, lookup_agent(c, p->agent, &row), "agent",
			  "there is no such agent"))
		return false;
	p->filter->agent = row.id;
	return true;
}
