/* SPDX-License-Identifier: Apache-2.0
 * GET /v1/runs/{run}/steps/{step}/request: what the model was asked with. */
#include "edge/call.h"
#include "edge/inquiry.h"
#include "edge/reply.h"

enum stage { REQUEST_START, REQUEST_SENT };

static bool read_path(struct call *c, struct wire_inquire *m)
{
	long long step;
	if (!call_run_id(c, 0, &m->object))
		return false;
	if (!slice_to_i64(c->match.params[1], &step) || step < 1 || step > INT16_MAX) {
		reply_err(c->request, ERR_NOT_FOUND, NULL,
			  "a run's steps are numbered from 1", 0);
		return false;
	}
	m->step = (uint32_t)step;
	return true;
}

void step_request(struct call *c)
{
	struct wire_inquire m = {.kind = INQUIRY_REQUEST};
	if (c->stage == REQUEST_SENT) {
		inquiry_reply(c);
		return;
	}
	if (!read_path(c, &m))
		return;
	c->state = arena_zalloc(c->request->arena, sizeof(struct inquiring));
	c->stage = REQUEST_SENT;
	inquiry_ask(c, &m);
}
