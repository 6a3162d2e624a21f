/* SPDX-License-Identifier: Apache-2.0
 * A light JSON scanner: walks over a request in place and copies only the text it is
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
void scan_space(struct scan *s);
/* The next value as it stands in the text, quotes and brackets included. */
bool scan_value(struct scan *s, struct slice *raw);
/* Steps over the opening bracket of an object or array. */
bool scan_open(struct scan *s, char bracket);
/* The next member or element; false at the end, or with s->bad set. Keys come without
 * quotes. */
bool scan_member(struct scan *s, struct slice *key, struct slice *value);
bool scan_element(struct scan *s, struct slice *value);
/* Nothing but space is left, and all was well. */
bool scan_at_end(struct scan *s);

/* Opened already; anything but an array is an empty one. */
struct scan scan_list(struct slice raw);
/* Members of an object by their names; SLICE_NONE is what it has not. False: no object.
 */
struct scan_want {
	const char *key;
	struct slice *value;
};
bool scan_object(struct slice raw, const struct scan_want *want, size_t n);
#define SCAN_OBJECT(raw, ...)                                                            \
	scan_object(raw, (const struct scan_want[]){__VA_ARGS__},                        \
		    sizeof((const struct scan_want[]){__VA_ARGS__}) /                    \
			    sizeof(struct scan_want))

bool scan_is_string(struct slice raw);
/* What stands between the quotes, escapes as they are; SLICE_NONE for anything else. */
struct slice scan_inside(struct slice raw);
/* Compares a key or a string's inside, escaped or not. */
bool scan_is(struct slice inside, const char *word);
/* Appends the text of a message's content: a string, or the joined text parts of an
 * array; nothing for any other value. */
void scan_text(struct slice raw, struct strbuf *out);

#endif
