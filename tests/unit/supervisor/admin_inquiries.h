/* SPDX-License-Identifier: Apache-2.0
 * Of test_admin.c: questions that a worker answers, and what people read of that. */
#ifndef TB_TEST_ADMIN_INQUIRIES_H
#define TB_TEST_ADMIN_INQUIRIES_H

#include "supervisor/inquiries.h"

/* Answered at once, in two parts; the platform's is refused. */
static struct inquiry_ask inquired;
void inquiries_ask(struct sup *s, const struct inquiry_ask *ask, inquiry_hear *hear,
		   void *arg)
{
	(void)s;
	inquired = *ask;
	if (!ask->tenant) {
		hear(arg, &(struct inquiry_heard){.err = ERR_NODE_FULL,
						  .message = "it is full"});
		return;
	}
	hear(arg, &(struct inquiry_heard){.body = SLICE("{\"ok\":\"tr")});
	hear(arg, &(struct inquiry_heard){.body = SLICE("ue\"}\n"), .last = true});
}

#endif
