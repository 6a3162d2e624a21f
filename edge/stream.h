/* SPDX-License-Identifier: Apache-2.0
 * One client following one run: live events from the supervisor, earlier ones from
 * Postgres, without a gap, a repetition or a lost byte between the two.
 *
 * The place the client has reached is kept exactly (last durable event, bytes of the
 * message being built). A live event that does not continue that place is not shown:
 * the stream reads Postgres and subscribes again. Owns: its subscription and page. */
#ifndef TB_EDGE_STREAM_H
#define TB_EDGE_STREAM_H

#include "edge/call.h"
#include "edge/link.h"
#include "edge/sse.h"

struct stream;

/* In the call's arena (a second time: the same one, made new); takes over c->on_end and
 * c->cut. add_fields: further fields of the answer's head; may be NULL. */
struct stream *stream_new(struct call *c, struct uuid run, const struct sse_place *place,
			  void (*add_fields)(struct call *c));
/* The run shall be cancelled when the client leaves before its end. A stream that this
 * side ends (shutdown, a revoked token) cancels nothing: its client may come back. */
void stream_cancels(struct stream *st);
/* Asks the supervisor. Answers 404 when there is no such run. */
void stream_ask(struct stream *st);
/* The number for ENQUEUE's `sub`: events may come before stream_is_accepted. */
uint64_t stream_expect(struct stream *st);
/* The run was accepted: the head goes out. */
void stream_accept(struct stream *st);
/* Another run is meant (a repeated idempotency key): asks for it. */
void stream_follow(struct stream *st, struct uuid run);
/* Goes on after something it waited for; call it from the handler. */
void stream_step(struct stream *st);

#endif
