/* SPDX-License-Identifier: Apache-2.0
 * A call of the MCP server: its message, the tool that works on it, and how it is
 * answered. Private to the folder. */
#ifndef TB_EDGE_MCP_CALL_H
#define TB_EDGE_MCP_CALL_H

#include "edge/cancel.h"
#include "edge/mcp/mcp_rpc.h"
#include "edge/mcp/mcp_tools.h"
#include "edge/merging.h"
#include "edge/placing.h"
#include "edge/session_store.h"

struct mcp_call {
	struct cancelling cancel; /* the first member: see edge/cancel.h */
	struct mcp_rpc rpc;
	const struct mcp_tool *tool;
	json_t args;
	int stage; /* the tool's own */
	/* what tools keep between their steps */
	struct agent_row agent;
	struct session_info session;
	struct session_filter filter;
	struct session_page sessions;
	struct message_page messages;
	struct placing placing;
	struct merging merging;
	struct uuid run;
	struct run_row row;
	struct loop_timer *timer;
	bool timed_out, ended, is_over;
	struct mcp_memory *memory; /* of mcp_memory.c */
};

/* The tool's result: an object. The call may be used no more. */
void mcp_result(struct call *c, struct slice json);
/* Its failure, for the model to read. */
void mcp_failed(struct call *c, const char *code, const char *message);
/* An argument's text in the request's memory; SLICE_NONE when it is left out. */
struct slice mcp_arg(const struct mcp_call *m, const char *name);
int64_t mcp_arg_number(const struct mcp_call *m, const char *name, int64_t otherwise);
/* The agent that the argument `agent` names, or the default one. False: answered, or
 * still under way. */
bool mcp_find_agent(struct call *c, struct mcp_call *m);
/* Postgres's answer is there and fine. False: answered, or it is not there yet. */
bool mcp_have_answer(struct call *c);

#define MCP_TOOL(name, scopes, reads, title, description, takes, gives)                  \
	void mcp_##name(struct call *c, struct mcp_call *m);
#include "edge/mcp/mcp_tools.tbl"
#undef MCP_TOOL

#endif
