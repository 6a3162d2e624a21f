/* SPDX-License-Identifier: Apache-2.0
 * What the memory tools share. */
#ifndef TB_MEMORY_H
#define TB_MEMORY_H

#include "worker/tools/tool.h"

/* The document a call means: its argument `path`, MEMORY.md when that is left out.
 * Borrowed from the arguments. */
static inline struct slice memory_path(const struct tool_call *c)
{
	struct slice path = json_str(json_get(c->args, "path"));
	return path.p ? path : SLICE("MEMORY.md");
}

#endif
