/* SPDX-License-Identifier: Apache-2.0
 * The edge's link to the supervisor: what it sends, and to whom what comes back goes.
 *
 * Handlers run in the receiving callback: they store, mark and wake, or append an event
 * to a connection's output, which leaves with the turn's flush. Fails: a link that ends
 * ends the process, once those who wait for the supervisor have been told; its supervisor
 * starts the next one. */
#ifndef TB_EDGE_LINK_H
#define TB_EDGE_LINK_H

#include <stdbool.h>

#include "common/ident.h"
#include "edge/edge.h"
#include "edge/sse.h"
#include "proto/wire.h"

struct call;

/* A subscription to one run. Embedded; zero it first. */
struct sub {
	struct call *call;
	uint64_t handle; /* 0: closed */
	/* The supervisor answered SUB_LIVE, SUB_GONE or SUB_GAP; closed after the last
	 * two. */
	void (*on_state)(struct sub *s, enum sub_state state);
	void (*on_event)(struct sub *s, const struct wire_sub_event *ev);
	/* The run ended; closed. */
	void (*on_end)(struct sub *s, const struct wire_sub_end *end);
};

/* Dials the supervisor; goes on in the loop. Dies when it cannot. */
void link_open(struct edge *e, const struct wire_boot *b);
/* Says READY and starts the pings. */
void link_ready(struct edge *e, const char *detail);
/* false: the link is down or its outbox full. */
bool link_enqueue(struct edge *e, const struct wire_enqueue *m);
/* Likewise. req 0: nobody waits for the answer. */
bool link_cancel(struct edge *e, const struct wire_cancel *m);
/* A workspace for c's files; files_answered gets the answer. false: as link_enqueue. */
bool link_files(struct edge *e, const struct wire_files_ask *m);
void link_files_done(struct edge *e, uint64_t handle);
/* Likewise. */
bool link_decide(struct edge *e, const struct wire_decide *m);
/* Likewise; c->on_finding gets the answer. */
bool link_inquire(struct edge *e, const struct wire_inquire *m);
bool link_manage(struct edge *e, const struct wire_manage *m);
/* What others of this node keep of that is old. Not waited for. */
void link_changed(struct edge *e, int64_t tenant, struct slice kind, struct uuid id);
/* Gives the subscription a number without asking: for ENQUEUE's `sub`. */
void sub_number(struct sub *s, struct call *c);
enum sub_want { SUB_EVERYTHING, SUB_ONLY_END };
void sub_open(struct sub *s, struct call *c, struct uuid run,
	      const struct sse_place *place, enum sub_want want);
/* No-op when closed. */
void sub_close(struct sub *s);

#endif
