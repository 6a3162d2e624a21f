/* SPDX-License-Identifier: Apache-2.0
 * From a tool's call to a jail and back: what all tools that work in one have in common.
 * How it started, was cancelled, was refused or failed is said here; what it printed is
 * the tool's to read.
 *
 * Owns: what it lends to the jail. It lives on the heap, for a program may outlive its
 * call, and is freed by jail_call_free, never in its own callback. */
#ifndef TB_JAIL_CALL_H
#define TB_JAIL_CALL_H

#include "sandbox/client/jails.h"
#include "worker/tools/tool.h"

struct jail_call {
	struct tool_call *call; /* who waits for it; NULL: nobody does any more */
	struct jail_work work;
	struct op op;
	struct strbuf argv, env, cwd, input; /* lent to work.open and work.input */
	enum err result;                     /* once it ended: ERR_OK, it ran */
	/* Makes the call's output of what came, after the jail ended by itself. */
	enum err (*take)(struct jail_call *j);
	/* May be NULL: it ended, whatever way; the call, if one waits, was answered. */
	void (*ended)(struct jail_call *j);
};

/* j is zeroed but for `take`, `ended`, the buffers, and of work.open kind and limits.
 * out_bytes, err_bytes: how much is kept of its two outputs. The call's op is started,
 * and completes when the jail ends, unless the call was let go. */
void jail_call_start(struct jail_call *j, struct tool_call *c, size_t out_bytes,
		     size_t err_bytes, int64_t deadline_us);
/* The call does not wait for it any more: whoever says so completes the call's op. */
void jail_call_let_go(struct jail_call *j);
/* The sentence for one that did not run or whose result is not `take`'s to say. NULL:
 * there is none. */
const char *jail_call_problem(const struct jail_call *j, char *text, size_t size);
/* Frees what it holds; not itself. It must have ended. */
void jail_call_fini(struct jail_call *j);

#endif
