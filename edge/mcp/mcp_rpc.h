/* SPDX-License-Identifier: Apache-2.0
 * One JSON-RPC message of the Model Context Protocol over HTTP, of either era: up to
 * 2025-11-25 with a handshake, 2026-07-28 with everything in each request. Pure.
 *
 * The body decides the era; the headers have to agree with it. What does not hold is
 * answered by the first rule that it breaks. Owns: the document. */
#ifndef TB_EDGE_MCP_RPC_H
#define TB_EDGE_MCP_RPC_H

#include <stdbool.h>

#include "common/json.h"
#include "common/slice.h"

#define MCP_MODERN "2026-07-28"
#define MCP_META "io.modelcontextprotocol/"

enum {
	RPC_PARSE_ERROR = -32700,
	RPC_INVALID_REQUEST = -32600,
	RPC_METHOD_NOT_FOUND = -32601,
	RPC_INVALID_PARAMS = -32602,
	RPC_INTERNAL = -32603,
	RPC_HEADER_MISMATCH = -32020,
	RPC_UNSUPPORTED_VERSION = -32022
};

/* SLICE_NONE: not there. */
struct mcp_headers {
	struct slice version, method, name;
};

struct mcp_rpc {
	struct json_doc *doc;
	json_t id; /* NULL: a notification */
	struct slice method;
	json_t params;
	bool is_modern;
	struct slice version; /* the one in force; of an initialize: the one asked for */
};

struct mcp_fault {
	int status; /* HTTP */
	int code;
	char message[200];
	bool names_versions; /* the error's data: those that are supported, and ... */
	struct slice requested;
};

/* What is to be done: a request or a notification in *out; or an error. *out has the id
 * in any case, if there is one, and its document. False: fault. */
bool mcp_rpc_read(struct slice body, size_t most, const struct mcp_headers *h,
		  struct mcp_rpc *out, struct mcp_fault *fault);
void mcp_rpc_fini(struct mcp_rpc *r);
/* Whether the era knows the method. */
bool mcp_method_exists(const struct mcp_rpc *r);
/* The version that an initialize is answered with. */
const char *mcp_version_for(struct slice asked);
/* A list. */
void mcp_put_versions(struct json_out *o);

#endif
