/* SPDX-License-Identifier: Apache-2.0
 * A light JSON scanner: walks over a chat request in place and copies only the text it is
 * asked for. Checks brackets, strings and separators, not every rule of JSON. */
#ifndef FAKE_SCAN_H
#define FAKE_SCAN_H

#include <stdbool.h>

#include "common/slice.h"
#include "common/strbuf.h"

struct scan {
	const char *p, *end;
	bool begun, bad;
};

struct scan scan_of(struct slice text);
/* The next value as it stands in the text, quotes and brackets included. */
bool scan_value(struct scan *s, struct slice *raw);
/* Steps over the opening bracket of an object or array. */
bool scan_open(struct scan *s, char bracket);
/* The next member or element; false at the end, or with s->bad set. Keys come without
 * quotes. */
bool scan_member(struct scan *s, struct slice *key, struct slice *value);
bool scan_element(struct scan *s, struct slice *value);
/* Appends the text of a message's content: a string, or the joined text parts of an
 * array; nothing for any other value. */
void scan_text(struct slice raw, struct strbuf *out);

/* What the script needs to know of a request. Slices borrow from the body. */
struct chat {
	struct slice model; /* raw, with quotes; SLICE_NONE if none */
	bool stream, include_usage;
	int assistants;          /* messages of that role */
	bool has_tool;           /* a tool message follows the last user message */
	struct slice user, tool; /* raw contents of the last one of each */
	struct slice body;
};

/* false: no JSON object with an array of messages. */
bool chat_scan(struct chat *c, struct slice body);

#endif
