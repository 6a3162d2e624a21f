/* SPDX-License-Identifier: Apache-2.0
 * Whether a request may come from where it says it comes from: a page of another site
 * whose name was bound to this machine's address may not. Pure. */
#ifndef TB_EDGE_MCP_ORIGIN_H
#define TB_EDGE_MCP_ORIGIN_H

#include <stdbool.h>

#include "common/slice.h"

/* The Host field: this machine, an address (no name can be bound anew behind that), or
 * one of `allowed`, a list with a comma between. */
bool mcp_host_is_fine(struct slice host, struct slice allowed);
/* The Origin field, SLICE_NONE when there is none: of this machine, or one of `allowed`,
 * whole origins or hosts. */
bool mcp_origin_is_fine(struct slice origin, struct slice allowed);

#endif
