/* SPDX-License-Identifier: Apache-2.0
 * A call that asks the supervisor one thing, and waits for the answer: of a cancel, of a
 * decision. */
#ifndef TB_EDGE_QUESTION_H
#define TB_EDGE_QUESTION_H

#include "edge/call.h"

/* The first member of such a call's state; 0 is one that was not asked. */
struct question {
	struct loop_timer *patience;
	bool known;  /* the answer is here */
	bool silent; /* none came: what was asked for may be done or not */
	enum err error;
	const char *message; /* of an error; NULL none */
};

/* It was sent, or not: then the call is answered. The call wakes for the answer, or
 * after 15 s of silence. */
void question_asked(struct call *c, bool sent);
/* Stores what an answer says in any case, and wakes the call. False: nobody waits for it
 * (any more). */
bool question_answered(struct call *c, struct slice error, struct slice message);

#endif
