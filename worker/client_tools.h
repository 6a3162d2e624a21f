/* SPDX-License-Identifier: Apache-2.0
 * The tools of who sent a run's message: the model may call them beside the runtime's
 * own, and the run ends where their results are needed (docs/tools.md). */
#ifndef TB_CLIENT_TOOLS_H
#define TB_CLIENT_TOOLS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/json.h"
#include "worker/llm/llm.h"

struct run;

/* As a message says: its members clientTools and toolChoice. */
struct client_tools {
	struct arena *arena; /* of all below; NULL: the message says nothing */
	struct llm_tool *tools;
	size_t count;
	int64_t tokens; /* of all of them, estimated */
	struct llm_choice choice;
};

/* From a message's content. A tool whose name the runtime itself has by now is left out:
 * the runtime's is meant. */
void client_tools_read(struct client_tools *c, json_t content);
void client_tools_fini(struct client_tools *c);
/* Whether the model may call it by that name. */
bool client_tools_have(const struct client_tools *c, struct slice name);
/* The choice for the run's next question. One that forces a call is for the first answer
 * alone: the run would not come to an end. */
struct llm_choice client_tools_choice(const struct run *r);

#endif
