/* SPDX-License-Identifier: Apache-2.0
 * The script in a user's text: `[name arg arg]` directives in front of a payload. */
#ifndef FAKE_SCRIPT_H
#define FAKE_SCRIPT_H

#include <stdbool.h>

#include "common/slice.h"

#define SCRIPT_TOOLS_MAX 64

struct script_tool {
	struct slice name, args;
};

enum ending { ENDS_WELL, ENDS_CUT, ENDS_RESET, ENDS_STALLED, ENDS_IN_ERROR };

/* What to answer. Slices borrow from the text. */
struct script {
	struct slice payload; /* what follows the directives */
	int chunks;
	long size; /* of the generated answer; -1: echo */
	struct script_tool tools[SCRIPT_TOOLS_MAX];
	int tool_count;
	bool loops; /* calls tools whether or not their results are there */
	long say;   /* bytes of text before calls */
	long think; /* bytes of thoughts before all else */
	int delay_ms, pause_ms, drip_ms;
	int status; /* 0: an ordinary answer */
	struct slice retry_after;
	long window; /* tokens a request may have; -1: any */
	enum ending ending;
	long after; /* that many chunks, if it does not end well */
	bool late;  /* what goes wrong does so when the tools' results are there */
	bool clock; /* each chunk says when it was sent */
	bool plain, garbage, hang, half_head, quota;
};

/* Reads the directives. A bracket that is none begins the payload. Directives with a
 * count ("the first K requests of this text") count this request. */
void script_read(struct script *s, struct slice text);

#endif
