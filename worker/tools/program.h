/* SPDX-License-Identifier: Apache-2.0
 * A program in a jail, from its arguments to what is said of it. It works for a call, or,
 * once it is listed among the run's processes, for itself. */
#ifndef TB_PROGRAM_H
#define TB_PROGRAM_H

#include "common/list.h"
#include "worker/tools/jail_call.h"
#include "worker/tools/show.h"

#define PROGRAM_OUTPUT_BYTES (100u << 10) /* kept of each of its two outputs */
#define PROGRAM_TIMEOUT_S 120             /* of one whose call waits for it */
#define PROGRAM_TIMEOUT_MOST_S 600

struct processes;
struct loop_timer;

struct program {
	struct jail_call jail;
	struct show show;
	struct loop_timer *yield; /* when its call stops waiting; NULL: never */
	bool over;

	/* one of the run's processes */
	struct list node;
	struct processes *home; /* NULL: it is none (yet) */
	unsigned number;        /* it is called "p<number>" */
};

/* Its arguments are in p->jail.argv. Answers the call at once when the other arguments
 * (env, cwd, stdin, timeout_s, background, yield_ms) are no good, and frees it. */
void program_start(struct program *p, struct tool_call *c);
struct program *program_new(void);
/* At the turn's end; one that lives is ended first. */
void program_free(struct program *p);
/* The call's output, and its facts: how it is with the program, and what it printed from
 * these offsets on (of output, of errors). */
void program_say(struct program *p, struct tool_call *c, const uint64_t from[2]);
/* The members that name it and its state, into an object. */
void program_put_line(const struct program *p, struct json_out *o);

#endif
