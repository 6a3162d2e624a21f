/* SPDX-License-Identifier: Apache-2.0
 * One request that is answered with what a run says: read, its agent found, what was said
 * before and the order placed, events shown, usage told. */
#ifndef TB_OPENAI_EXCHANGE_H
#define TB_OPENAI_EXCHANGE_H

#include "edge/call.h"
#include "edge/openai/answer.h"
#include "edge/openai/ask.h"
#include "edge/openai/history.h"
#include "edge/openai/target.h"
#include "edge/placing.h"

struct exchange_api {
	bool (*read)(struct ask *ask, struct arena *arena, struct slice body, bool stable,
		     struct ask_fault *fault);
	const struct answer_form *form;
	const char *list; /* the parameter that holds the conversation */
	bool tells_usage; /* its stream does, asked for or not */
};

/* c->state. */
struct exchange {
	struct history *sending; /* first: see history.c; it is `earlier` */
	const struct exchange_api *api;
	bool placed; /* by this request */
	struct ask ask;
	struct target target;
	struct placing placing;
	struct history earlier;
	struct openai_answer answer;
	struct uuid followed; /* the run that answers: another one, once it was merged */
	struct run_row
		row; /* of the run that goes on; in the end, of the one that answers */
};

/* Of a request that places an order: its handler. */
void exchange_step(struct call *c, const struct exchange_api *api);
/* Of one that shows a run that has ended: begins with it; from then on exchange_step. */
void exchange_show(struct call *c, const struct exchange_api *api, struct uuid run,
		   int64_t created_us);

#endif
