/* SPDX-License-Identifier: Apache-2.0
 * Agents as their revisions say: immutable, so a cached one is never stale. */
#ifndef TB_AGENT_H
#define TB_AGENT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/ident.h"
#include "common/list.h"
#include "common/slice.h"
#include "proto/model/agent_config.h"
#include "worker/llm/llm.h"

struct agent {
	struct list lru;
	struct agents *home;
	int64_t tenant;
	struct uuid id;
	int revision;
	int users;
	struct agent_config config;
	/* Not NULL: what is wrong with its configuration; its runs fail with that. */
	char *problem;
};

struct agents *agents_new(void);
void agents_free(struct agents *s);
/* NULL when it is not cached. Give it back. */
struct agent *agent_take(struct agents *s, int64_t tenant, struct uuid id, int revision);
/* Reads a revision's configuration (JSON) and caches it. */
struct agent *agent_put(struct agents *s, int64_t tenant, struct uuid id, int revision,
			struct slice config);
/* The tool at that position of the catalogue, in the words of models. */
const struct llm_tool *agent_tool(const struct agent *a, size_t i);
/* Of one that agent_tool gave: name, description and schema, estimated. */
/* Its position in the catalogue. */
size_t agent_tool_index(const struct agent *a, const struct llm_tool *t);
int64_t agent_tool_tokens(const struct agent *a, const struct llm_tool *t);
void agent_give_back(struct agent *a);

#endif
