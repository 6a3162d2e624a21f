/* SPDX-License-Identifier: Apache-2.0
 * What an agent's configuration says: settings.tbl and agent_config.tbl. Who takes one
 * from people checks it with this, the worker reads it with this. Pure. */
#ifndef TB_MODEL_AGENT_CONFIG_H
#define TB_MODEL_AGENT_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "common/json.h"
#include "common/slice.h"
#include "proto/model/limits.h"
#include "proto/model/settings.h"

/* 0, NULL or false: not said. Everything is owned. */
struct agent_config {
	struct model_settings settings;
	char *system;                              /* the system prompt; never NULL */
	int64_t context_window;                    /* tokens */
	bool by_session;                           /* a workspace a session */
	uint64_t workspace_bytes, workspace_files; /* at most */
	struct budget_limits run_budget, session_budget;
	struct json_doc *skills; /* names, the final set; NULL: all there are */
	uint64_t tool_set; /* by position in the catalogue; without a list all of them */
};

void agent_config_init(struct agent_config *c);
void agent_config_fini(struct agent_config *c);
/* Reads all of it into c (initialised); null says nothing, and members that nobody knows
 * are left alone, without `door` those that are the door's, too. False: something is
 * wrong; fault says what of the first, the others are read. */
bool agent_config_read(struct agent_config *c, json_t object, bool door,
		       struct settings_fault *fault);
/* What is wrong with a name for an agent, as the end of a sentence that names it; NULL:
 * nothing. It is a word of paths, where an id may stand in its place. */
const char *agent_name_problem(struct slice name);
/* Whether a configuration has a member of that name. */
bool agent_config_knows(struct slice name);

#endif
