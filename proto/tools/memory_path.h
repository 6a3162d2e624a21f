/* SPDX-License-Identifier: Apache-2.0
 * What a document of an agent's memory may be called, and how large it may be: for tools
 * and people alike. Pure. */
#ifndef TB_TOOLS_MEMORY_PATH_H
#define TB_TOOLS_MEMORY_PATH_H

#include "common/slice.h"

#define MEMORY_PATH_MOST 200
#define MEMORY_BYTES_MOST (1u << 20) /* tb.memory_write knows it, too */
#define MEMORY_TAGS_MOST 20
#define MEMORY_TAG_BYTES 63

/* What is wrong with a path, as the end of a sentence that names it; NULL: it is
 * relative, without "..", control bytes or empty parts. */
const char *memory_path_problem(struct slice path);

#endif
