/* SPDX-License-Identifier: Apache-2.0
 * What a tool is: a row of tools.tbl and a start function. A tool knows the call it
 * works on and the services in tool_env; it never sees the run machine. */
#ifndef TB_TOOL_H
#define TB_TOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/ident.h"
#include "common/json.h"
#include "common/op.h"
#include "common/slice.h"
#include "common/strbuf.h"
#include "proto/tools/catalog.h"
#include "worker/context/fence.h"

struct jails;
struct loop;
struct processes;
struct pg_pool;
struct skill_list;

/* For whom a tool works, and with what. Borrowed for the call. */
struct tool_env {
	struct loop *loop;
	struct pg_pool *pool;
	int64_t tenant, fence;
	struct uuid run, session, agent;
	const char *cap; /* the worker's capability for the tenant, as text */
	/* Of tools whose place is a jail: */
	struct jails *jails;
	uint64_t workspace;              /* granted to the launcher; 0: not yet */
	struct processes *processes;     /* of the run, that outlive their calls */
	const struct skill_list *skills; /* that its session pinned; NULL: none */
	/* An agent was made or changed: who keeps something of it is told. */
	void (*agent_changed)(void *run, struct uuid agent);
	void *run_itself; /* for that, and for nothing else */
};

/* What is kept of a call beside its output. Zeroed before it starts; the caller adds the
 * duration and what a tool leaves at 0. */
struct tool_facts {
	int64_t duration_us;
	uint64_t
		bytes; /* of what it gave before anything was left out; 0: its output's */
	bool truncated;          /* something was left out */
	bool has_exit;           /* a program ended by itself ... */
	int exit;                /* ... with this status */
	const char *signal;      /* or by this one, "KILL"; NULL: none */
	const char *error_class; /* a code of err.tbl; NULL: nothing went wrong */
};

struct tool_call {
	const struct tool_spec *tool;
	const struct tool_env *env;
	json_t args;          /* checked against the schema */
	const char *idem_key; /* "run:step:call", of keyed tools */
	struct strbuf output; /* one JSON value, filled by the tool */
	/* An image of the transcript, JSON, which the model is shown beside the output;
	 * empty: none. */
	struct strbuf image;
	struct tool_facts facts;
	struct op *op;
	struct arena *arena; /* scratch that lives as long as the call */
	/* Shows who follows the run what a program prints (stream: 1 output, 2 errors),
	 * in small pieces; offset: of the piece in all that the stream printed. False:
	 * there is no room for it now. NULL: nobody follows. */
	bool (*show)(struct tool_call *c, int stream, struct slice text, uint64_t offset);
};

/* Begins the call; its op completes with ERR_OK and the output filled, or with an error
 * and output {"error": "a sentence the model can act on"}. */
typedef void tool_start_fn(struct tool_call *c);

/* Replaces the output by {"error": ...}. */
PRINTF_LIKE(2, 3) void tool_error(struct tool_call *c, const char *fmt, ...);

#endif
