/* SPDX-License-Identifier: Apache-2.0
 * One client following one run: live events from the supervisor, earlier ones from
 * Postgres, without a gap, a repetition or a lost byte between the two. How they are
 * shown is the sink's, whatever protocol that speaks.
 *
 * The place the client has reached is kept exactly (last durable event, bytes of the
 * message being built). A live event that does not continue that place is not shown:
 * the follower reads Postgres and subscribes again. Owns: its subscription and page. */
#ifndef TB_EDGE_FOLLOW_H
#define TB_EDGE_FOLLOW_H

#include "edge/call.h"
#include "edge/link.h"
#include "edge/sse.h"

/* Called from the loop. open and event may write to the answer, end and cut end it. */
struct follow_sink {
	/* The run is there: once, before its first event. NULL: nothing to do. */
	void (*open)(struct call *c);
	/* The next event. A message's durable one has only what was not streamed. */
	void (*event)(struct call *c, const struct sse_item *item);
	/* Instead of all these: who comes back has had the last one. NULL: open and end.
	 */
	void (*over)(struct call *c);
	/* After the run's last event. It may follow another run: follow_new. */
	void (*end)(struct call *c);
	/* This side ends the answer, before or after open: the node goes away, the token
	 * was revoked. The client may come back. */
	void (*cut)(struct call *c);
	/* The exchange is over: let go of things. NULL: there are none. */
	void (*gone)(struct call *c);
};

/* As c->follow, in the call's arena (a second time: the same one, made new; what is open
 * stays open); takes over c->on_end and, once it has asked, c->cut. sink: static. */
struct follow *follow_new(struct call *c, struct uuid run, const struct sse_place *place,
			  const struct follow_sink *sink);
/* The run shall be cancelled when the client leaves before its end. A stream that this
 * side ends (shutdown, a revoked token) cancels nothing: its client may come back. */
void follow_cancels(struct follow *f);
/* Asks the supervisor. Answers 404 when there is no such run. */
void follow_ask(struct follow *f);
/* The number for ENQUEUE's `sub`: events may come before follow_accept. */
uint64_t follow_expect(struct follow *f);
/* The run was accepted. */
void follow_accept(struct follow *f);
/* Another run is meant (a repeated idempotency key): asks for it. */
void follow_other(struct follow *f, struct uuid run);
/* Goes on after something it waited for; call it from the handler. */
void follow_step(struct follow *f);
bool follow_is_open(const struct follow *f);

#endif
