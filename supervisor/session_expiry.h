/* SPDX-License-Identifier: Apache-2.0
 * The end of sessions that nobody asks for any more: those of stateless calls, after
 * stateless_days, and what a deletion left that was cancelled or cut short
 * (docs/openai.md). On the lease's connection, in pieces so small that no heartbeat is
 * late for them.
 *
 * A session is closed in one commit, then its workspace goes, then its rows: after a
 * death in between it is found again, closed. Fails: with a warning, and again next time.
 */
#ifndef TB_SESSION_EXPIRY_H
#define TB_SESSION_EXPIRY_H

struct sup;

/* All of them, piece by piece; no-op while that goes on. */
void session_expiry_run(struct sup *s);

#endif
