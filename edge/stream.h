/* SPDX-License-Identifier: Apache-2.0
 * A run's events as the API's own server-sent events: a sink of edge/follow.h, whole or
 * in parts for who adds to it. An event is composed once for all its subscribers. */
#ifndef TB_EDGE_STREAM_H
#define TB_EDGE_STREAM_H

#include "edge/follow.h"

extern const struct follow_sink stream_sink;

/* The head from its Content-Type on; who adds fields wrote the lines before it. */
void stream_begin(struct call *c);
void stream_event(struct call *c, const struct sse_item *item);
void stream_end(struct call *c);
void stream_cut(struct call *c);

#endif
