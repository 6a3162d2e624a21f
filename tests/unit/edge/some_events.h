/* SPDX-License-Identifier: Apache-2.0
 * Events for tests of translators: written by hand, or any that there may be, in any
 * order. */
#ifndef TB_TEST_SOME_EVENTS_H
#define TB_TEST_SOME_EVENTS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/attr.h"
#include "edge/event_view.h"
#include "edge/sse.h"

#define SOME_RUN "01a22e2c-4c9e-701f-ab28-e3a869c4bfe9"

struct some_event {
	uint32_t seq;
	bool durable;
	const char *type, *body;
};

UNUSED static void read_event(const struct some_event *e, struct event_view *v)
{
	struct sse_item item = {.seq = e->seq,
				.durable = e->durable,
				.type = e->type,
				.body = slice_str(e->body)};
	event_view_read(&item, v);
}

#define PHASE(phase) "{\"phase\":\"" phase "\"}"
#define TEXT(text) "{\"content\":\"" text "\"}"
#define TOOL(id, state, rest)                                                            \
	"{\"toolName\":\"read\",\"toolState\":\"" state                                  \
	"\",\"metadata\":{\"callId\":\"" id "\",\"step\":1" rest
#define INPUT ",\"toolInput\":{\"path\":\"a\"}}"
#define OUTPUT ",\"toolOutput\":{\"text\":\"b\"}}"

/* Bodies that a run's events have, and some that none has. */
static const struct {
	const char *type, *body;
	bool is_delta;
} any_event[] = {
	{"lifecycle", PHASE("start"), false},
	{"lifecycle", PHASE("compacting"), false},
	{"assistant", TEXT("some words"), true},
	{"assistant", TEXT("more"), true},
	{"assistant", TEXT("the rest"), false},
	{"assistant", "{\"metadata\":{\"step\":1}}", false},
	{"assistant", "{\"metadata\":{\"reset\":true}}", false},
	{"assistant", "{\"metadata\":{\"reset\":true}}", true},
	{"tool", TOOL("a", "pending", "}") INPUT, false},
	{"tool", TOOL("a", "running", "}") INPUT, false},
	{"tool", TOOL("a", "completed", "}") OUTPUT, false},
	{"tool", TOOL("b", "running", "}") INPUT, false},
	{"tool", TOOL("b", "error", "}") OUTPUT, false},
	{"tool", TOOL("c", "pending", ",\"clientSide\":true}") INPUT, false},
	{"tool",
	 TOOL("d", "pending",
	      ",\"approval\":{\"id\":\"" SOME_RUN "\",\"state\":\"pending\"}}") INPUT,
	 false},
	{"tool",
	 TOOL("d", "pending",
	      ",\"approval\":{\"id\":\"" SOME_RUN "\",\"state\":\"denied\"}}") "}",
	 false},
	{"tool", TOOL("b", "running", "}") ",\"content\":\"printed\"}", true},
	{"tool",
	 "{\"toolName\":\"read\",\"toolState\":\"completed\",\"metadata\":{\"callId\":"
	 "\"a\",\"step\":2},\"toolOutput\":\"x\"}",
	 false},
	{"tool", "{}", false},
	{"tool", "[", false},
	{"error", "{\"error\":\"it broke\",\"metadata\":{\"code\":\"model\"}}", false},
	{"lifecycle", "{\"phase\":\"end\",\"metadata\":{\"result\":\"completed\"}}",
	 false},
	{"lifecycle", "{\"phase\":\"error\",\"metadata\":{\"result\":\"failed\"}}",
	 false},
	{"lifecycle", "{\"phase\":\"error\",\"metadata\":{\"result\":\"cancelled\"}}",
	 false},
};

/* The next of a run's events in any order; ends come seldom. */
UNUSED static struct some_event some_event(unsigned *seed, uint32_t *seq)
{
	size_t i = (size_t)rand_r(seed) % ARRAY_LEN(any_event);
	if (i + 3 >= ARRAY_LEN(any_event) && rand_r(seed) % 4)
		i = (size_t)rand_r(seed) % (ARRAY_LEN(any_event) - 3);
	struct some_event e = {*seq, !any_event[i].is_delta, any_event[i].type,
			       any_event[i].body};
	*seq += e.durable;
	return e;
}

/* The JSON of the next "data: ...\n\n" of a text; SLICE_NONE at its end. */
UNUSED static struct slice next_data(struct slice *rest)
{
	ptrdiff_t at = slice_find(*rest, SLICE("\n\n"));
	if (at < 0) {
		assert_int_equal(rest->n, 0);
		return SLICE_NONE;
	}
	struct slice line = slice_of(rest->p, (size_t)at);
	*rest = slice_of(rest->p + at + 2, rest->n - (size_t)at - 2);
	assert_true(slice_has_prefix(line, SLICE("data: ")));
	assert_null(memchr(line.p, '\n', line.n));
	return slice_of(line.p + 6, line.n - 6);
}

#endif
