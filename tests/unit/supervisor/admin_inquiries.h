/* SPDX-License-Identifier: Apache-2.0
 * Of tests of the admin socket: a worker that answers what it is asked at once, in two
 * parts; what is asked of the platform is refused. */
#ifndef TB_TEST_ADMIN_INQUIRIES_H
#define TB_TEST_ADMIN_INQUIRIES_H

#include "supervisor/inquiries.h"

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
	hear(arg, &(struct inquiry_heard){.body = SLICE("{\"ok\":")});
	hear(arg, &(struct inquiry_heard){.body = SLICE("true}\n"), .last = true});
}

#endif
