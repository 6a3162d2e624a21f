/* SPDX-License-Identifier: Apache-2.0
 * What is kept of a question to a model, so that it can be written again: no request, but
 * what it was made of beyond the transcript and the agent's revision, and its digest.
 *
 * It goes with what is committed anyway: into the answer's content, or, of a question
 * that failed with its run, into the error event. The part of the system prompt that is
 * neither the agent's nor the message's (skills, memory) is kept once a text, by its
 * digest: told when this worker has not told it for a day. */
#ifndef TB_ASKED_H
#define TB_ASKED_H

#include <stdbool.h>
#include <stdint.h>

#include "common/crypto.h"
#include "common/ident.h"
#include "common/slice.h"

struct json_out;
struct llm_provider;
struct llm_question;
struct run;

struct asked {
	bool known;
	int step;     /* that it is the question of */
	int64_t head; /* the last message that it could show */
	int64_t from; /* the first one */
	uint64_t tools;
	int64_t summary, window, most; /* of the plan that showed them */
	int64_t max_tokens; /* that it was limited to by a budget; 0: as was said */
	uint8_t digest[CRYPTO_DIGEST]; /* of the body */
	struct slice beside; /* of the system prompt, in the run's arena; n 0: none */
	uint8_t beside_digest[CRYPTO_DIGEST];
	bool tells; /* the commit under way tells of that */
};

/* Texts that were told; the newest of those that have the same place. */
#define ASKED_TOLD 1024
struct asked_told {
	struct {
		int64_t tenant, told_us;
		uint8_t digest[CRYPTO_DIGEST];
	} of[ASKED_TOLD];
};

/* The run's question has left. */
void asked_take(struct run *r, const struct llm_question *q);
/* It has, and no answer to it was stored. */
bool asked_is_open(const struct run *r);
/* The member "asked" (docs/transcript.md). alone: nothing else says what the model and
 * its window were, or which step it was. */
void asked_put(const struct run *r, struct json_out *o, bool alone);
/* Into the commit: the text beside, and the key's use, if it is time to. */
void asked_tell(struct run *r);
void asked_landed(struct run *r);

#endif
