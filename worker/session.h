/* SPDX-License-Identifier: Apache-2.0
 * The transcripts of the lanes this worker owns, cached. An entry is valid for a run only
 * if its (fence, head_seq) are what RUN_START says less its own claim; correctness never
 * needs the cache. Owns: the messages' memory, within a limit over all sessions. */
#ifndef TB_SESSION_H
#define TB_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "common/ident.h"
#include "common/list.h"
#include "worker/context/plan.h"
#include "worker/llm/llm.h"
#include "worker/permit.h"

struct skill_list;

struct message {
	struct llm_message llm;
	/* Its older forms, made when they are shown first: enum prune_form. */
	struct llm_message *shorter[2];
	struct plan_item item; /* read when it is shown first */
	int64_t seq;
	int step;
	struct uuid run;
};

struct session {
	struct list lru;
	struct sessions *home;
	int64_t tenant;
	struct uuid id;
	int64_t fence, head_seq; /* what the cached messages stand for */
	/* In the order of the transcript, but results that came with a user's message:
	 * they are behind their answer. */
	struct message **messages;
	size_t count, cap;
	/* What the model is shown begins with this summary (0: none) ... */
	int64_t summary_seq;
	int64_t context_set; /* ... since the transcript was that long ... */
	int64_t flushed;     /* ... and that long when memory was saved last */
	char *memory;        /* for the system part of questions; NULL: none */
	char memory_version[80];
	struct skill_list *skills; /* pinned; NULL: none yet ... */
	int skills_version;        /* ... since so many times were given up */
	bool skills_unsaved;       /* the pin goes with the next commit */
	bool skills_sought;        /* and there were none */
	size_t bytes;
	int users;             /* runs that hold it */
	struct permit *permit; /* the last that was read; NULL: none */
};

struct sessions *sessions_new(size_t limit_bytes);
void sessions_free(struct sessions *s);
/* The entry, made empty (head_seq -1) when there is none. Give it back. */
struct session *session_take(struct sessions *s, int64_t tenant, struct uuid id);
void session_give_back(struct session *e);
/* Forgets its messages: head_seq -1. */
void session_clear(struct session *e);
/* Keeps the newest messages that are `bytes` together, and all from own_seq on; what it
 * stands for stays. */
void session_trim(struct session *e, size_t bytes, int64_t own_seq);
/* The newest messages lose the tools of their client: none of a run to come has a use for
 * them, and they may be longer than all the rest. */
void session_slim(struct session *e);
/* Appends; content is copied. A mark (role reset) takes away what it hides and is not
 * kept itself. An unknown role word is a bug. */
void session_add(struct session *e, int64_t seq, struct slice role, int step,
		 struct uuid run, struct slice content);
/* Takes the pin over, in place of the one it has; NULL: none. */
void session_put_skills(struct session *e, struct skill_list *l);
size_t sessions_bytes(const struct sessions *s);

#endif
