/* SPDX-License-Identifier: Apache-2.0
 * What a run's model is shown: the messages of its session by plan, each in its form, and
 * how much of the window they and the rest of the question take. */
#ifndef TB_CONTEXT_H
#define TB_CONTEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "worker/context/plan.h"
#include "worker/context/window.h"

struct json_out;
struct llm_question;
struct run;

/* Of a question, in tokens as its model counts them, as far as is known. */
struct context {
	struct window window;
	int64_t system, memory, skills, tools, summary;
	int64_t pruned; /* of messages that are shown shorter than they are, or not */
	int64_t used;   /* all of it, by the provider's last report where there is one */
	int64_t estimate; /* all of it, unscaled */
};

/* The items of the run's session, in the run's arena; *count of them. */
const struct plan_item *const *context_items(struct run *r, size_t *count);
/* The system part: what asking says, the skills, which seldom change, and the agent's
 * memory; in the run's arena. */
struct slice context_system(struct run *r);
/* Measures a question that has its system prompt and tools, into r->context. */
void context_measure(struct run *r, const struct llm_question *q);
/* Gives it its messages, measured before: those that fit into `most` tokens (0: into the
 * window), in the run's arena, `extra` places free behind them. */
void context_fill(struct run *r, struct llm_question *q, int64_t most, size_t extra);
/* The answer to the measured question is there, r->answer: what its provider reports of
 * it is learnt. */
void context_learn(struct run *r);
/* The provider refused the measured question as too long. */
void context_refused(struct run *r);
/* The member "context" of an answer's or summary's content: docs/transcript.md. `used`:
 * in the end. */
void context_put_note(const struct run *r, struct json_out *o, int64_t used);
/* Of estimated tokens, as the run's model counts them; and back. */
int64_t context_scaled(struct run *r, int64_t estimate);
int64_t context_unscaled(struct run *r, int64_t tokens);

#endif
