/* SPDX-License-Identifier: Apache-2.0
 * The stream of a live run: a ring of its latest events and those who listen.
 *
 * A ring grows from nothing to RING_MOST bytes; what falls out, or is evicted because all
 * rings together reached the node's limit, is read from Postgres by whoever comes back
 * for it (SUB_GAP). A listener is a place in that stream: it is told what follows as its
 * edge's link has room, all listeners of an edge in turn, so that no number of them makes
 * the link's outbox long. One that is overtaken by the ring's end is sent to Postgres. */
#ifndef TB_LIVE_H
#define TB_LIVE_H

#include "common/ident.h"
#include "common/list.h"
#include "common/strbuf.h"
#include "proto/wire.h"

struct sup;
struct child;

struct live {
	struct uuid run;
	int64_t tenant, started_us;
	struct list subs;
	struct strbuf ring; /* encoded events, oldest first */
	uint64_t
		ring_at; /* the place of the ring's first byte in all that it ever held */
	uint32_t floor_seq; /* every durable event above this one is in the ring */
	uint32_t last_seq;  /* the last durable event it was told of */
	int64_t fence;      /* of its present runner */
	uint64_t workspace; /* granted to its launcher; 0: it asked for none */
};

/* The live record of a run, made when there is none. */
struct live *live_get(struct sup *s, struct uuid run, int64_t tenant);
struct live *live_find(struct sup *s, struct uuid run);
/* Keeps the event and tells every listener, now or by live_go_on. */
void live_event(struct sup *s, struct live *l, const struct wire_event *e);
/* The run goes on after its durable event ev_seq, which may be more than its last runner
 * told of: then listeners are sent to Postgres. */
void live_resume(struct live *l, uint32_t ev_seq);
/* Tells every listener the end and frees the record. No-op on NULL. */
void live_end(struct sup *s, struct live *l, const struct wire_sub_end *end);
/* A listener; replays what the ring holds after its place. Answers SUB_STATE first. */
void live_subscribe(struct sup *s, struct live *l, struct child *edge,
		    const struct wire_subscribe *m);
/* Likewise, of the run that m names. One that the queue does not know, not as committed,
 * or as ended, is GONE: Postgres has what there is of it. */
void live_subscribe_run(struct sup *s, struct child *edge,
			const struct wire_subscribe *m);
/* LOOP_CONNECTIONS, after the links have sent: those who wait for room. */
void live_go_on(void *sup);
void live_unsubscribe(struct child *edge, uint64_t sub);
/* All listeners of an edge that went. */
void live_drop_edge(struct child *edge);

#endif
