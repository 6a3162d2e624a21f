/* SPDX-License-Identifier: Apache-2.0
 * A call that is a question to a worker, outside of any lane: its answer comes in parts,
 * by way of the supervisor (docs/inquiries.md). */
#ifndef TB_EDGE_INQUIRY_H
#define TB_EDGE_INQUIRY_H

#include "edge/call.h"
#include "proto/wire.h"

struct json_doc;
struct loop_timer;

/* The first member of such a call's state. */
struct inquiring {
	struct loop_timer *patience;
	bool known; /* the answer is whole, or refused */
	bool silent;
	enum err error;
	const char *message;
	unsigned retry_after_s;
	struct strbuf body; /* JSON */
};

/* Asks; m's tenant, req and by are filled here. The call wakes for the answer, or after
 * 15 s of silence. False, and answered: it cannot be asked now. */
bool inquiry_ask(struct call *c, struct wire_inquire *m);
/* Likewise a command that the supervisor carries out for edges (MANAGE), of the caller's
 * tenant. command: {"cmd":...,"args":{...}}. */
bool inquiry_manage(struct call *c, struct slice command);
/* What a command answered, for the caller to free; NULL: it is an error, and answered, or
 * not known yet. */
struct json_doc *inquiry_take(struct call *c);
/* A part of the answer. */
void inquiry_found(struct call *c, const struct wire_finding *m);
/* Answers with what was found; nothing while it is not known. */
void inquiry_reply(struct call *c);

#endif
