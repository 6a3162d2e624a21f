/* SPDX-License-Identifier: Apache-2.0
 * Runs come in, pings go out. */
#include "worker/link.h"

#include <stdlib.h>
#include <sys/resource.h>

#include "common/alloc.h"
#include "common/die.h"
#include "common/fault.h"
#include "common/log.h"
#include "proto/chan.h"
#include "worker/inquiry.h"
#include "worker/keys.h"
#include "worker/run.h"

#define DISPATCH_SELF struct worker
#define DISPATCH_PREFIX worker
#define DISPATCH_CHILD_DOWN DISPATCH_TAKE
#define DISPATCH_WORKER_DOWN DISPATCH_TAKE
#include "proto/dispatch.h"

#define PING_US 1000000

static void send_message(struct worker *w, enum wire_id id, const void *m)
{
	enum err e = chan_send(w->chan, id, m);
	if (e)
		log_warn("link-send-failed", "message=%s error=%s", wire_desc(id)->name,
			 err_code(e));
}

static void on_ping(void *arg)
{
	struct worker *w = arg;
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	struct wire_ping m = {.beat = ++w->beats,
			      .runs = (uint32_t)map_count(w->runs),
			      .worst_us = (uint32_t)loop_worst_us(w->loop),
			      .rss_kib = (uint32_t)u.ru_maxrss};
	send_message(w, WIRE_PING, &m);
	loop_timer_start(w->ping, PING_US);
}

void link_ready(struct worker *w, const char *detail)
{
	struct wire_ready m = {.detail = slice_str(detail)};
	send_message(w, WIRE_READY, &m);
	chan_set_phase(w->chan, LINK_READY);
	w->ready = true;
	w->ping = loop_timer_new(w->loop, on_ping, w);
	loop_timer_start(w->ping, PING_US);
}

/* ---- receiving */

void worker_on_run_start(struct worker *w, const struct wire_run_start *m)
{
	FAULT(START_HEARD);
	run_begin(w, m);
}

void worker_on_drain(struct worker *w, const struct wire_drain *m)
{
	log_info("worker-draining", "runs=%zu grace_ms=%u", map_count(w->runs),
		 m->grace_ms);
	w->draining = true;
	chan_set_phase(w->chan, LINK_DRAINING);
	inquiries_drain(w);
}

void worker_on_invalidate(struct worker *w, const struct wire_invalidate *m)
{
	/* What else a worker caches is immutable (revisions) or checked at each claim
	 * (transcripts). */
	if (slice_is(m->kind, "provider_key"))
		keys_forget(w->keys, m->tenant);
}

/* A run that is not here any more has said what became of it: these cross with that. */
void worker_on_run_steer(struct worker *w, const struct wire_run_steer *m)
{
	struct run *r = run_find(w, m->run, m->fence);
	if (r)
		run_steer(r);
}

void worker_on_run_cancel(struct worker *w, const struct wire_run_cancel *m)
{
	struct run *r = run_find(w, m->run, m->fence);
	if (r)
		run_cancel(r, (enum cancel_reason)m->reason);
}

void worker_on_run_yield(struct worker *w, const struct wire_run_yield *m)
{
	struct run *r = run_find(w, m->run, m->fence);
	if (r)
		run_yield(r);
}

void worker_on_inquiry(struct worker *w, const struct wire_inquiry *m)
{
	inquiry_begin(w, m);
}

void worker_on_workspace(struct worker *w, const struct wire_workspace *m)
{
	struct run *r = run_find(w, m->run, m->fence);
	if (r)
		run_workspace(r, m->handle, m->error);
}

/* ---- life */

static void on_up(void *arg, unsigned peer_pid)
{
	struct worker *w = arg;
	(void)peer_pid;
	w->linked = true;
	loop_wake(w->loop, &w->starting);
}

static void on_message(void *arg, enum wire_id id, const union wire_any *m)
{
	dispatch(arg, id, m);
}

/* The supervisor closes the link when it is done with this worker. A run that is still
 * held goes on elsewhere, from its journal. */
static void on_down(void *arg, const char *why)
{
	const struct worker *w = arg;
	log_info("worker-stopped", "runs=%zu why=\"%s\"", map_count(w->runs), why);
	exit(map_count(w->runs) ? 1 : 0);
}

static void on_pressure(void *arg, bool high)
{
	struct worker *w = arg;
	w->congested = high;
	runs_pause(w, high);
}

void link_open(struct worker *w, const struct wire_boot *b)
{
	char err[256];
	char *url = xstrndup(b->url.p, b->url.n);
	struct chan_config c = {.loop = w->loop,
				.url = url,
				.role = ROLE_WORKER,
				.secret = (const uint8_t *)b->secret.p,
				.on_up = on_up,
				.on_message = on_message,
				.on_down = on_down,
				.on_pressure = on_pressure,
				.arg = w};
	if (b->secret.n != 32)
		fatal("the supervisor's BOOT message holds no secret");
	w->chan = chan_open(&c, err, sizeof err);
	if (!w->chan)
		fatal("cannot dial the supervisor: %s", err);
	free(url);
}
