/* SPDX-License-Identifier: Apache-2.0
 * A whole answer as bytes, built at once; the marks in it are where a slow answer rests.
 */
#ifndef FAKE_REPLY_H
#define FAKE_REPLY_H

#include <stdbool.h>

#include "common/slice.h"
#include "common/strbuf.h"
#include "tests/fakes/fake_scan.h"
#include "tests/fakes/fake_script.h"

struct reply {
	struct strbuf out;
	/* out is cut into pieces by these positions: marks[0] behind head and role,
	 * marks[i] behind the i-th chunk. */
	size_t *marks, mark_count, mark_room;
	int delay_ms, pause_ms;
	bool close; /* announced when set before; the connection ends with the answer */
	bool hang;  /* nothing comes after out, and no end either */
};

void reply_fini(struct reply *r);
/* Keeps the memory, up to a size. */
void reply_reset(struct reply *r);
void reply_json(struct reply *r, int status, struct slice body);
void reply_error(struct reply *r, int status, const char *message);
/* The answer of a `[status]` directive. */
void reply_scripted_error(struct reply *r, const struct script *s);
/* The head's first part; the framing and the empty line are the caller's. */
void reply_head(struct reply *r, int status, const char *type);
/* Notes the position reached. */
void reply_mark(struct reply *r);
/* The scripted answer to a chat request (fake_answer.c). */
void reply_chat(struct reply *r, const struct chat *c, const struct script *s);

#endif
