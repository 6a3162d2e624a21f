/* SPDX-License-Identifier: Apache-2.0
 * The supervisor's answer to a call that needs a workspace, on its way to it. */
#ifndef TB_EDGE_FILES_H
#define TB_EDGE_FILES_H

#include "edge/call.h"
#include "proto/wire.h"

/* Stores the answer and wakes the call; false: it does not wait for one. */
bool files_answered(struct call *c, const struct wire_files *m);

#endif
