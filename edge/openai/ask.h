/* SPDX-License-Identifier: Apache-2.0
 * What a request of one of OpenAI's APIs asks for, once it is read and checked. Pure. */
#ifndef TB_OPENAI_ASK_H
#define TB_OPENAI_ASK_H

#include <stdbool.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/ident.h"
#include "common/slice.h"
#include "edge/openai/talk.h"

#define ASK_USER_MAX 256u

struct ask {
	struct arena *arena;
	struct slice model; /* as it was named; SLICE_NONE: it was not */
	struct slice user;
	struct slice conversation; /* SLICE_NONE: none was named */
	struct uuid previous;      /* the run whose session goes on; nil: none */
	bool stable;               /* the session has what was said before */
	bool stream, usage, background;
	struct talk talk;
	struct strbuf overrides; /* members of an object */
	struct slice tools;      /* JSON list; SLICE_NONE: none were given */
	struct slice choice;     /* JSON; SLICE_NONE: not said */
};

struct ask_fault {
	int status;
	const char *code; /* NULL: that of the status */
	char param[128];  /* "" the whole body */
	char message[384];
};

/* Slices live in the arena, which the caller owns. stable: a header says which session it
 * is. False: fault is set; ask_fini in any case. */
bool ask_read_chat(struct ask *ask, struct arena *arena, struct slice body, bool stable,
		   struct ask_fault *fault);
bool ask_read_responses(struct ask *ask, struct arena *arena, struct slice body,
			bool stable, struct ask_fault *fault);
void ask_fini(struct ask *ask);

/* The order's content of what is new, in the arena. False: fault is set. list: the name
 * of the parameter that holds the conversation. */
bool ask_compose(const struct ask *ask, const char *list, struct slice *content,
		 struct ask_fault *fault);
/* What was said before, as bodies of imports; none when the session has it. */
bool ask_history(const struct ask *ask, const char *list, int64_t now_us,
		 struct talk_part **parts, size_t *count, struct ask_fault *fault);
/* The model that answers instead of the agent's: "provider/name". */
bool ask_set_model(struct ask *ask, struct slice model, struct ask_fault *fault);
/* The agent that a model's name says: "main", "agent/main", "openclaw/main" ...;
 * SLICE_NONE for the default one ("default", "openclaw"). */
struct slice ask_agent_of(struct slice model);

#endif
