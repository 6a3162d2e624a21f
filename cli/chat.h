/* SPDX-License-Identifier: Apache-2.0
 * A talk with an agent: what its commands and its turns share. Private to chat*.c. */
#ifndef TB_CLI_CHAT_H
#define TB_CLI_CHAT_H

#include "cli/command.h"
#include "cli/follow.h"
#include "common/attr.h"
#include "common/json.h"

#define CHAT_KEY_MOST 512u

struct loop_timer;
struct chat {
	const struct args *args;
	struct node node;
	struct render out;
	char agent[64], session[CHAT_KEY_MOST + 1];
	char model[252];             /* "": the agent's */
	char run[UUID_TEXT_LEN + 1]; /* the last one; "": none */
	bool person;                 /* who can be asked, at a terminal */
	bool json;
	bool leave; /* no more lines are read */
	/* A line of input, as getline has it. */
	char *line;
	size_t line_room;

	/* ---- chat_turn.c only, of the turn under way */
	struct follow_watch watch;
	struct loop_timer *limit; /* --timeout; NULL: none */
	int wishes;               /* times that its end was asked for */
	bool late;                /* --timeout is over */
	struct json_doc *asked;   /* the event that asks for somebody's permission */
};

/* ---- chat.c */

/* A line of the person or the pipe, trimmed, without its end; prompt "": none. -1: there
 * is none (any more), or Ctrl-C came instead of one (*interrupted). */
int chat_read(struct chat *c, const char *prompt, struct slice *text, bool *interrupted);

/* ---- chat_turn.c: each is shown as it comes; an exit status, failures are reported */

void chat_turns_begin(struct chat *c);
void chat_turns_end(struct chat *c);
int chat_say(struct chat *c, struct slice text);
int chat_follow(struct chat *c, struct uuid run);

/* ---- chat_words.c */

/* Whether it is a command: a line that begins with '/', but not with '//'. */
bool chat_is_word(struct slice line);
/* Carries it out; an exit status. */
int chat_word(struct chat *c, struct slice line);
/* Lets the person choose one of the agent's sessions, which becomes the talk's. */
int chat_pick(struct chat *c);

/* ---- chat_ask.c */

/* One request; path is made by fmt. The answer, for the caller to free, or NULL and
 * *status: reported. body n 0: none. */
PRINTF_LIKE(5, 6)
struct json_doc *chat_ask(struct chat *c, const char *method, struct slice body,
			  int *status, const char *fmt, ...);
/* "/v1/agents/{agent}/sessions/{session}", for chat_ask's fmt; valid until the next call.
 */
const char *chat_path(struct chat *c);
/* Waits for the end of the job that an answer of chat_ask names. */
int chat_wait(struct chat *c, json_t accepted);

#endif
