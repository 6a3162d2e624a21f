/* SPDX-License-Identifier: Apache-2.0
 * What workers say. */
#include "common/clock.h"
#include "common/fault.h"
#include "common/log.h"
#include "supervisor/children.h"
#include "supervisor/inquiries.h"
#include "supervisor/lane_look.h"
#include "supervisor/live.h"
#include "supervisor/runs.h"
#include "supervisor/sup.h"
#include "supervisor/tell.h"
#include "supervisor/workspaces.h"

#define DISPATCH_SELF struct child
#define DISPATCH_PREFIX worker
#define DISPATCH_CHILD_UP DISPATCH_TAKE
#define DISPATCH_WORKER_UP DISPATCH_TAKE
#include "proto/dispatch.h"

void worker_link_message(void *child, enum wire_id id, const union wire_any *m)
{
	dispatch(child, id, m);
}

void worker_on_ready(struct child *self, const struct wire_ready *m)
{
	child_ready(self, m);
}

void worker_on_ping(struct child *self, const struct wire_ping *m)
{
	child_ping(self, m);
}

/* The run if this worker is its runner under that fence. */
static struct lq_run *own_run(struct child *w, struct uuid run, int64_t fence)
{
	struct lq_run *r = lq_find(w->sup->lq, run);
	struct live *l = live_find(w->sup, run);
	if (!r || !l || lq_run_state(r) != LQ_S_RUNNING ||
	    lq_run_worker(r) != w->ordinal || l->fence != fence)
		return NULL;
	return r;
}

void worker_on_run_accepted(struct child *self, const struct wire_run_accepted *m)
{
	if (!own_run(self, m->run, m->fence))
		child_punish(self, "it accepted a run it was not given");
}

void worker_on_event(struct child *self, const struct wire_event *m)
{
	struct live *l = live_find(self->sup, m->run);
	if (l && own_run(self, m->run, m->fence))
		live_event(self->sup, l, m);
}

/* Its agent's failure policy may have done something about its lane. */
static bool needs_look(const struct wire_run_done *m)
{
	bool failed = m->result == RESULT_FAILED || m->result == RESULT_DEAD ||
		      m->result == RESULT_TIMED_OUT;
	return failed && !m->goes_on;
}

void worker_on_run_done(struct child *self, const struct wire_run_done *m)
{
	struct sup *s = self->sup;
	struct lq_run *r = own_run(self, m->run, m->fence);
	FAULT(DONE_HEARD);
	if (!r)
		return;
	struct live *l = live_find(s, m->run);
	struct wire_sub_end end = {.result = m->result,
				   .error = m->error,
				   .started_us = l->started_us,
				   .ended_us =
					   m->ended_us ? m->ended_us : clock_real_us()};
	workspaces_take_back(self, r);
	if (needs_look(m))
		lane_look(s, lq_run_tenant(r), lq_run_session(r));
	runs_ended(s, r, &end);
}

void worker_on_run_lost(struct child *self, const struct wire_run_lost *m)
{
	struct lq_run *r = own_run(self, m->run, m->fence);
	if (!r)
		return;
	log_warn("run-lost", "worker=%d", self->ordinal);
	workspaces_take_back(self, r);
	sup_step(self->sup, &(struct lq_event){.kind = LQ_LOST, .run = r});
}

/* Only what waits in its own lane: another's it cannot have seen. */
void worker_on_run_taken(struct child *self, const struct wire_run_taken *m)
{
	struct lq_run *r = own_run(self, m->run, m->fence);
	struct lq_run *taken = lq_find(self->sup->lq, m->taken);
	if (!r || !taken || taken == r)
		return;
	if (lq_run_tenant(r) != lq_run_tenant(taken) ||
	    !uuid_eq(lq_run_session(r), lq_run_session(taken))) {
		child_punish(self, "it took a run of another lane");
		return;
	}
	runs_taken(self->sup, taken, m->run);
}

void worker_on_agent_changed(struct child *self, const struct wire_agent_changed *m)
{
	struct lq_run *r = own_run(self, m->run, m->fence);
	struct wire_invalidate told = {.kind = SLICE("agent"), .id = m->agent};
	if (!r)
		return;
	told.tenant = lq_run_tenant(r);
	tell_children(self->sup, &told);
}

void worker_on_run_yielded(struct child *self, const struct wire_run_yielded *m)
{
	struct lq_run *r = own_run(self, m->run, m->fence);
	if (!r)
		return;
	workspaces_take_back(self, r);
	sup_step(self->sup, &(struct lq_event){.kind = LQ_YIELDED, .run = r});
}

void worker_on_run_retry(struct child *self, const struct wire_run_retry *m)
{
	struct lq_run *r = own_run(self, m->run, m->fence);
	if (!r)
		return;
	workspaces_take_back(self, r);
	int64_t at_us = m->run_at_us ? m->run_at_us : sup_db_now_us(self->sup);
	sup_step(self->sup,
		 &(struct lq_event){.kind = LQ_RETRY, .run = r, .at_us = at_us});
}

void worker_on_run_asks(struct child *self, const struct wire_run_asks *m)
{
	struct lq_run *r = own_run(self, m->run, m->fence);
	if (!r)
		return;
	workspaces_take_back(self, r);
	sup_step(self->sup,
		 &(struct lq_event){.kind = m->until_us ? LQ_ASKS : LQ_ANSWERED,
				    .run = r,
				    .at_us = m->until_us});
}

void worker_on_run_progress(struct child *self, const struct wire_run_progress *m)
{
	struct lq_run *r = own_run(self, m->run, m->fence);
	if (r)
		sup_step(self->sup, &(struct lq_event){.kind = LQ_PROGRESS, .run = r});
}

void worker_on_inquiry_part(struct child *self, const struct wire_inquiry_part *m)
{
	inquiries_part(self, m);
}

void worker_on_workspace_ask(struct child *self, const struct wire_workspace_ask *m)
{
	struct lq_run *r = own_run(self, m->run, m->fence);
	if (r)
		workspaces_grant(self, r, m);
}
