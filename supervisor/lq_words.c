/* SPDX-License-Identifier: Apache-2.0
 * The words of the lane queue's small enums, as operators and the database know them. */
#include "supervisor/lq_state.h"

const char *lq_state_word(enum lq_state s)
{
	static const char *const words[LQ_STATES] = {
		[LQ_S_ENQUEUEING] = "enqueueing", [LQ_S_DELAYED] = "scheduled",
		[LQ_S_WAITING] = "queued",        [LQ_S_FOLDED] = "folded",
		[LQ_S_CLAIMING] = "claiming",     [LQ_S_RUNNING] = "running",
		[LQ_S_RETRY] = "retry_wait",      [LQ_S_ASKING] = "waiting"};
	return (unsigned)s < LQ_STATES ? words[s] : "?";
}

const char *lq_scope_word(enum lq_scope s)
{
	static const char *const words[] = {[LQ_NODE] = "node",
					    [LQ_TENANT] = "tenant",
					    [LQ_AGENT] = "agent",
					    [LQ_LANE] = "lane"};
	return words[s];
}
