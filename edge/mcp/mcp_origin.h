/* SPDX-License-Identifier: Apache-2.0
 * Whether a request may come from where it says it comes from: a page of another site
 * whose name was bound to this machine's address may not. Pure. */
#ifndef TB_EDGE_MCP_ORIGIN_H
#define TB_EDGE_MCP_ORIGIN_H

#include <stdbool.h>

#include "common/slice.h"

/* The Host field: this machine, or an address (no name can be bound anew behind that). */
bool mcp_host_is_fine(struct slice host);
/* The Origin field: of this machine, or SLICE_NONE. */
bool mcp_origin_is_fine(struct slice origin);

#endif
