/* SPDX-License-Identifier: Apache-2.0
 * The tools of the catalogue, and what starts them. */
#ifndef TB_REGISTRY_H
#define TB_REGISTRY_H

#include "common/slice.h"
#include "worker/tools/tool.h"

/* NULL when there is none of that name. */
const struct tool_spec *tool_find(struct slice name);
size_t tool_count(void);
const struct tool_spec *tool_at(size_t i);
/* Its position here, which is that in the catalogue. */
size_t tool_index(const struct tool_spec *t);
/* What begins its calls. */
tool_start_fn *tool_starter(const struct tool_spec *t);

#endif
