/* SPDX-License-Identifier: Apache-2.0
 * Which tool calls of a run its reader has been told of.
 *
 * A model may use an id again in a later answer; readers want each call under an id of
 * its own. Owns: its entries, until call_book_fini. */
#ifndef TB_EDGE_CALL_BOOK_H
#define TB_EDGE_CALL_BOOK_H

#include "edge/event_view.h"

struct told_call {
	char *id; /* as the reader is told it */
	char *tool;
	int64_t step;
	bool started, ended;
	bool asked, denied; /* by a person */
	bool client_side;   /* the reader's own to carry out */
	struct told_call *next;
};

struct call_book {
	struct map *by_id; /* the id its reader is told -> a call */
	struct told_call *all;
};

void call_book_init(struct call_book *b);
void call_book_fini(struct call_book *b);
/* The call of a VIEW_TOOL or VIEW_PRINTED; entered if it is new. */
struct told_call *call_book_get(struct call_book *b, const struct event_view *v);

#endif
