/* SPDX-License-Identifier: Apache-2.0
 * A conversation as a client of OpenAI's APIs sends it: what is new of it, and what was
 * said before. Pure.
 *
 * New is what stands behind the assistant's last words: messages of the user, and results
 * of the calls that the assistant asked for. In a session that has the rest, only that is
 * read; else the rest becomes its history. */
#ifndef TB_OPENAI_TALK_H
#define TB_OPENAI_TALK_H

#include <stdbool.h>
#include <stddef.h>

#include "common/arena.h"
#include "common/json.h"
#include "common/slice.h"
#include "common/strbuf.h"

enum said_kind { SAID_USER, SAID_ASSISTANT, SAID_CALL, SAID_RESULT };
struct said {
	enum said_kind kind;
	size_t at;      /* its place in the client's list */
	size_t from, n; /* in talk.text: its blocks, without brackets; of a call its
			   arguments, of a result its images */
	size_t blocks;  /* how many they are */
	struct slice id, name; /* of a call; of a result the id alone */
	struct slice text;     /* of a result */
};
struct talk {
	struct arena *arena; /* of ids, names and results */
	struct strbuf text, system;
	struct said *list;
	size_t count, cap;
};
struct talk_fault {
	size_t at; /* which of the client's list */
	char message[200];
};

void talk_init(struct talk *t, struct arena *arena);
void talk_fini(struct talk *t);
/* One more; its blocks are what is added to t->text until the next one. The slices live
 * as long as the arena. */
struct said *talk_add(struct talk *t, enum said_kind kind, size_t at);
/* What was added to t->text since talk_add belongs to the last one. */
void talk_close(struct talk *t, size_t blocks);
/* More of the system prompt, behind an empty line. */
void talk_add_system(struct talk *t, struct slice text);
/* Where the new part begins: talk.count when there is none. */
size_t talk_new_from(const struct talk *t);
/* Puts the members "blocks" and perhaps "toolResults" of the new part. False: it is
 * empty, or too long (fault). */
bool talk_put_new(const struct talk *t, struct json_out *o, struct talk_fault *fault);
/* What stands before the new part as bodies of imports (docs/sessions.md), in the arena,
 * each of at most `most` bytes: the first message of the first has seq 1. Results without
 * calls are refused, also in the new part; calls without results get one that says so,
 * but for the last ones. False: fault is set. */
struct talk_part {
	struct strbuf body;
};
bool talk_history(const struct talk *t, int64_t now_us, size_t most,
		  struct talk_part **parts, size_t *count, struct talk_fault *fault);
void talk_free_parts(struct talk_part *parts, size_t count);

#endif
