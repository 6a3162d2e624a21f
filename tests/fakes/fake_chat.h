/* SPDX-License-Identifier: Apache-2.0
 * What a request for an answer says, whatever its format: what the script needs, and
 * what a real provider would refuse. Slices borrow from the request. */
#ifndef FAKE_CHAT_H
#define FAKE_CHAT_H

#include <stdbool.h>

#include "common/attr.h"
#include "common/slice.h"
#include "common/strbuf.h"

#define PAIRS_MAX 4096

struct chat {
	struct slice body;
	struct slice model; /* raw, with quotes; SLICE_NONE if none */
	bool stream, include_usage;
	int assistants;          /* messages of that role */
	bool has_tool;           /* a tool's result follows the last user's text */
	struct slice user, tool; /* raw contents of the last one of each */
	int breakpoints;         /* marks up to where to cache */
	bool encrypted;          /* thoughts come back with the next request */
	char wrong[240];         /* what is refused, in words; empty: nothing */
};

/* The first thing wrong is the one that is told. False. */
PRINTF_LIKE(2, 3) bool chat_refuse(struct chat *c, const char *fmt, ...);

/* Calls, and which of them wait for their results. */
struct pairs {
	bool keeps; /* ids are unique in all of the request, not among those that wait */
	struct slice id[PAIRS_MAX];
	bool answered[PAIRS_MAX];
	size_t n, open;
};

/* False: there are too many. */
bool pairs_add(struct pairs *p, struct slice id);
/* False: also if there is one of that id. */
bool pairs_call(struct pairs *p, struct slice id);
/* False: no call of that id waits. */
bool pairs_result(struct pairs *p, struct slice id);
/* The first that waits; SLICE_NONE: none. */
struct slice pairs_waiting(const struct pairs *p);

/* Letters, digits, _ and - only, and not too many: what most take as a name or id. */
bool is_plain_name(struct slice inside, size_t most);

/* Signatures, as providers put on thoughts and calls: made of what they sign, so that
 * one that comes back can be checked. */
void sign_put(struct strbuf *out, struct slice what);
/* raw: the JSON string that came back. */
bool sign_is(struct slice raw, struct slice what);

#endif
