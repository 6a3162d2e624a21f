/* SPDX-License-Identifier: Apache-2.0
 * What is paused: a set, so that tenants, agents and lanes without runs can be; those
 * with runs know it themselves as well. */
#include <stdio.h>
#include <stdlib.h>

#include "common/alloc.h"
#include "common/map.h"
#include "supervisor/lq_state.h"

struct pause_key {
	int64_t scope, tenant;
	struct uuid id;
};

/* The ids that the scope does not need are left out of the key. */
static struct pause_key key_of(enum lq_scope scope, int64_t tenant, struct uuid id)
{
	return (struct pause_key){
		scope, scope == LQ_NODE ? 0 : tenant,
		scope == LQ_AGENT || scope == LQ_LANE ? id : (struct uuid){{0}}};
}

static struct slice slice_of_key(const struct pause_key *k)
{
	return slice_of(k, sizeof *k);
}

bool lq_run_is_paused(const struct lq *q, const struct lq_run *r)
{
	const struct lane *l = r->lane;
	bool may_be = !r->ran || r->unclaimed;
	return may_be &&
	       (l->paused || l->agent->paused || l->agent->tenant->paused || q->paused);
}

/* Those of the tenant, or of the agent; NULL: whichever. */
static void judge_lanes(struct lq *q, const struct tenant *t, const struct agent *a)
{
	for (struct lane *l = NULL; (l = lq_lane_next(q, l));)
		if ((!a || l->agent == a) && (!t || l->agent->tenant == t))
			lq_lane_judge(q, l);
}

static void tell_tenant(struct lq *q, const struct lq_event *e, bool paused)
{
	struct tenant *t = lq_tenant_find(q, e->tenant);
	if (!t)
		return;
	t->paused = paused;
	judge_lanes(q, t, NULL);
}

static void tell_agent(struct lq *q, const struct lq_event *e, bool paused)
{
	struct agent *a = lq_agent_find(q, e->tenant, &e->id);
	if (!a)
		return;
	a->paused = paused;
	judge_lanes(q, NULL, a);
}

static void tell_lane(struct lq *q, const struct lq_event *e, bool paused)
{
	struct lane *l = lq_lane_find(q, e->tenant, &e->id);
	if (!l)
		return;
	struct lq_run *head = lq_lane_head(l);
	l->paused = paused;
	if (head && !paused)
		head->unclaimed = 0;
	lq_lane_judge(q, l);
}

static void tell_node(struct lq *q, bool paused)
{
	q->paused = paused;
	judge_lanes(q, NULL, NULL);
}

static void tell(struct lq *q, const struct lq_event *e)
{
	bool paused = lq_is_paused(q, e->scope, e->tenant, e->id);
	if (e->scope == LQ_NODE)
		tell_node(q, paused);
	else if (e->scope == LQ_TENANT)
		tell_tenant(q, e, paused);
	else if (e->scope == LQ_AGENT)
		tell_agent(q, e, paused);
	else
		tell_lane(q, e, paused);
}

void lq_pause_set(struct lq *q, const struct lq_event *e)
{
	struct pause_key key = key_of(e->scope, e->tenant, e->id);
	struct lq_pause *p = xmalloc(sizeof *p);
	*p = (struct lq_pause){.scope = e->scope,
			       .tenant = key.tenant,
			       .id = key.id,
			       .failed_run = e->failed_run};
	snprintf(p->failed_code, sizeof p->failed_code, "%.*s",
		 SLICE_ARG(e->failed_code));
	free(map_put(q->pauses, slice_of_key(&key), p));
	tell(q, e);
}

void lq_pause_clear(struct lq *q, const struct lq_event *e)
{
	struct pause_key key = key_of(e->scope, e->tenant, e->id);
	free(map_take(q->pauses, slice_of_key(&key)));
	tell(q, e);
}

void lq_pauses_free(struct lq *q)
{
	void *p;
	for (size_t it = 0; map_next(q->pauses, &it, NULL, &p);)
		free(p);
	map_free(q->pauses);
}

void lq_each_pause(const struct lq *q, bool (*fn)(void *ctx, const struct lq_pause *p),
		   void *ctx)
{
	void *p;
	for (size_t it = 0; map_next(q->pauses, &it, NULL, &p);)
		if (!fn(ctx, p))
			return;
}

const struct lq_pause *lq_pause_find(const struct lq *q, enum lq_scope scope,
				     int64_t tenant, struct uuid id)
{
	struct pause_key key = key_of(scope, tenant, id);
	return map_count(q->pauses) > 0 ? map_get(q->pauses, slice_of_key(&key)) : NULL;
}

bool lq_is_paused(const struct lq *q, enum lq_scope scope, int64_t tenant, struct uuid id)
{
	return lq_pause_find(q, scope, tenant, id) != NULL;
}
