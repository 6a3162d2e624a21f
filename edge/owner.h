/* SPDX-License-Identifier: Apache-2.0
 * Whose is what a path names: an end user's own, or it is not there. */
#ifndef TB_EDGE_OWNER_H
#define TB_EDGE_OWNER_H

#include "edge/call.h"

/* Of a call whose caller is an end user, before its handler: the run, session or approval
 * of its path is looked up as that user may see it, since not all that a handler asks is
 * asked of Postgres. False: answered 404, or still under way: ask again. */
bool owner_check(struct call *c);

#endif
