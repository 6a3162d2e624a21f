/* SPDX-License-Identifier: Apache-2.0
 * A tool's call that is one transaction under the call's key: the same again finds what
 * it wrote. Tried until it lands, is refused, or its time is over. */
#ifndef TB_KEYED_WRITE_H
#define TB_KEYED_WRITE_H

#include "worker/tools/tool.h"

struct pg_request;
struct pg_result;

struct keyed_write {
	/* Adds the statement that writes; once a try. */
	void (*put)(struct pg_request *r, const struct tool_call *c,
		    struct slice document);
	/* Its rows become the output; or a sentence is told (tool_error) and the error
	 * returned. */
	enum err (*take)(struct tool_call *c, const struct pg_result *rows);
	/* For the model: somebody else's transaction has it all the time; it cannot be
	 * written. What Postgres says of a limit (class 54) is told as it is. */
	const char *held, *failed;
};

/* Starts the call's op and finishes it. w: static; document: what is written, which lives
 * as long as the call. Asynchronous. */
void keyed_write_start(struct tool_call *c, const struct keyed_write *w,
		       struct slice document);

#endif
