/* SPDX-License-Identifier: Apache-2.0
 * The file tools as a process in a jail runs them: arguments in, result out. */
#ifndef TB_FILES_RUN_H
#define TB_FILES_RUN_H

#include "common/slice.h"
#include "common/strbuf.h"

/* The rows of files.tbl. */
enum files_tool {
#define FILE_TOOL(name, effect, description, schema) FILES_TOOL_##name,
#include "sandbox/files/files.tbl"
#undef FILE_TOOL
	FILES_TOOL__COUNT
};

#define FILES_ARGS_MOST (2u << 20)

const char *files_tool_name(enum files_tool which);
const char *files_tool_description(enum files_tool which);
const char *files_tool_schema(enum files_tool which);
/* False: there is none of that name. */
bool files_tool_find(struct slice name, enum files_tool *which);

/* Answers one call: `args` is JSON text, out gets one JSON object, the tool's own or
 * {"error": "a sentence"}, with "code": "quota" where there is no room left. Blocks while
 * it works on files. */
void files_answer(enum files_tool which, int workspace_fd, struct slice args,
		  struct strbuf *out);
/* Reads the arguments from `in` until it ends, answers, and writes the answer to `out`.
 * Borrows all three descriptors. Changes the process: SIGXFSZ and SIGPIPE are ignored. */
void files_run(enum files_tool which, int workspace_fd, int in, int out);

#endif
