/* SPDX-License-Identifier: Apache-2.0
 * What a run tells the supervisor. Text deltas of all runs leave once a turn; a durable
 * event leaves only after its commit. */
#ifndef TB_EMIT_H
#define TB_EMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/ident.h"
#include "common/slice.h"

struct run;
struct run_call;
struct worker;
struct commit_event;

void emit_init(struct worker *w);
void emit_accepted(struct run *r);
/* The answer's text grew: its unsent part leaves at the turn's end, if the model is
 * still speaking then. */
void emit_text_grew(struct run *r);
/* Sends unsent text as deltas until at most `most` bytes are left. */
void emit_deltas(struct run *r, unsigned most);
/* What a program of the call under way printed (stream: 1 output, 2 errors; offset: in
 * all of that stream): a piece of the stream's next durable event, though that will say
 * it all again. At most 2 KiB. False: the link has no room for it. */
bool emit_printed(struct run_call *c, int stream, struct slice text, uint64_t offset);
void emit_durable(struct run *r, const struct commit_event *e);
void emit_done(struct run *r);
void emit_lost(struct run *r);
/* That waiting run was consumed by this one. */
void emit_taken(struct run *r, struct uuid taken);
/* It made or changed that agent: edges and workers are told. */
void emit_agent_changed(const struct run *r, struct uuid agent);
void emit_yielded(struct run *r);
/* It waits in the queue until then. */
void emit_retry(struct run *r, int64_t run_at_us);
/* It waits for a person until then. */
void emit_asks(struct run *r, int64_t until_us);
void emit_progress(struct run *r);
/* Where do its tools work? run_workspace answers. */
void emit_workspace_ask(struct run *r);

#endif
