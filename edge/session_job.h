/* SPDX-License-Identifier: Apache-2.0
 * The supervisor's answer to a lane job, on its way to the call that waits for it. */
#ifndef TB_EDGE_SESSION_JOB_H
#define TB_EDGE_SESSION_JOB_H

#include "edge/call.h"
#include "proto/wire.h"

/* Of one part of an import: so that a message of 1 MB fits, as a line. */
#define IMPORT_BODY_MAX ((2u << 20) - 4096)

/* Stores the answer and wakes the call. */
void session_job_enqueued(struct call *c, const struct wire_enqueued *m);

#endif
