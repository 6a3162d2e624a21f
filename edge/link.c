/* SPDX-License-Identifier: Apache-2.0
 * The edge's end of the link, and the subscriptions that run over it. */
#include "edge/link.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "common/alloc.h"
#include "common/die.h"
#include "common/log.h"
#include "common/loop.h"
#include "edge/auth.h"
#include "edge/call.h"
#include "edge/files.h"
#include "edge/doors.h"
#include "edge/handles.h"
#include "edge/limits.h"
#include "edge/lookup.h"
#include "edge/server.h"
#include "proto/chan.h"
#include "sandbox/client/jails.h"

#define DISPATCH_SELF struct edge
#define DISPATCH_PREFIX edge
#define DISPATCH_CHILD_DOWN DISPATCH_TAKE
#define DISPATCH_EDGE_DOWN DISPATCH_TAKE
#include "proto/dispatch.h"

#define PING_US 1000000
/* Before the supervisor kills what has not ended by its grace. */
#define GRACE_MARGIN_MS 1000

/* ---- sending */

static bool send_message(struct edge *e, enum wire_id id, const void *m)
{
	if (!e->linked)
		return false;
	enum err err = chan_send(e->chan, id, m);
	if (err)
		log_warn("link-send-failed", "message=%s error=%s", wire_desc(id)->name,
			 err_code(err));
	return !err;
}

bool link_enqueue(struct edge *e, const struct wire_enqueue *m)
{
	if (e->linked && chan_outbox(e->chan) > LIMIT_OUTBOX_HARD)
		return false;
	limits_note_run(handle_get(e->calls, m->req), m->run);
	return send_message(e, WIRE_ENQUEUE, m);
}

bool link_cancel(struct edge *e, const struct wire_cancel *m)
{
	return send_message(e, WIRE_CANCEL, m);
}

bool link_files(struct edge *e, const struct wire_files_ask *m)
{
	return send_message(e, WIRE_FILES_ASK, m);
}

void link_files_done(struct edge *e, uint64_t handle)
{
	struct wire_files_done m = {.handle = handle};
	send_message(e, WIRE_FILES_DONE, &m);
}

bool link_decide(struct edge *e, const struct wire_decide *m)
{
	return send_message(e, WIRE_DECIDE, m);
}

bool link_inquire(struct edge *e, const struct wire_inquire *m)
{
	return send_message(e, WIRE_INQUIRE, m);
}

bool link_manage(struct edge *e, const struct wire_manage *m)
{
	return send_message(e, WIRE_MANAGE, m);
}

void link_changed(struct edge *e, int64_t tenant, struct slice kind, struct uuid id)
{
	struct wire_changed m = {.tenant = tenant, .kind = kind, .id = id};
	send_message(e, WIRE_CHANGED, &m);
}

void sub_number(struct sub *s, struct call *c)
{
	s->call = c;
	s->handle = handle_new(c->edge->subs, s);
}

void sub_open(struct sub *s, struct call *c, struct uuid run,
	      const struct sse_place *place, enum sub_want want)
{
	sub_number(s, c);
	struct wire_subscribe m = {.sub = s->handle,
				   .tenant = c->caller.tenant,
				   .run = run,
				   .after_seq = place->seq,
				   .part_seq = place->part_seq,
				   .part_offset = place->part_offset,
				   .end_only = want == SUB_ONLY_END};
	send_message(c->edge, WIRE_SUBSCRIBE, &m);
}

static void forget(struct sub *s)
{
	handle_free(s->call->edge->subs, s->handle);
	s->handle = 0;
}

void sub_close(struct sub *s)
{
	struct wire_unsubscribe m = {.sub = s->handle};
	if (!s->handle)
		return;
	send_message(s->call->edge, WIRE_UNSUBSCRIBE, &m);
	forget(s);
}

/* ---- pings */

static uint32_t rss_kib(void)
{
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	return (uint32_t)u.ru_maxrss;
}

static void on_ping(void *arg)
{
	struct edge *e = arg;
	struct wire_ping m = {.beat = ++e->beats,
			      .runs = server_connections(e->server),
			      .worst_us = (uint32_t)loop_worst_us(e->loop),
			      .rss_kib = rss_kib()};
	send_message(e, WIRE_PING, &m);
	loop_timer_start(e->ping, PING_US);
}

void link_ready(struct edge *e, const char *detail)
{
	struct wire_ready m = {.detail = slice_str(detail)};
	send_message(e, WIRE_READY, &m);
	chan_set_phase(e->chan, LINK_READY);
	e->ready = true;
	e->ping = loop_timer_new(e->loop, on_ping, e);
	loop_timer_start(e->ping, PING_US);
}

/* ---- receiving */

/* The grace is nearly over: streams end here, their clients may come back elsewhere. */
static void on_grace(void *arg)
{
	call_cut(arg, NULL);
}

void edge_on_drain(struct edge *e, const struct wire_drain *m)
{
	int64_t ms = (int64_t)m->grace_ms - GRACE_MARGIN_MS;
	log_info("edge-draining", "connections=%u exchanges=%u grace_ms=%u",
		 server_connections(e->server), server_exchanges(e->server), m->grace_ms);
	e->draining = true;
	chan_set_phase(e->chan, LINK_DRAINING);
	if (!e->grace)
		e->grace = loop_timer_new(e->loop, on_grace, e);
	loop_timer_start(e->grace, ms > 0 ? ms * 1000 : 0);
	server_drain(e->server);
}

void edge_on_invalidate(struct edge *e, const struct wire_invalidate *m)
{
	if (slice_is(m->kind, "token")) {
		auth_invalidate(e, m->id);
		call_cut(e, &m->id);
	} else if (slice_is(m->kind, "tenant")) {
		auth_invalidate_tenant(e, m->tenant);
		call_cut_tenant(e, m->tenant);
	} else if (slice_is(m->kind, "agent")) {
		lookup_invalidate_agent(e, m->id);
	} else if (slice_is(m->kind, "session")) {
		lookup_invalidate_session(e, m->id);
	}
}

void edge_on_cancelled(struct edge *e, const struct wire_cancelled *m)
{
	struct call *c = handle_get(e->calls, m->req);
	if (c && c->on_cancelled)
		c->on_cancelled(c, m);
}

/* A grant that nobody waits for any more goes back. */
void edge_on_files(struct edge *e, const struct wire_files *m)
{
	struct call *c = handle_get(e->calls, m->req);
	if (!c || !files_answered(c, m))
		link_files_done(e, m->handle);
}

void edge_on_files_lost(struct edge *e, const struct wire_files_lost *m)
{
	log_warn("launcher-lost", "launchers=%u", m->launchers);
	jails_lost(e->jails);
}

void edge_on_decided(struct edge *e, const struct wire_decided *m)
{
	struct call *c = handle_get(e->calls, m->req);
	if (c && c->on_decided)
		c->on_decided(c, m);
}

void edge_on_finding(struct edge *e, const struct wire_finding *m)
{
	struct call *c = handle_get(e->calls, m->req);
	if (c && c->on_finding)
		c->on_finding(c, m);
}

void edge_on_node_state(struct edge *e, const struct wire_node_state *m)
{
	e->refusing = !m->accepting;
	snprintf(e->why, sizeof e->why, "%.*s", SLICE_ARG(m->why));
	snprintf(e->sandbox, sizeof e->sandbox, "%.*s", SLICE_ARG(m->sandbox));
	server_stand_in(e->server, m->doors);
}

void edge_on_tls_changed(struct edge *e, const struct wire_tls_changed *m)
{
	char why[512];
	struct tls_keys *keys = doors_read_keys(why, sizeof why);
	if (keys) {
		server_set_keys(e->server, keys);
		log_info("tls-changed", "beat=%u", m->beat);
	} else {
		log_error("tls-refused", "message=\"%s: the old certificate stays\"",
			  why);
	}
}

void edge_on_enqueued(struct edge *e, const struct wire_enqueued *m)
{
	struct call *c = handle_get(e->calls, m->req);
	if (c && c->on_enqueued)
		c->on_enqueued(c, m);
}

void edge_on_sub_state(struct edge *e, const struct wire_sub_state *m)
{
	struct sub *s = handle_get(e->subs, m->sub);
	if (!s)
		return;
	if (m->state != SUB_LIVE)
		forget(s);
	s->on_state(s, (enum sub_state)m->state);
}

void edge_on_sub_event(struct edge *e, const struct wire_sub_event *m)
{
	struct sub *s = handle_get(e->subs, m->sub);
	if (s && s->on_event)
		s->on_event(s, m);
}

void edge_on_sub_end(struct edge *e, const struct wire_sub_end *m)
{
	struct sub *s = handle_get(e->subs, m->sub);
	if (!s)
		return;
	forget(s);
	s->on_end(s, m);
}

/* ---- life */

static void on_up(void *arg, unsigned peer_pid)
{
	struct edge *e = arg;
	(void)peer_pid;
	e->linked = true;
	loop_wake(e->loop, &e->starting);
}

static void on_message(void *arg, enum wire_id id, const union wire_any *m)
{
	dispatch(arg, id, m);
}

static void leave(void *arg)
{
	(void)arg;
	exit(0);
}

/* From the top of the loop: the link may have ended amid a call's own sending. The
 * answers leave with this turn's flush, the process at the turn's end. */
static void on_leaving(void *arg)
{
	struct edge *e = arg;
	call_lost(e);
	loop_reap(e->loop, leave, e);
}

/* The supervisor closes the link when this edge shall end; clients come back to the next.
 */
static void on_down(void *arg, const char *why)
{
	struct edge *e = arg;
	log_info("edge-stopped", "connections=%u composed=%llu why=\"%s\"",
		 e->server ? server_connections(e->server) : 0,
		 (unsigned long long)e->composed, why);
	e->linked = false;
	loop_task_init(&e->leaving, on_leaving, e);
	loop_wake(e->loop, &e->leaving);
}

void link_open(struct edge *e, const struct wire_boot *b)
{
	char err[256];
	char *url = xstrndup(b->url.p, b->url.n);
	struct chan_config c = {.loop = e->loop,
				.url = url,
				.role = ROLE_EDGE,
				.secret = (const uint8_t *)b->secret.p,
				.on_up = on_up,
				.on_message = on_message,
				.on_down = on_down,
				.arg = e};
	if (b->secret.n != 32)
		fatal("the supervisor's BOOT message holds no secret");
	e->chan = chan_open(&c, err, sizeof err);
	if (!e->chan)
		fatal("cannot dial the supervisor: %s", err);
	free(url);
}
