/* SPDX-License-Identifier: Apache-2.0
 * What edges say. */
#include <stdlib.h>

#include "common/alloc.h"
#include "supervisor/accept.h"
#include "supervisor/admin.h"
#include "supervisor/admin_ask.h"
#include "supervisor/children.h"
#include "supervisor/control.h"
#include "supervisor/inquiries.h"
#include "supervisor/live.h"
#include "supervisor/sup.h"
#include "supervisor/tell.h"
#include "supervisor/workspaces.h"

#define DISPATCH_SELF struct child
#define DISPATCH_PREFIX edge
#define DISPATCH_CHILD_UP DISPATCH_TAKE
#define DISPATCH_EDGE_UP DISPATCH_TAKE
#include "proto/dispatch.h"

void edge_link_message(void *child, enum wire_id id, const union wire_any *m)
{
	dispatch(child, id, m);
}

void edge_on_ready(struct child *self, const struct wire_ready *m)
{
	child_ready(self, m);
}

void edge_on_ping(struct child *self, const struct wire_ping *m)
{
	child_ping(self, m);
}

static bool is_mode(unsigned mode)
{
	return (mode >= MODE_STEER && mode <= MODE_ANNOUNCE) ||
	       (mode >= MODE_APPEND && mode < MODE__END);
}

void edge_on_enqueue(struct child *self, const struct wire_enqueue *m)
{
	if (m->slot >= LIMIT_SLOTS || m->priority < -100 || m->priority > 100 ||
	    !is_mode(m->mode) || m->drop < DROP_REJECT || m->drop > DROP_SUMMARIZE) {
		child_punish(self, "an enqueue with impossible fields");
		return;
	}
	accept_enqueue(self->sup, self, m);
}

void edge_on_subscribe(struct child *self, const struct wire_subscribe *m)
{
	live_subscribe_run(self->sup, self, m);
}

void edge_on_unsubscribe(struct child *self, const struct wire_unsubscribe *m)
{
	live_unsubscribe(self, m->sub);
}

/* Who asked, and for which of its requests. */
struct asked {
	struct child *edge;
	struct uuid life;
	uint64_t req;
};

static void on_cancel_answer(void *arg, const struct control_answer *a)
{
	struct asked asked = *(struct asked *)arg;
	struct wire_cancelled m = {.req = asked.req,
				   .error = a->err ? slice_str(err_code(a->err))
						   : SLICE(""),
				   .message = a->err ? slice_str(a->message) : SLICE(""),
				   .result = (uint32_t)a->result};
	free(arg);
	if (uuid_eq(asked.edge->incarnation, asked.life))
		child_send(asked.edge, WIRE_CANCELLED, &m);
}

static void on_decided(void *arg, const struct control_answer *a)
{
	struct asked asked = *(struct asked *)arg;
	struct wire_decided m = {.req = asked.req,
				 .error =
					 a->err ? slice_str(err_code(a->err)) : SLICE(""),
				 .message = a->err ? slice_str(a->message) : SLICE("")};
	free(arg);
	if (uuid_eq(asked.edge->incarnation, asked.life))
		child_send(asked.edge, WIRE_DECIDED, &m);
}

void edge_on_decide(struct child *self, const struct wire_decide *m)
{
	if (m->decision < DECISION_APPROVE || m->decision > DECISION_DENY) {
		child_punish(self, "a decision of no kind");
		return;
	}
	struct asked *asked = xmalloc(sizeof *asked);
	*asked = (struct asked){self, self->incarnation, m->req};
	control_decide(self->sup,
		       &(struct control_decision){.tenant = m->tenant,
						  .run = m->run,
						  .session = m->session,
						  .approval = m->approval,
						  .decision = (enum decision)m->decision,
						  .message = m->message,
						  .by = m->by},
		       on_decided, asked);
}

void edge_on_cancel(struct child *self, const struct wire_cancel *m)
{
	if (!m->req) {
		control_cancel(self->sup, m->tenant, m->run, "the API", NULL, NULL);
		return;
	}
	struct asked *asked = xmalloc(sizeof *asked);
	*asked = (struct asked){self, self->incarnation, m->req};
	control_cancel(self->sup, m->tenant, m->run, "the API", on_cancel_answer, asked);
}

static void on_heard(void *arg, const struct inquiry_heard *h)
{
	struct asked asked = *(struct asked *)arg;
	struct wire_finding m = {
		.req = asked.req,
		.error = h->err ? slice_str(err_code(h->err)) : SLICE(""),
		.message = h->err && h->message ? slice_str(h->message) : SLICE(""),
		.retry_after_s = h->retry_after_s,
		.last = h->last,
		.body = h->body.p ? h->body : SLICE("")};
	if (h->err || h->last)
		free(arg);
	if (uuid_eq(asked.edge->incarnation, asked.life))
		child_send(asked.edge, WIRE_FINDING, &m);
}

void edge_on_inquire(struct child *self, const struct wire_inquire *m)
{
	if (m->tenant <= 0 || uuid_is_nil(m->object) || m->step > INT16_MAX ||
	    (m->kind != INQUIRY_KEY && m->kind != INQUIRY_REQUEST &&
	     m->kind != INQUIRY_EMBED)) {
		child_punish(self, "an inquiry of no kind, or into nothing");
		return;
	}
	struct asked *asked = xmalloc(sizeof *asked);
	*asked = (struct asked){self, self->incarnation, m->req};
	inquiries_ask(self->sup,
		      &(struct inquiry_ask){.tenant = m->tenant,
					    .kind = (enum inquiry_kind)m->kind,
					    .object = m->object,
					    .step = m->step,
					    .model = m->model,
					    .body = m->body,
					    .by = m->by},
		      on_heard, asked);
}

/* In parts, as every finding. */
static void on_managed(void *arg, struct slice line)
{
	struct asked asked = *(struct asked *)arg;
	struct wire_finding m = {
		.req = asked.req, .error = SLICE(""), .message = SLICE("")};
	free(arg);
	while (!m.last && uuid_eq(asked.edge->incarnation, asked.life)) {
		size_t n = line.n < LIMIT_FINDING_PART ? line.n : LIMIT_FINDING_PART;
		m.body = slice_of(line.p, n);
		m.last = n == line.n;
		child_send(asked.edge, WIRE_FINDING, &m);
		line = slice_of(line.p + n, line.n - n);
	}
}

void edge_on_manage(struct child *self, const struct wire_manage *m)
{
	if (m->tenant < 0) {
		child_punish(self, "a command for nobody");
		return;
	}
	struct asked *asked = xmalloc(sizeof *asked);
	*asked = (struct asked){self, self->incarnation, m->req};
	ask_new_of_door(admin_world(self->sup->admin), m->tenant, m->by, m->line,
			on_managed, asked);
}

void edge_on_files_ask(struct child *self, const struct wire_files_ask *m)
{
	if (m->tenant <= 0 || (uuid_is_nil(m->agent) && !uuid_is_nil(m->session))) {
		child_punish(self, "a question for files of nobody");
		return;
	}
	workspaces_lend(self, m);
}

void edge_on_changed(struct child *self, const struct wire_changed *m)
{
	struct wire_invalidate told = {.tenant = m->tenant, .kind = m->kind, .id = m->id};
	tell_children(self->sup, &told);
}

void edge_on_files_done(struct child *self, const struct wire_files_done *m)
{
	workspaces_return(self, m->handle);
}
