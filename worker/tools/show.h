/* SPDX-License-Identifier: Apache-2.0
 * What a program prints, shown while it runs: gathered and told ten times a second at
 * most, a small piece a time, and after SHOW_MOST bytes no more. It is a glimpse: the
 * call's result has all that is kept. What comes faster than it can be shown is passed
 * over; a piece's offset says so.
 *
 * Owns: what waits to be shown. Never: splits a character, or shows what is not text. */
#ifndef TB_SHOW_H
#define TB_SHOW_H

#include "common/strbuf.h"
#include "worker/tools/tool.h"

#define SHOW_MOST (64u << 10) /* bytes of a call */
#define SHOW_PIECE 2048u      /* escaped it still is one event */
#define SHOW_PAUSE_US 100000

struct show_stream {
	struct strbuf waiting; /* of what was printed, from `at` on without a hole */
	uint64_t at, printed;
	bool hole;      /* bytes were passed over since */
	bool is_binary; /* it says so once, and then nothing */
};

struct show {
	struct tool_call *call; /* NULL: over */
	struct loop_timer *pause;
	struct show_stream streams[2];
	int last;    /* whose turn it was */
	size_t told; /* bytes */
};

void show_init(struct show *s, struct tool_call *c);
/* stream: 1 output, 2 errors. */
void show_add(struct show *s, int stream, struct slice bytes);
/* The call is over: tells what waits, if anything was told before. A second time: a
 * no-op. */
void show_end(struct show *s);
void show_fini(struct show *s);

#endif
