/* SPDX-License-Identifier: Apache-2.0
 * A whole answer as bytes, built at once; the marks in it are where a slow answer rests.
 */
#ifndef FAKE_REPLY_H
#define FAKE_REPLY_H

#include <stdbool.h>

#include "common/slice.h"
#include "common/strbuf.h"

/* What stands in a chunk for the time at which it is sent: microseconds, CLOCK_MONOTONIC.
 */
#define REPLY_STAMP "t0000000000000000"

struct reply {
	struct strbuf out;
	/* out is cut into pieces by these positions: marks[0] behind head and role,
	 * marks[i] behind the i-th chunk. */
	size_t *marks, mark_count, mark_room;
	int delay_ms, pause_ms;
	int drip_ms; /* between any two bytes */
	bool close;  /* announced when set before; the connection ends with the answer */
	bool reset;  /* ... by a reset */
	bool clock;  /* stamps become times */
	bool hang;   /* nothing comes after out, and no end either */
	size_t told_in, told_out; /* tokens, of an answer that ends well */
};

void reply_fini(struct reply *r);
/* Keeps the memory, up to a size. */
void reply_reset(struct reply *r);
void reply_json(struct reply *r, int status, struct slice body);
void reply_error(struct reply *r, int status, const char *message);
/* The head's first part; the framing and the empty line are the caller's, or
 * reply_body's. */
void reply_head(struct reply *r, int status, const char *type);
void reply_body(struct reply *r, struct slice body);
/* Notes the position reached. */
void reply_mark(struct reply *r);

#endif
