/* SPDX-License-Identifier: Apache-2.0
 * The tools of the MCP server: mcp_tools.tbl. What they do is in mcp_sessions.c,
 * mcp_runs.c and mcp_memory.c. */
#ifndef TB_EDGE_MCP_TOOLS_H
#define TB_EDGE_MCP_TOOLS_H

#include "common/json.h"
#include "edge/call.h"

struct mcp_call;

struct mcp_tool {
	const char *name;
	unsigned scopes;
	bool reads;
	const char *title, *description;
	const char *takes, *gives; /* members of schemas: objects */
	/* Begins, and goes on each time the call runs again. */
	void (*step)(struct call *c, struct mcp_call *m);
};

/* NULL: there is none that a caller of these scopes may use. */
const struct mcp_tool *mcp_tool_find(struct slice name, unsigned scopes);
/* Those that he may use, a list. */
void mcp_tools_put(struct json_out *o, unsigned scopes);
/* Whether the arguments (NULL: none) are as the tool's schema says; else a sentence that
 * names the one that is not. */
bool mcp_args_check(const struct mcp_tool *t, json_t args, char *why, size_t size);

#endif
