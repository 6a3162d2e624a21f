/* SPDX-License-Identifier: Apache-2.0
 * The agent that is meant where none is named: `default`, else `main`, else the tenant's
 * only one. */
#ifndef TB_EDGE_DEFAULT_AGENT_H
#define TB_EDGE_DEFAULT_AGENT_H

#include "common/slice.h"

/* What to look up (edge/lookup.h) or to place with (edge/placing.h) for a word that may
 * be empty or "default"; another word is itself. */
struct slice default_agent(struct slice word);

#endif
