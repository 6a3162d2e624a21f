/* SPDX-License-Identifier: Apache-2.0
 * Calls that a session's last turn left to its client, and their results, which the next
 * message brings: docs/tools.md.
 *
 * The transcript alone says which calls are open: those marked clientSide of the newest
 * answer with calls that have no result behind it. So whoever runs the message, and how
 * often, each call gets one result. */
#ifndef TB_CLIENT_RESULTS_H
#define TB_CLIENT_RESULTS_H

#include "worker/run.h"

/* Before a run's first question. Once: later ones change nothing. Results that the
 * transcript lacks are being committed then (STEP_WAIT), or the run has failed: the
 * message has a result of a call that is not open. */
enum step_verdict client_results_take(struct run *r);

/* The calls of the step that are the client's and have no result. */
bool client_calls_are_open(const struct run *r);
/* And there are no others. */
bool client_calls_are_all(const struct run *r);

#endif
