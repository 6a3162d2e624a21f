/* SPDX-License-Identifier: Apache-2.0
 * How a run asks its models: which, in which order, with which parameters. What its
 * message says goes before what its agent says, and that before the node's default. */
#ifndef TB_ASKING_H
#define TB_ASKING_H

#include <stdbool.h>

#include "proto/model/settings.h"
#include "worker/client_tools.h"
#include "worker/llm/llm.h"

struct run;

#define ASKING_MODELS_MOST (1 + SETTINGS_FALLBACKS_MOST)

struct asking {
	bool known;
	struct model_settings own;  /* of the run's message */
	struct client_tools client; /* likewise */
	bool builder;               /* likewise: its mode, in which agents are built */
	/* Borrowed from it, the agent or the worker: the model, then its fallbacks. */
	const char *models[ASKING_MODELS_MOST];
	size_t model_count, at; /* at: the one in use */
	bool was_asked;         /* the question has left */
};

/* Reads the run's message, once; its agent and session are there. False: it cannot be
 * read, and the run has failed with that. */
bool asking_read(struct run *r);
void asking_fini(struct asking *a);
/* Borrowed from the run and its agent. */
struct llm_params asking_params(const struct run *r);
/* The tools it leaves. */
uint64_t asking_tools(const struct run *r);
/* The agent's system prompt with what the message adds; in the run's arena if it adds. */
struct slice asking_system(struct run *r);
/* Before asking_target: true: keys and cooldowns of the model in use, a provider's, are
 * being read (load_target), and the run is woken then. */
bool asking_waits(struct run *r);
bool asking_has_next(const struct run *r);
/* Sets the run's target to the model in use. ERR_MODEL_CONFIG: it cannot be asked here;
 * ERR_MODEL_RATE: not now; why is said in the answer's error. */
enum err asking_target(struct run *r);
/* What became of the question, for the workers that come after: nothing blocks. */
void asking_refused(struct run *r, enum err why);
void asking_answered(struct run *r);

#endif
