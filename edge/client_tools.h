/* SPDX-License-Identifier: Apache-2.0
 * What a message says of its client's own tools: which there are, which is to be called,
 * what calls of the last turn gave (docs/tools.md). Checked, and written as the worker
 * reads it. Pure. */
#ifndef TB_EDGE_CLIENT_TOOLS_H
#define TB_EDGE_CLIENT_TOOLS_H

#include <stdbool.h>

#include "common/json.h"

#define CLIENT_TOOLS_MOST 128u
#define CLIENT_RESULTS_MOST 256u
/* Bytes; plain numbers, since the API's document quotes them. */
#define CLIENT_TOOL_NAME_MOST 64
#define CLIENT_TOOL_DESCRIPTION_MOST 16384

struct client_tools_fault {
	char member[64];
	char message[200]; /* names the member */
};

/* 1..CLIENT_TOOL_NAME_MOST letters, digits, "_" and "-". */
bool client_tool_name_fits(struct slice name);
/* [{"name","description"?,"parameters"?}]. False: fault is set, as with the next ones. */
bool client_tools_read(json_t v, struct strbuf *out, struct client_tools_fault *fault);
/* "auto", "none", "required" or {"name"}; a name has to be one of `tools` (what
 * client_tools_read took; NULL: none) or of the runtime's. */
bool client_choice_read(json_t v, json_t tools, struct strbuf *out,
			struct client_tools_fault *fault);
/* [{"toolCallId","content","isError"?}]. */
bool client_results_read(json_t v, struct strbuf *out, struct client_tools_fault *fault);

/* The fault in the words of a protocol that calls `member` by another name. */
void client_tools_rename(struct client_tools_fault *fault, const char *member,
			 const char *name);

#endif
